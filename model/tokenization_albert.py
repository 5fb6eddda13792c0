"""Text → SentencePiece ids by ALBERT's rules.

The rules are those of Google's ALBERT and albert_pytorch: white space collapsed, LaTeX-style quotes
made plain, accents dropped, lower case, and a piece that ends in digit + comma split once more.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from model.file_names import SENTENCEPIECE_NAMES
from model.sentencepiece_export import export, no_export
from model.sentencepiece_file import SPACE, model_rules, read_sentencepiece, vocabulary_digest
from model.tokenizer import Tokenizer, flatten
from model.tokenizer_config import TokenizerConfig

logger = logging.getLogger(__name__)

# No other thread of Python's, such as that which says that the program is at work, runs during a call.
_TEXTS_A_CALL = 10_000
_SPECIAL = {
    "bos_token": "[CLS]",
    "eos_token": "[SEP]",
    "unk_token": "<unk>",
    "sep_token": "[SEP]",
    "pad_token": "<pad>",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}


def clean_text(
    text: str, do_lower_case: bool = True, keep_accents: bool = False, remove_space: bool = True
) -> str:
    """Return ``text`` as SentencePiece is to see it."""
    if remove_space:
        text = " ".join(text.split())
    text = text.replace("``", '"').replace("''", '"')
    if not (keep_accents or text.isascii()):
        text = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in text if not unicodedata.combining(char))
    return text.lower() if do_lower_case else text


class AlbertTokenizer(Tokenizer):
    """SentencePiece tokenizer with ALBERT's special tokens.

    What ``tokenizer_config.json`` beside the vocabulary says counts: ``do_lower_case``, ``keep_accents``
    and ``remove_space`` (as :func:`clean_text` has them).

    Args:
        vocabulary: the SentencePiece model file (``spiece.model``).
        do_lower_case: lower-case the text, as ALBERT's published vocabularies want. None: as
            ``tokenizer_config.json`` says; without one, yes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a SentencePiece model, or has no [CLS], [SEP] or <pad>.
    """

    saved_as = SENTENCEPIECE_NAMES[0]

    def __init__(self, vocabulary: str | Path, do_lower_case: bool | None = None) -> None:
        self.vocabulary = Path(vocabulary)
        config = TokenizerConfig(self.vocabulary.parent)
        if do_lower_case is None:
            do_lower_case = config.flag("do_lower_case", True)
        self.do_lower_case = do_lower_case
        self.settings = {
            "do_lower_case": do_lower_case,
            "keep_accents": config.flag("keep_accents", False),
            "remove_space": config.flag("remove_space", True),
        }
        self.vocabulary_bytes, self.sentencepiece = read_sentencepiece(self.vocabulary)
        self.vocab_size = self.sentencepiece.GetPieceSize()
        self.unk_id = self.sentencepiece.unk_id()
        self.cls_id, self.sep_id, self.pad_id = (
            self._special(token) for token in ("[CLS]", "[SEP]", "<pad>")
        )
        unknown = self.sentencepiece.IdToPiece(self.unk_id)
        self.special = {
            name: unknown if name == "unk_token" else token
            for name, token in _SPECIAL.items()
            if name == "unk_token" or self._has(token)
        }
        self.resplit = self._digit_comma_pieces()
        # Of these ids encode_flat takes a second look.
        self._needs_care = np.zeros(self.vocab_size, dtype=bool)
        self._needs_care[[self.unk_id, *self.resplit]] = True

    @cached_property
    def digest(self) -> str:
        """What tells it from other vocabularies (:func:`model.sentencepiece_file.vocabulary_digest`)."""
        return vocabulary_digest(self.vocabulary_bytes)

    def _has(self, token: str) -> bool:
        return self.sentencepiece.IdToPiece(self.sentencepiece.PieceToId(token)) == token

    def _special(self, token: str) -> int:
        index = self.sentencepiece.PieceToId(token)
        if not self._has(token):
            raise ValueError(
                f"{self.vocabulary} has no {token}: it is no ALBERT vocabulary; give the spiece.model "
                "that came with the weights"
            )
        return index

    def _digit_comma_pieces(self) -> dict[int, list[int]]:
        """Return the ids of every piece that ends in digit + comma, with the ids that replace it."""
        pieces = self.sentencepiece.IdToPiece(list(range(self.vocab_size)))
        return {
            index: [self.sentencepiece.PieceToId(part) for part in self._split(piece)]
            for index, piece in enumerate(pieces)
            if _ends_in_digit_comma(piece)
        }

    def _split(self, piece: str) -> list[str]:
        """Split "▁2013," into "▁2013" and ",", dropping a "▁" that the piece did not have."""
        parts = self.sentencepiece.EncodeAsPieces(piece[:-1].replace(SPACE, ""))
        if parts and not piece.startswith(SPACE) and parts[0].startswith(SPACE):
            parts = [parts[0][1:], *parts[1:]] if len(parts[0]) > 1 else parts[1:]
        return [*parts, ","]

    def tokenize(self, text: str) -> list[str]:
        """Return the pieces of one text; a piece outside the vocabulary stands as it is written."""
        pieces = []
        for piece in self.sentencepiece.EncodeAsPieces(clean_text(text, **self.settings)):
            pieces.extend(self._split(piece) if _ends_in_digit_comma(piece) else [piece])
        return pieces

    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`model.tokenizer.Tokenizer.encode_flat`, in a few calls of SentencePiece."""
        cleaned = [clean_text(text, **self.settings) for text in texts]
        encoded: list[list[int]] = []
        for begin in range(0, len(cleaned), _TEXTS_A_CALL):
            part = cleaned[begin : begin + _TEXTS_A_CALL]
            encoded += self.sentencepiece.Encode(part, out_type=int)
        ids, lengths = flatten(encoded)
        ends = np.cumsum(lengths)
        rows = np.searchsorted(ends, np.flatnonzero(self._needs_care[ids]), side="right")
        parts, done = [], 0
        for row in np.unique(rows).tolist():
            again = np.array(self._split_again(texts[row], encoded[row]), dtype=np.int32)
            parts += [ids[done : ends[row] - lengths[row]], again]
            done, lengths[row] = ends[row], len(again)
        return np.concatenate([*parts, ids[done:]]), lengths

    def _split_again(self, text: str, ids: list[int]) -> list[int]:
        """Return a text's ids with its digit + comma pieces split."""
        if self.unk_id in ids:  # Only the written form tells whether the unknown piece is to split.
            return [self.sentencepiece.PieceToId(piece) for piece in self.tokenize(text)]
        return [part for index in ids for part in self.resplit.get(index, (index,))]

    def to_json(self) -> dict[str, Any] | None:
        """As :meth:`model.tokenizer.Tokenizer.to_json`; a warning says why there is none."""
        rules = model_rules(self.vocabulary_bytes)
        if reason := no_export(rules, self.resplit):
            logger.warning(
                "%s: %s, of which no tokenizer.json is written: this project reads the saved folder, "
                "transformers' AutoTokenizer does not",
                self.vocabulary,
                reason,
            )
            return None
        return export(
            self.sentencepiece,
            self.vocabulary_bytes,
            rules,
            self.settings,
            self.resplit,
            self.special.get("mask_token"),
        )


def _ends_in_digit_comma(piece: str) -> bool:
    return len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()
