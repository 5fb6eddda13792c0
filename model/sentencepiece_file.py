"""SentencePiece's model file (``spiece.model``): read, and checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import sentencepiece

from model.file_kinds import read_head, what_else_it_is

_MOST_BYTES = 2**28  # ALBERT's has 760 kB.
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
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        kind = key & 7
        if kind == 2:
            length, position = _varint(message, position)
            yield key >> 3, message[position : position + length]
            position += length
        elif kind == 0:
            _, position = _varint(message, position)
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
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
