"""SentencePiece's model file (``spiece.model``): read, and checked before anything is made of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece

from model.file_kinds import read_head, what_else_it_is
from model.files import digest

_MOST_BYTES = 2**28  # ALBERT's has 760 kB.
_ALL_BITS = 2**64 - 1
# These numbers of protobuf's fields are SentencePiece's; each has its default beside it.
_OF_PIECE = {1: b"", 2: b"\0\0\0\0", 3: 1}  # text, score, type
_OF_NORMALIZER = {2: b"", 3: 1, 4: 1, 5: 1}  # rules, a space before, fewer spaces, spaces as "▁"
_OF_TRAINER = {
    3: 1,
    24: 0,
    35: 0,
}  # unigram or another kind, "▁" after a word, bytes for the unknown
SPACE = "▁"  # It marks the space before a word.
_KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_GET_IT = "get the spiece.model that came with the weights"


def read_sentencepiece(path: Path) -> tuple[bytes, sentencepiece.SentencePieceProcessor]:
    """Read a SentencePiece model; returns its bytes and what reads texts with it.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
        ValueError: it is no SentencePiece model; says what it is, where that is known.
    """
    head = read_head(path)
    if found := what_else_it_is(path, head):
        remedy = "" if ":" in found else f": {_GET_IT}"
        raise ValueError(f"{path} is no SentencePiece model: it {found}{remedy}")
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise ValueError(f"{path} is no SentencePiece model: it has {size:,} bytes")
    data = path.read_bytes()
    processor = sentencepiece.SentencePieceProcessor()
    try:
        _check_parts(data)
        processor.LoadFromSerializedProto(data)
        processor.IdToPiece(list(range(processor.GetPieceSize())))  # Each is to be valid UTF-8.
    except Exception as error:  # Of every type, and most name a line of SentencePiece's source.
        raise ValueError(f"{path} is no SentencePiece model, or is damaged: {_GET_IT}") from error
    return data, processor


def charsmap(model: bytes) -> bytes:
    """Return the compiled normalization rules in a serialized SentencePiece model.

    They are field 2 (``precompiled_charsmap``) of field 3 (``normalizer_spec``) of the message; reading
    these two does not need the protobuf package.

    Raises:
        ValueError: it is no message of protobuf.
    """
    found = b""
    for field, value in _fields(model):
        if field == 3:
            found = _charsmap_in(value, found)
    return found


def _charsmap_in(normalizer: bytes, otherwise: bytes) -> bytes:
    return next((value for number, value in _fields(normalizer) if number == 2), otherwise)


def vocabulary_digest(model: bytes) -> str:
    """Return the SHA-256 of what makes ids of a text, in a serialized SentencePiece model.

    That is every piece's text, score and type in their order; how texts are normalized; and of what the
    model was trained with the kind of the model, on which side of a word "▁" is, and whether bytes stand
    for what is unknown. With what else is in the file, or how it is written, it does not change.

    Raises:
        ValueError: it is no message of protobuf.
    """
    normalizer, trainer = dict(_OF_NORMALIZER), dict(_OF_TRAINER)
    content = []
    for field, value in _fields(model):
        if field == 1:
            text, score, kind = _values(value, _OF_PIECE).values()
            content.append(struct.pack("<Q4sQ", len(text), score, kind & _ALL_BITS) + text)
        elif field == 2:
            trainer = _values(value, trainer)
        elif field == 3:
            normalizer = _values(value, normalizer)
    rules = normalizer.pop(2)
    content.append(repr((len(content), normalizer, trainer)).encode() + rules)
    return digest(b"".join(content))


@dataclass(frozen=True)
class Rules:
    """How a SentencePiece model makes pieces of a text.

    Attributes:
        kind: ``unigram``, ``bpe``, ``word`` or ``char``.
        suffix: whether "▁" ends a word instead of beginning it.
        bytes: whether bytes stand for what is unknown.
        prefix: whether a text gets a space before it.
        collapses: whether of several spaces one stays, and none at the ends.
        escapes: whether spaces become "▁".
    """

    kind: str
    suffix: bool
    bytes: bool
    prefix: bool
    collapses: bool
    escapes: bool


def model_rules(model: bytes) -> Rules:
    """Return the rules that a serialized SentencePiece model states.

    Raises:
        ValueError: it is no message of protobuf.
    """
    normalizer, trainer = dict(_OF_NORMALIZER), dict(_OF_TRAINER)
    for field, value in _fields(model):
        if field == 2:
            trainer = _values(value, trainer)
        elif field == 3:
            normalizer = _values(value, normalizer)
    _, prefix, collapses, escapes = normalizer.values()
    kind, suffix, fallback = trainer.values()
    flags = map(bool, (suffix, fallback, prefix, collapses, escapes))
    return Rules(_KINDS.get(kind, str(kind)), *flags)


def _values(message: bytes, otherwise: dict[int, bytes | int]) -> dict[int, bytes | int]:
    """Return the fields of a message that ``otherwise`` has, which says what stands for a missing one."""
    values = dict(otherwise)
    for number, _, value in _all_fields(message):
        # What is of another type is not the field that SentencePiece knows.
        if number in values and type(value) is type(values[number]):
            values[number] = value
    return values


def _check_parts(model: bytes) -> None:
    """See that nothing in a model ends the process: older releases of SentencePiece believe everything.

    The pieces are the fields 1 of the message, and field 1 of each is its text: it may have no zero byte.

    Raises:
        ValueError: something does.
    """
    rules = b""
    for field, value in _fields(model):
        if field == 1 and b"\0" in value:  # The score may have one, too.
            if any(number == 1 and b"\0" in text for number, text in _fields(value)):
                raise ValueError("a piece has a zero byte")
        elif field == 3:
            rules = _charsmap_in(value, rules)
    _check_charsmap(rules)


def _check_charsmap(rules: bytes) -> None:
    """See that the rules lead nowhere outside themselves: older releases of SentencePiece follow any.

    They are a length (4 bytes), a double array of 4-byte units of that length (the trie of what is
    replaced), and the replacements, each with a zero at its end. A unit leads to the units whose index
    differs from its own in the offset, the topmost 22 bits, and a character; or, with its highest bit set,
    it is the place of a replacement.

    Raises:
        ValueError: they do.
    """
    if not rules:
        return
    length = int.from_bytes(rules[:4], "little")
    units = np.frombuffer(rules[4 : 4 + length], "<u4") if length % 4 == 0 else np.array([], "<u4")
    replacements = rules[4 + length :]
    leaf = units >> 31 == 1
    offset = (units >> 10) << ((units & (1 << 9)) >> 6)
    furthest = (np.arange(len(units), dtype=np.uint32) ^ offset) | 0xFF
    if (
        length != 4 * len(units)
        or not len(units)
        or not replacements.endswith(b"\0")
        or (furthest[~leaf] >= len(units)).any()
        or ((units[leaf] & 0x7FFFFFFF) >= len(replacements)).any()
    ):
        raise ValueError("the normalization rules are damaged")


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each length-delimited field of a protobuf message.

    Raises:
        ValueError: it is none.
    """
    for number, kind, value in _all_fields(message):
        if kind == 2:
            yield number, value


def _all_fields(message: bytes) -> Iterator[tuple[int, int, bytes | int]]:
    """Yield the number, the kind on the wire and the value of each field of a protobuf message.

    Raises:
        ValueError: it is none.
    """
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        kind = key & 7
        if kind == 2:
            length, position = _varint(message, position)
            yield key >> 3, kind, message[position : position + length]
            position += length
        elif kind == 0:
            value, position = _varint(message, position)
            yield key >> 3, kind, value
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            yield key >> 3, kind, message[position : position + length]
            position += length
        else:
            raise ValueError(f"a field of the unknown kind {kind}")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, seven bits a byte, and the position after it."""
    value = shift = 0
    while position < len(message) and shift < 64:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number without an end")
