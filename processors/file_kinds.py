"""What a file is instead of text, told by its first bytes, and what to do about it."""

from __future__ import annotations

import io
import json
import re
import zipfile

_TABLE = "save it as CSV UTF-8"
# The first bytes of a kind, as a pattern, and what is said of it. The order is that of the trials.
_KINDS = (
    (rb"\x1f\x8b", "a gzip file: gunzip it"),
    (rb"BZh[1-9]1AY&SY", "a bzip2 file: bunzip2 it"),
    (rb"\xfd7zXZ\0", "an xz file: unxz it"),
    (rb"\x28\xb5\x2f\xfd", "a zstd file: unzstd it"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (rb"Rar!\x1a\x07", "a rar archive: unpack it"),
    (
        rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        f"an Excel workbook (.xls) or another file of an old Office: {_TABLE}",
    ),
    # A table may have a column of this name, but Parquet goes on with a control character.
    (
        rb"PAR[1E][^\t\r\n -~]",
        "a Parquet file: write it as CSV, with pandas: "
        "pandas.read_parquet(FILE).to_csv(NEW, index=False)",
    ),
    (
        rb"ARROW1\0|FEA1[^\t\r\n -~]",
        "an Arrow file: write it as CSV, with pandas: "
        "pandas.read_feather(FILE).to_csv(NEW, index=False)",
    ),
    (rb"SQLite format 3\0", "an SQLite database: export the table as CSV"),
    (rb"%PDF-", "a PDF file: get the data as text"),
    (
        rb"version https://git-lfs\.github\.com/spec/",
        "a Git LFS pointer, not the data: run `git lfs pull` in its repository",
    ),
    (
        rb"(?i:(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<(!doctype\s+html|html)\b)",
        "a web page: download the file itself, not the page about it",
    ),
    (rb"(\xef\xbb\xbf)?\s*<\?xml\b", f"an XML file: {_TABLE}"),
)
# Files in a zip archive that tell what wrote it.
_IN_ZIP = (
    ("xl/", f"an Excel workbook: {_TABLE}"),
    ("word/", "a Word document: save its text as a file of its own"),
    ("content.xml", f"a LibreOffice document: {_TABLE}"),
)
_JSON_HINT = "write it as CSV, with pandas: pandas.read_json(FILE{}).to_csv(NEW, index=False)"


def name_kind(data: bytes) -> str | None:
    """Return what the content of a file is and the remedy, if it is no plain text.

    The words follow the file's name and "is"; None means that nothing speaks against text.
    """
    if data.startswith(b"PK\x03\x04"):
        return _name_zip(data)
    for pattern, words in _KINDS:
        if re.match(pattern, data, re.DOTALL):
            return words
    return _name_json(data)


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
    if not re.match(rb"(\xef\xbb\xbf)?\s*[\[{]", data):
        return None
    data = data.removeprefix(b"\xef\xbb\xbf").strip()
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
