"""The text of a table → its rows, each with the line that it begins on."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

Row = tuple[int, list[str]]  # These are the line it begins on, from 1, and its cells.


def tsv_rows(path: Path, text: str) -> Iterator[Row]:
    """Yield the rows of tab-separated ``text``; one without cells is a blank line.

    Rows end in LF or CR LF; the end of the last one may be missing. Quotes mean nothing special.

    Raises:
        ValueError: the lines end in CR alone.
    """
    # GLUE's texts hold characters that splitlines() would take for line ends.
    lines = split_lines(text, str(path))
    return ((n, line.split("\t") if line else []) for n, line in enumerate(lines, start=1))


def split_lines(text: str, source: str) -> list[str]:
    """Return the lines of ``text``, which end in LF or CR LF; the end of the last one may be missing.

    Raises:
        ValueError: they end in CR alone; names the ``source``.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    lines = [line.removesuffix("\r") for line in lines]
    if lines and "\r" in lines[0]:
        raise ValueError(f"{source}: its lines end in CR alone; save it with LF or CR LF")
    return lines


def csv_rows(path: Path, text: str, separator: str = ",") -> Iterator[Row]:
    """Yield the rows of comma-separated ``text`` (RFC 4180); one without cells is a blank line.

    Another ``separator`` takes the comma's place.

    Rows end in LF or CR LF, or all in CR alone, as old Macs have it.

    Raises:
        ValueError: the quotes do not match, or a CR stands alone outside them; names the line that the
            row with the fault begins on.
    """
    csv.field_size_limit(2**31 - 1)  # A text may be longer than csv expects.
    if "\n" not in text:
        text = text.replace("\r", "\n")
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=separator, strict=True)
    number = 1
    try:
        for cells in reader:
            yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {number}: no valid CSV: {_reason(str(error), number, reader.line_num)}"
        ) from error


def _reason(error: str, first: int, last: int) -> str:
    """Return what is wrong with a row from line ``first`` on, where csv gave up on line ``last``."""
    if error.startswith("unexpected end"):
        return "a quote that opens in the row that begins here is never closed"
    if error.startswith("new-line"):
        return "a CR alone outside of quotes; save it with LF or CR LF"
    if re.match("'.' expected", error):
        where = (
            "" if first == last else f" (on line {last}; the quote may be open since line {first})"
        )
        return (
            f"a cell goes on after the quote that closes it{where}: double the quotes inside a "
            "quoted cell, and close each that opens one"
        )
    return error
