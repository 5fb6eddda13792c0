"""What a table's name says of it, and how its rows are counted."""

from __future__ import annotations

from pathlib import Path

PACKED = ".gz"
COMMAS, TABS, JSON_LINES, PARQUET = "commas", "tabs", "JSON lines", "Parquet"
# What ends otherwise is tab-separated where a table is wanted, and else has a sentence a line.
_FORMATS = {
    ".csv": COMMAS,
    ".tsv": TABS,
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".json": JSON_LINES,
    ".parquet": PARQUET,
    ".pq": PARQUET,
}


def is_packed(path: Path) -> bool:
    """Return whether a file is called one of gzip's."""
    return path.suffix.lower() == PACKED


def unpacked(path: Path) -> Path:
    """Return the path without gzip's ending: what it would be called unpacked."""
    return path.with_suffix("") if is_packed(path) else path


def format_of(path: Path) -> str:
    """Return the format of a table: :data:`COMMAS`, :data:`JSON_LINES`, :data:`PARQUET`, else TABS."""
    return _FORMATS.get(unpacked(path).suffix.lower(), TABS)


def is_named_table(path: Path) -> bool:
    """Return whether a file's name says that it is a table."""
    return unpacked(path).suffix.lower() in _FORMATS


def place(path: Path, number: int) -> str:
    """Return what messages call the row of a table that ``number`` names: a file has lines, or records."""
    return f"{path}, {numbered(path, number)}"


def numbered(path: Path, number: int) -> str:
    """Return "line" or "record", as the rows of a table are counted, and the number."""
    return f"{'record' if format_of(path) == PARQUET else 'line'} {number}"
