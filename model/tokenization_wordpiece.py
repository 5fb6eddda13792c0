"""Text → WordPiece ids by BERT's rules, as the Chinese ALBERTs of brightmart and Google have them.

The vocabulary is a list of words, ``vocab.txt``. The rules are those of BERT's ``BasicTokenizer``: control
characters dropped, each Chinese character and each punctuation mark a word, lower case without accents.
Python's own tables say which character is which, as there: those of the tokenizers library differ in some
(a sigma at the end of a word, what Unicode added last). The library then cuts words into pieces.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import CharDelimiterSplit

from model.file_kinds import read_head, what_else_it_is
from model.file_names import WORDPIECE_NAME
from model.files import digest
from model.tokenizer import Tokenizer, flatten
from model.tokenizer_config import TokenizerConfig
from model.tokenizer_json import tokenizer_json

_GET_IT = f"give the {WORDPIECE_NAME} that came with the weights"
_MOST_BYTES = 2**26  # BERT's multilingual one has a million.
_MOST_CHARACTERS = 100  # A longer word is unknown as a whole.
_SPECIAL = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
# The first and the last code point of each block of Chinese characters.
_CHINESE = (
    *(0x3400, 0x4DBF, 0x4E00, 0x9FFF, 0xF900, 0xFAFF, 0x20000, 0x2A6DF, 0x2A700, 0x2B73F),
    *(0x2B740, 0x2B81F, 0x2B820, 0x2CEAF, 0x2F800, 0x2FA1F),
)


class WordPieceTokenizer(Tokenizer):
    """WordPiece with BERT's special tokens.

    What ``tokenizer_config.json`` beside the vocabulary says counts: ``do_lower_case``, ``strip_accents``
    (null: where the text is lower-cased) and ``tokenize_chinese_chars``.

    Args:
        vocabulary: ``vocab.txt``, a word a line.
        do_lower_case: lower-case the text. None: as ``tokenizer_config.json`` says; without one, yes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no list of words in UTF-8, or has no [PAD], [UNK], [CLS] or [SEP].
    """

    saved_as = WORDPIECE_NAME

    def __init__(self, vocabulary: str | Path, do_lower_case: bool | None = None) -> None:
        self.vocabulary = Path(vocabulary)
        self.vocabulary_bytes, words = _read_words(self.vocabulary)
        self.vocab_size = len(words)
        self.digest = digest("\n".join(words).encode())
        config = TokenizerConfig(self.vocabulary.parent)
        if do_lower_case is None:
            do_lower_case = config.flag("do_lower_case", True)
        accents = config.flag("strip_accents", None)
        self.settings = {
            "do_lower_case": do_lower_case,
            "strip_accents": accents,
            "tokenize_chinese_chars": config.flag("tokenize_chinese_chars", True),
        }
        self._ids = {word: index for index, word in enumerate(words)}  # Of equal ones the last.
        self.special = {key: word for key, word in _SPECIAL.items() if word in self._ids}
        for key in ("pad_token", "unk_token", "cls_token", "sep_token"):
            if key not in self.special:
                raise ValueError(
                    f"{self.vocabulary} has no {_SPECIAL[key]}: it is no WordPiece vocabulary of an "
                    f"ALBERT; {_GET_IT}"
                )
        self.pad_id, self.unk_id, self.cls_id, self.sep_id = (
            self._ids[_SPECIAL[f"{name}_token"]] for name in ("pad", "unk", "cls", "sep")
        )
        self._lowers = do_lower_case
        self._strips = do_lower_case if accents is None else accents
        chinese = self.settings["tokenize_chinese_chars"]
        self._cleaned = _CharacterMap(lambda char: _clean(char, chinese))
        self._without_accents = _CharacterMap(_without_accent)
        self._split = _CharacterMap(lambda char: f" {char} " if _is_punctuation(char) else char)
        self._library = LibraryTokenizer(WordPiece(**self._model()))
        self._library.pre_tokenizer = CharDelimiterSplit(" ")

    def _model(self) -> dict[str, Any]:
        return {
            "unk_token": _SPECIAL["unk_token"],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": _MOST_CHARACTERS,
            "vocab": self._ids,
        }

    def words(self, text: str) -> str:
        """Return the words of a text, before they are cut into pieces, with a space between each two."""
        text = text.translate(self._cleaned)
        if self._lowers:
            text = text.lower()
        if self._strips:
            text = unicodedata.normalize("NFD", text).translate(self._without_accents)
        return " ".join(text.translate(self._split).split())

    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`model.tokenizer.Tokenizer.encode_flat`."""
        words = [self.words(text) for text in texts]
        return flatten([piece.ids for piece in self._library.encode_batch(words)])

    def to_json(self) -> dict[str, Any]:
        """As :meth:`model.tokenizer.Tokenizer.to_json`, by the library's tables of characters."""
        return tokenizer_json(
            {word: self._ids[word] for word in self.special.values()},
            cls=_SPECIAL["cls_token"],
            sep=_SPECIAL["sep_token"],
            mask=self.special.get("mask_token"),
            normalizer={
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": self.settings["tokenize_chinese_chars"],
                "strip_accents": self._strips,
                "lowercase": self._lowers,
            },
            pre_tokenizer={"type": "BertPreTokenizer"},
            decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
            model={"type": "WordPiece", **self._model()},
        )


class _CharacterMap(dict[int, str]):
    """What becomes of each character, for ``str.translate``; each is looked at once."""

    def __init__(self, rule: Callable[[str], str]) -> None:
        super().__init__()
        self._rule = rule

    def __missing__(self, code: int) -> str:
        self[code] = self._rule(chr(code))
        return self[code]


def _read_words(path: Path) -> tuple[bytes, list[str]]:
    """Read a list of words; returns its bytes and the word of each id."""
    if found := what_else_it_is(path, read_head(path), text_is_strange=False):
        remedy = "" if ":" in found else f": {_GET_IT}"
        raise ValueError(f"{path} is no list of words: it {found}{remedy}")
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise ValueError(f"{path} is no list of words: it has {size:,} bytes")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no list of words: it is not UTF-8: {_GET_IT}") from error
    # No other characters end a line here: some of them are words.
    words = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while words and not words[-1]:
        words.pop()
    return data, words


def _clean(char: str, chinese_apart: bool) -> str:
    """Return nothing for what is no text, a space for white space, and a Chinese character as a word."""
    category = unicodedata.category(char)
    if char in "\t\n\r" or category == "Zs":
        return " "
    if char in "\0\ufffd" or category in ("Cc", "Cf"):
        return ""
    return f" {char} " if chinese_apart and _is_chinese(ord(char)) else char


def _is_chinese(code: int) -> bool:
    return bisect(_CHINESE, code) % 2 == 1 or code in _CHINESE


def _without_accent(char: str) -> str:
    return "" if unicodedata.category(char) == "Mn" else char


def _is_punctuation(char: str) -> bool:
    """Return whether a character is punctuation, or any of ASCII's other signs."""
    if char.isascii():
        return char.isprintable() and not char.isalnum() and char != " "
    return unicodedata.category(char).startswith("P")
