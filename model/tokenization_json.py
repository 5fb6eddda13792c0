"""Text → ids by ``tokenizer.json`` alone, as transformers leaves it where it saves a tokenizer.

All rules are in the file, and the tokenizers library follows them; so do transformers' own tokenizers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers.pre_tokenizers import Sequence as Steps
from tokenizers.pre_tokenizers import Split

from model.file_kinds import AGAIN
from model.file_names import TOKENIZER_JSON
from model.json_files import read_json_object
from model.tokenizer import Tokenizer, flatten
from model.tokenizer_config import TokenizerConfig
from model.tokenizer_json import first_of

# How a special token is written where tokenizer_config.json does not say it: the first that is there.
_SPECIAL = {
    "unk_token": ("<unk>", "[UNK]"),
    "sep_token": ("[SEP]",),
    "pad_token": ("<pad>", "[PAD]"),
    "cls_token": ("[CLS]",),
    "mask_token": ("[MASK]",),
}


class JsonTokenizer(Tokenizer):
    """The rules of a ``tokenizer.json``; ``tokenizer_config.json`` beside it names the special tokens.

    Args:
        vocabulary: ``tokenizer.json``.
        do_lower_case: what the user wants of the case of a text; None: as the file has it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no tokenizer that the installed library reads, lacks [CLS], [SEP] or <pad>, or
            does otherwise with capitals than ``do_lower_case`` says.
    """

    saved_as = TOKENIZER_JSON
    digest = None

    def __init__(self, vocabulary: str | Path, do_lower_case: bool | None = None) -> None:
        self.vocabulary = Path(vocabulary)
        self._values = read_json_object(self.vocabulary, "tokenizer")
        self.vocabulary_bytes = self.vocabulary.read_bytes()
        self._library = _read_library(self.vocabulary, self._values)
        self._config = TokenizerConfig(self.vocabulary.parent)
        ids = self._library.get_vocab(with_added_tokens=True)
        self.vocab_size = max(ids.values(), default=-1) + 1
        self.special = {}
        for key, names in _SPECIAL.items():
            written = self._config.token(key)
            names = names if written is None else (written,)
            if found := next((name for name in names if name in ids), None):
                self.special[key] = found
            elif key in ("cls_token", "sep_token", "pad_token"):
                raise ValueError(
                    f"{self.vocabulary} has no {names[0]}: it is no ALBERT's; give the {TOKENIZER_JSON} "
                    "that came with the weights"
                )
        self.cls_id, self.sep_id, self.pad_id = (
            ids[self.special[f"{name}_token"]] for name in ("cls", "sep", "pad")
        )
        self.unk_id = ids[self.special["unk_token"]] if "unk_token" in self.special else -1
        self.settings = {"special_tokens": dict(self.special)}
        self._check_case(do_lower_case)
        self._keep_special_tokens_apart()

    def _check_case(self, do_lower_case: bool | None) -> None:
        normalizer = self._library.normalizer
        lowers = normalizer is not None and "A" not in normalizer.normalize_str("A")
        if do_lower_case is not None and do_lower_case != lowers:
            flag = "--do_lower_case" if do_lower_case else "--no_do_lower_case"
            does = "lower-cases" if lowers else "keeps the case of"
            raise ValueError(f"{self.vocabulary} {does} a text by its own rules: leave {flag} out")

    def _keep_special_tokens_apart(self) -> None:
        """Have the library cut what a text has that looks like a special token."""
        library = self._library
        library.encode_special_tokens = True
        steps = [library.pre_tokenizer] if library.pre_tokenizer else []
        split = Split(Regex(first_of(self.special.values())), "merged_with_previous")
        library.pre_tokenizer = Steps([*steps, split])

    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`model.tokenizer.Tokenizer.encode_flat`."""
        encoded = self._library.encode_batch(list(texts), add_special_tokens=False)
        return flatten([pieces.ids for pieces in encoded])

    def to_json(self) -> dict[str, Any]:
        """As :meth:`model.tokenizer.Tokenizer.to_json`: what the file says."""
        return self._values

    def to_config(self) -> dict[str, Any]:
        """As :meth:`model.tokenizer.Tokenizer.to_config`, over what the one read says."""
        own = super().to_config()
        own.pop("special_tokens")
        return {**own, **self._config.values, **self.special, "split_special_tokens": True}


def _read_library(path: Path, values: dict[str, Any]) -> LibraryTokenizer:
    if not isinstance(values.get("model"), dict):
        raise ValueError(f"{path} is no tokenizer: it has no model; {AGAIN}")
    try:
        library = LibraryTokenizer.from_str(json.dumps(values))
        library.no_truncation()
        library.no_padding()
        return library
    except Exception as error:
        raise ValueError(
            f"{path} is no tokenizer that the installed tokenizers {version('tokenizers')} reads: "
            f"{str(error).splitlines()[0]}; {AGAIN}, or install a newer release"
        ) from error
