"""The bytes of a data file → its text, or one line on why they are none and what to do."""

from __future__ import annotations

import codecs
import gzip
import logging
import re
import shlex
import zlib
from contextlib import suppress
from pathlib import Path

from model.file_kinds import AGAIN, kind_by_start, why_missing
from processors.data_kinds import name_binary, name_textual
from processors.formats import is_packed, unpacked

logger = logging.getLogger(__name__)

UTF8 = "utf-8"
_LINE_END = "\n"
_SAMPLE = 2**20  # So many bytes tell the encoding.
# These codecs of Python are no encodings of files.
_NOT_FOR_FILES = ("idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape")
# The order matters: UTF-16's mark begins UTF-32's, too.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Frequent characters of Chinese prose, which what is no Chinese in this encoding hardly has.
_SIMPLIFIED = frozenset(
    "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后"
    "小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动"
    "两长很电影最真演片情感觉剧喜欢难爱差错美太让吗问题怎什样给被但高再因把"
)
_TRADITIONAL = frozenset(
    "的一是不了人我在有他這中大來上國個到說們為子和你地出道也時年得就那要下以生會自著去之過家學對可她裡後"
    "小麼心多天而能好都然沒日於起還發成事只作當想看文無開手十用主行方又如前所本見經頭面公同三已老從動"
    "兩長很電影最真演片情感覺劇喜歡難愛差錯美太讓嗎問題怎什樣給被但高再因把"
)
_CHINESE = (
    ("gb18030", _SIMPLIFIED),
    ("big5", _TRADITIONAL),
    ("cp950", _TRADITIONAL),
    ("big5hkscs", _TRADITIONAL),
)
_LEAST_SHARE = 0.2  # of the ideographs; four in ten and more are usual.
# What people call an encoding, and iconv's name of it, where these are not Python's in capitals.
_CALLED = {
    "cp1252": "cp1252 (Western European; Latin-1, if it is that, is read by it, too)",
    "cp950": "Big5",
    "big5": "Big5",
    "big5hkscs": "Big5 as in Hong Kong",
}
_ICONV = {
    "cp1252": "WINDOWS-1252",
    "big5hkscs": "BIG5-HKSCS",
    "utf-16-le": "UTF-16LE",
    "utf-16-be": "UTF-16BE",
}


class OtherKindError(ValueError):
    """Data are something else than text; the message says what after "is", and what to do.

    Attributes:
        kind: what they are.
    """

    def __init__(self, source: str, words: str) -> None:
        super().__init__(f"{source} is {words}")
        self.kind = words.partition(":")[0]


def canonical_encoding(name: str) -> str:
    """Return Python's own name of an encoding.

    Raises:
        LookupError: Python has no encoding of text of that name.
    """
    try:
        found = codecs.lookup(name).name
    except ValueError as error:  # The name has characters that no name has.
        raise LookupError(f"unknown encoding: {name!r}") from error
    if found in _NOT_FOR_FILES:
        raise LookupError(f"{found} is no encoding of files")
    with suppress(UnicodeError):  # One byte may be too few; what is no encoding of text says so.
        b"a".decode(found)
    return UTF8 if found == "utf-8-sig" else found


def read_text(path: Path, encoding: str = UTF8, is_table: bool = False) -> str:
    """Return the text of a file, which may be gzip's by its name, without a byte order mark.

    Args:
        encoding, is_table: as :func:`decode`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no text, or not in this encoding; names the file, the line and the remedy.
    """
    return decode(read_data(path), str(path), encoding, path, is_table)


def read_data(path: Path) -> bytes:
    """Return what a file holds, unpacked where its name says that it is gzip's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it should be gzip's, and is not, or not whole; names the file and the remedy.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise FileNotFoundError(why_missing(path) or f"{path} is missing") from None
    if not is_packed(path) or not data:
        return data
    try:
        return gzip.decompress(data)
    except gzip.BadGzipFile:
        if kind := name_binary(data):
            if kind_by_start(data) != "gzip":
                raise OtherKindError(str(path), kind) from None
            raise _cut_off(path) from None
        raise ValueError(
            f"{path} is no gzip file, as its name says: take {path.suffix} off the name"
        ) from None
    except (EOFError, zlib.error):
        raise _cut_off(path) from None


def _cut_off(path: Path) -> ValueError:
    return ValueError(f"{path} is a gzip file that is cut off or damaged: {AGAIN}")


def decode(
    data: bytes,
    source: str,
    encoding: str = UTF8,
    path: Path | None = None,
    is_table: bool = False,
) -> str:
    """Return ``data`` as text, without byte order marks.

    Args:
        source: what the messages call it.
        encoding: one that :func:`canonical_encoding` returns.
        path: the file that holds it, if one does; the remedy names it.
        is_table: whether it is to be a table. Then JSON, XML and web pages are none; else they are text
            as any other.

    Raises:
        OtherKindError: it is no text, or no table.
        ValueError: as :func:`read_text`.
    """
    if kind := name_binary(data) or (name_textual(data) if is_table else None):
        raise OtherKindError(source, kind)
    try:
        text = data.decode(encoding)
    except UnicodeError as error:
        before = data[: getattr(error, "start", 0)].decode(encoding, "replace")
        raise ValueError(
            f"{source}, line {before.count(_LINE_END) + 1}: not {encoding.upper()}"
            f"{_advice(data, encoding, path)}"
        ) from None
    if encoding.startswith("utf-16") and data.isascii() and data and b"\0" not in data:
        # Any two letters make some other sign, but not even a line ends without a zero byte.
        raise ValueError(
            f"{source}: not {encoding.upper()}, which --encoding says, but UTF-8: leave the flag out"
        )
    if encoding != UTF8:
        _refuse_halves(text, source, encoding)
    if "\0" in text:
        line = text.count(_LINE_END, 0, text.index("\0")) + 1
        guess = guess_encoding(data)
        advice = _remedy(guess, path) if guess else ": the file is damaged, or no text"
        raise ValueError(f"{source}, line {line}: a NUL character{advice}")
    if encoding != UTF8 and not data.isascii() and _decodes(data, UTF8):
        logger.warning("%s is valid UTF-8, and is read as %s all the same", source, encoding)
    return text.lstrip("\ufeff")  # Two programs may have put one each.


def guess_encoding(data: bytes) -> str | None:
    """Return Python's name of the encoding that data other than UTF-8 are probably in; None: who knows."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    if b"\0" in data:
        return _guess_utf16(data)
    sample = data[:_SAMPLE]
    high = len(re.findall(rb"[\x80-\xff]", sample))
    alone = len(re.findall(rb"(?<![\x80-\xff])[\x80-\xff](?![\x80-\xff])", sample))
    if 2 * alone > high:  # An accented letter stands among others without accents.
        return "cp1252" if _decodes(sample, "cp1252") else None
    shares = [(_share(data, name, frequent), name) for name, frequent in _CHINESE]
    share, name = max(shares, key=lambda pair: pair[0])
    return name if share >= _LEAST_SHARE else None


def _guess_utf16(data: bytes) -> str | None:
    """Tell UTF-16 without a mark by its zeros, which stand on one side of all ASCII characters."""
    for name, line_end in (("utf-16-le", b"\n\0"), ("utf-16-be", b"\0\n")):
        side = data[0::2] if name == "utf-16-le" else data[1::2]
        if b"\0" not in side and line_end in data and _decodes(data, name):
            return name
    return None


def _share(data: bytes, encoding: str, frequent: frozenset[str]) -> float:
    decoder = codecs.getincrementaldecoder(encoding)()
    sample = data[:_SAMPLE]
    try:
        text = decoder.decode(sample, final=len(sample) == len(data))
    except UnicodeDecodeError:
        return 0.0
    ideographs = [char for char in text if char >= "\u4e00"]
    return sum(char in frequent for char in ideographs) / max(len(ideographs), 1)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeError:
        return False
    return True


def _refuse_halves(text: str, source: str, encoding: str) -> None:
    """Refuse halves of characters (surrogates), which UTF-7 and the like let through."""
    try:
        text.encode(UTF8)
    except UnicodeEncodeError as error:
        line = text.count(_LINE_END, 0, error.start) + 1
        raise ValueError(f"{source}, line {line}: no text in {encoding.upper()}") from None


def _advice(data: bytes, encoding: str, path: Path | None) -> str:
    if encoding != UTF8:
        if _decodes(data, UTF8):
            return ", which --encoding says, but UTF-8: leave the flag out"
        return ", which --encoding says: the file is damaged there, or in another encoding"
    if _is_mostly_utf8(data):
        return " there, though most of the file is: mend the line, it is damaged or pasted in"
    return _remedy(guess_encoding(data), path)


def _is_mostly_utf8(data: bytes) -> bool:
    """Return whether more characters beyond ASCII are right than wrong in some data."""
    text = data[:_SAMPLE].decode(UTF8, "replace")
    wrong = text.count("\ufffd")
    return len(re.findall(r"[^\x00-\x7f]", text)) - wrong > wrong


def _remedy(guess: str | None, path: Path | None) -> str:
    name = guess or "NAME"
    iconv = _ICONV.get(name, name.upper())
    if guess:
        words = f", probably {_CALLED.get(name, name.upper())}: give --encoding {name}"
    else:
        words = ", and its bytes do not tell what else: give --encoding NAME"
    if path is None:
        return f"{words}, or pipe it through iconv -f {iconv} -t UTF-8"
    plain = unpacked(path)
    file, new = (shlex.quote(str(name)) for name in (path, plain.with_stem(f"{plain.stem}.utf8")))
    if is_packed(path):
        return f"{words}, or convert it: gunzip -c {file} | iconv -f {iconv} -t UTF-8 > {new}"
    return f"{words}, or convert it: iconv -f {iconv} -t UTF-8 {file} > {new}"
