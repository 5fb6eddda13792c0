"""What data are instead of plain text, told by their first bytes, and what to do about it."""

from __future__ import annotations

import io
import json
import re
import zipfile

from model.file_kinds import kind_by_start, server_reply

_TABLE = "save it as CSV UTF-8"
_CONTROL = rb"[\0-\x08\x0b\x0c\x0e-\x1f]"
# What is said of the kinds that models come as, too.
_PACKED = {
    "gzip": "a gzip file: gunzip it",
    "bzip2": "a bzip2 file: bunzip2 it",
    "xz": "an xz file: unxz it",
    "zstd": "a zstd file: unzstd it",
    "7-Zip": "a 7z archive: unpack it",
    "RAR": "a rar archive: unpack it",
}
_PDF = "a PDF file: get the data as text"
_POINTER = "a Git LFS pointer, not the data: run `git lfs pull` in its repository"
_TEXTUAL = {
    "LFS": _POINTER,
    "web page": "a web page: download the file itself, not the page about it",
    "XML": f"an XML file: {_TABLE}",
}
# The first bytes of kinds that data alone come as, as a pattern, and what is said of them.
_BINARY = (
    (
        rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        f"an Excel workbook (.xls) or another file of an old Office: {_TABLE}",
    ),
    # A text may begin with these letters, but Parquet goes on with a control character or, encrypted,
    # with a length, whose last byte is zero.
    (
        rb"PAR1" + _CONTROL + rb"|PARE.{3}\0",
        "a Parquet file: write it as CSV, with pandas: "
        "pandas.read_parquet(FILE).to_csv(NEW, index=False)",
    ),
    (
        rb"(ARROW1|FEA1)\0",
        "an Arrow file: write it as CSV, with pandas: "
        "pandas.read_feather(FILE).to_csv(NEW, index=False)",
    ),
    (rb"SQLite format 3\0", "an SQLite database: export the table as CSV"),
    # Its second line says that the file is binary.
    (rb"%PDF-\d\.\d\s+%[\x80-\xff]{4}", _PDF),
    # A whole pointer is text, but nobody's.
    (
        rb"version https://git-lfs\.github\.com/spec/v1\r?\noid sha256:[0-9a-f]{64}\r?\nsize \d+\s*\Z",
        _POINTER,
    ),
)
# Files in a zip archive that tell what wrote it.
_IN_ZIP = (
    ("xl/", f"an Excel workbook: {_TABLE}"),
    ("word/", "a Word document: save its text as a file of its own"),
    ("content.xml", f"a LibreOffice document: {_TABLE}"),
)
_JSON_HINT = "write it as CSV, with pandas: pandas.read_json(FILE{}).to_csv(NEW, index=False)"


def name_binary(data: bytes) -> str | None:
    """Return what data that nobody means as text are, and the remedy; None for all others.

    The words follow the data's name and "is".
    """
    kind = kind_by_start(data)
    if kind == "zip":
        return _name_zip(data)
    if kind in _PACKED:
        return _PACKED[kind]
    return next((words for start, words in _BINARY if re.match(start, data, re.DOTALL)), None)


def name_textual(data: bytes) -> str | None:
    """Return what text that is no table is, and the remedy; None where nothing speaks against a table.

    A line of text may well begin so, and a log may be of JSON lines: this is for tables alone. The words
    follow the data's name and "is".
    """
    kind = kind_by_start(data)
    if kind in _TEXTUAL:
        return _TEXTUAL[kind]
    if reply := server_reply(data):
        return f"what a server says in place of the file ({reply!r}): download it again"
    return _PDF if data.startswith(b"%PDF-") else _name_json(data)


def _name_zip(data: bytes) -> str:
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return "a zip archive (such as an Excel workbook) that is cut off or damaged: get it again"
    for start, words in _IN_ZIP:
        if any(name.startswith(start) for name in names):
            return words
    return "a zip archive: unpack it"


def _name_json(data: bytes) -> str | None:
    """Tell JSON from a text that merely begins with a bracket by reading it."""
    match = re.match(rb"(?:\xef\xbb\xbf)*\s*(?=[\[{])", data)
    if not match:
        return None
    data = data[match.end() :].strip()
    first = _read_json(data.split(b"\n", 1)[0])
    if isinstance(first, dict) and first and b"\n" in data:
        return f"JSON lines: {_JSON_HINT.format(', lines=True')}"
    whole = first if b"\n" not in data else _read_json(data)
    records = whole if isinstance(whole, list) else [whole]
    if records and all(isinstance(record, dict | list) and record for record in records):
        return f"a JSON file: {_JSON_HINT.format('')}"
    return None


def _read_json(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
