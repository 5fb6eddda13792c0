"""Text → SentencePiece ids by ALBERT's rules.

The rules are those of Google's ALBERT and albert_pytorch: white space collapsed, LaTeX-style quotes
made plain, accents dropped, lower case, and a piece that ends in digit + comma split once more.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from model.configuration_albert import VOCABULARY_KEY, AlbertConfig
from model.file_names import VOCABULARY_NAMES
from model.files import find_file
from model.json_files import read_json_object, shown
from model.sentencepiece_file import read_sentencepiece, vocabulary_digest

logger = logging.getLogger(__name__)

TOKENIZER_CONFIG = "tokenizer_config.json"
SPACE = "▁"  # SentencePiece marks the space before a word with it.


def find_vocabulary(folder: str | Path) -> Path:
    """Return the SentencePiece model in ``folder``, under either of its two usual names.

    Raises:
        FileNotFoundError: neither is there.
    """
    return find_file(folder, VOCABULARY_NAMES, "vocabulary")


class Sources(NamedTuple):
    """Where a model's configuration is from, and its vocabulary, as errors name them.

    Attributes:
        config: the file that the configuration was read from.
        config_flag, vocabulary_flag: what names that, and the vocabulary, where a flag of its own does.
    """

    config: Path
    config_flag: str | None = None
    vocabulary_flag: str | None = None


def check_vocabulary(config: AlbertConfig, tokenizer: AlbertTokenizer, sources: Sources) -> None:
    """See that the model knows every piece of the vocabulary; a warning tells of a smaller one.

    Raises:
        ValueError: the vocabulary has more pieces than the model, or is not the one that the model says.
    """
    named = _named(tokenizer.vocabulary, sources.vocabulary_flag)
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"{named} has {tokenizer.vocab_size} pieces, but the model's vocab_size is "
            f"{config.vocab_size} in {_named(sources.config, sources.config_flag)}: give the vocabulary "
            "that came with it"
        )
    check_same_vocabulary(config, tokenizer, sources)
    if tokenizer.vocab_size < config.vocab_size:
        logger.warning(
            "%s has %d pieces, fewer than the model's vocab_size %d: is it the model's own?",
            named,
            tokenizer.vocab_size,
            config.vocab_size,
        )


def check_same_vocabulary(
    config: AlbertConfig, tokenizer: AlbertTokenizer, sources: Sources
) -> None:
    """See that a vocabulary is the one that the configuration was saved with, if that says which.

    Another of the same size would be read as if it were that one, and every result be nonsense.

    Raises:
        ValueError: it is another.
    """
    if config.vocabulary_sha256 not in (None, tokenizer.digest):
        source, config_flag, vocabulary_flag = sources
        other = f", or leave {config_flag} out" if config_flag else ""
        raise ValueError(
            f"{_named(tokenizer.vocabulary, vocabulary_flag)} is not the vocabulary that "
            f"{_named(source, config_flag)} was saved with, as its {VOCABULARY_KEY} tells: give the "
            f"{VOCABULARY_NAMES[0]} that was saved with it{other}; or, if it was changed on purpose, take "
            f"{VOCABULARY_KEY} out of {source}"
        )


def _named(path: Path, flag: str | None) -> str:
    return f"{path} ({flag})" if flag else str(path)


def clean_text(text: str, do_lower_case: bool = True) -> str:
    """Return ``text`` as SentencePiece is to see it."""
    text = " ".join(text.split()).replace("``", '"').replace("''", '"')
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in text if not unicodedata.combining(char))
    return text.lower() if do_lower_case else text


class AlbertTokenizer:
    """SentencePiece tokenizer with ALBERT's special tokens.

    Args:
        vocabulary: the SentencePiece model file (``spiece.model``).
        do_lower_case: lower-case the text, as ALBERT's published vocabularies want. None: as
            ``tokenizer_config.json`` beside the vocabulary says; without one, yes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a SentencePiece model, or has no [CLS], [SEP] or <pad>.
    """

    def __init__(self, vocabulary: str | Path, do_lower_case: bool | None = None) -> None:
        self.vocabulary = Path(vocabulary)
        if do_lower_case is None:
            do_lower_case = _saved_lower_case(self.vocabulary.parent)
        self.do_lower_case = do_lower_case
        self.vocabulary_bytes, self.sentencepiece = read_sentencepiece(self.vocabulary)
        self.vocab_size = self.sentencepiece.GetPieceSize()
        self.unk_id = self.sentencepiece.unk_id()
        self.cls_id, self.sep_id, self.pad_id = (
            self._special(token) for token in ("[CLS]", "[SEP]", "<pad>")
        )
        self.resplit = self._digit_comma_pieces()
        # Of these ids encode_flat takes a second look.
        self._needs_care = np.zeros(self.vocab_size, dtype=bool)
        self._needs_care[[self.unk_id, *self.resplit]] = True

    @cached_property
    def digest(self) -> str:
        """What tells it from other vocabularies (:func:`model.sentencepiece_file.vocabulary_digest`)."""
        return vocabulary_digest(self.vocabulary_bytes)

    def _special(self, token: str) -> int:
        index = self.sentencepiece.PieceToId(token)
        if self.sentencepiece.IdToPiece(index) != token:
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
        for piece in self.sentencepiece.EncodeAsPieces(clean_text(text, self.do_lower_case)):
            pieces.extend(self._split(piece) if _ends_in_digit_comma(piece) else [piece])
        return pieces

    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of all texts one after the other, in one call of SentencePiece.

        Returns:
            [T] int32 ids without special tokens, and how many each of the N texts has: [N] int64.
        """
        encoded = self.sentencepiece.Encode(
            [clean_text(text, self.do_lower_case) for text in texts], out_type=int
        )
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        ids = np.fromiter(chain.from_iterable(encoded), np.int32, lengths.sum())
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


def _saved_lower_case(folder: Path) -> bool:
    file = folder / TOKENIZER_CONFIG
    if not file.exists() and not file.is_symlink():
        return True
    value = read_json_object(file, "tokenizer configuration").get("do_lower_case", True)
    if not isinstance(value, bool):
        raise ValueError(f"{file}: do_lower_case is {shown(value)}, not true or false")
    return value


def _ends_in_digit_comma(piece: str) -> bool:
    return len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()
