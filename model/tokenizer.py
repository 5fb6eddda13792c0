"""What a tokenizer of any kind is to the rest of the project."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from model.file_names import TOKENIZER_CONFIG, TOKENIZER_JSON
from model.tokenizer_json import model_digest


class Tokenizer(ABC):
    """Text → ids, by one vocabulary; each kind of vocabulary has a class and a file of its own.

    Attributes:
        vocabulary: the file it was read from.
        vocabulary_bytes: what that holds.
        saved_as: the file's name in a folder that :func:`model.tokenizer_export.save_tokenizer` writes.
        settings: by name, all that changes the ids of a text beside the vocabulary.
        vocab_size: one more than the largest id.
        special: the names that ``tokenizer_config.json`` has for special tokens, and how this vocabulary
            writes them; ``cls_token``, ``sep_token`` and ``pad_token`` are always among them.
        cls_id, sep_id, pad_id: the ids of these.
        unk_id: the id of what is unknown; -1, which no text has, where nothing is.
        digest: what tells the vocabulary from others, in whatever bytes it is written; None for a kind
            that has :attr:`json_digest` alone.
    """

    vocabulary: Path
    vocabulary_bytes: bytes
    saved_as: str
    settings: Mapping[str, Any]
    vocab_size: int
    special: Mapping[str, str]
    cls_id: int
    sep_id: int
    pad_id: int
    unk_id: int
    digest: str | None

    @abstractmethod
    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of all texts one after the other.

        Returns:
            [T] int32 ids without special tokens, and how many each of the N texts has: [N] int64.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any] | None:
        """Return what ``tokenizer.json`` says for the same ids; None where it could not say it."""

    @cached_property
    def json(self) -> dict[str, Any] | None:
        """What :meth:`to_json` returns, made once."""
        return self.to_json()

    @cached_property
    def json_digest(self) -> str | None:
        """What tells the vocabulary of :meth:`to_json` from others; None where there is none."""
        return None if self.json is None else model_digest(self.json["model"])

    def to_config(self) -> dict[str, Any]:
        """Return what ``tokenizer_config.json`` says, but for the length of the model's inputs."""
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **self.settings,
            **self.special,
            "split_special_tokens": True,  # Text that looks like a special token is none.
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        }

    def files(self, model_max_length: int | None) -> dict[str, bytes]:
        """Return the content of each file that a folder is to have of this tokenizer, by name.

        Args:
            model_max_length: how many tokens the model takes, where that is known.
        """
        config = self.to_config()
        if model_max_length is not None:
            config["model_max_length"] = model_max_length
        files = {TOKENIZER_CONFIG: _json_bytes(config)}
        if self.json is not None:
            files[TOKENIZER_JSON] = _json_bytes(self.json)
        return files | {self.saved_as: self.vocabulary_bytes}


def flatten(encoded: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of N texts one after the other, [T] int32, and how many each has, [N] int64."""
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    return np.fromiter(chain.from_iterable(encoded), np.int32, lengths.sum()), lengths


def _json_bytes(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, ensure_ascii=False) + "\n").encode()
