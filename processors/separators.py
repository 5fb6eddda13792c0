"""A table whose cells are separated by something else than its name says."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Callable
from pathlib import Path

COMMA, TAB = ",", "\t"
# Excel reads such a first line, and people write it for Excel: in quotes, or filled up with cells, too.
_EXCEL = re.compile(r"\"?sep=([^\w\s\"]|\t)\"?[,;\t]*", re.IGNORECASE)
_NAMES = {COMMA: "commas", TAB: "tabs", ";": "semicolons", "|": "bars (|)"}


def separator_of(path: Path) -> str:
    """Return what separates the cells of a file: its ending says so."""
    return COMMA if path.suffix.lower() == ".csv" else TAB


def excel_separator(line: str) -> str | None:
    """Return the separator that a table's first line tells Excel of; None if it tells none."""
    match = _EXCEL.fullmatch(line)
    return match[1] if match else None


def named_separator(path: Path, separator: str, may_be_renamed: bool) -> str:
    """Return words that follow a complaint: what separates the columns of ``path``, and what to do.

    Args:
        separator: what does, which is not what the file's ending says.
        may_be_renamed: as :func:`other_separator`.
    """
    name = _NAMES.get(separator, repr(separator))
    return f": its columns are separated by {name}: {_remedy(path, separator, may_be_renamed)}"


def other_separator(
    path: Path, line: str, fits: Callable[[list[str]], bool], may_be_renamed: bool
) -> str:
    """Return what to do where another separator makes of ``line`` the cells that are wanted.

    Args:
        path: the table.
        line: one of its lines.
        fits: whether these cells are what the line should hold.
        may_be_renamed: whether the user chose the file's name, and may choose another.

    Returns:
        words that follow a complaint; "" where no other separator fits.
    """
    own = separator_of(path)
    for separator in _NAMES:
        if separator != own and fits(split_line(line, separator)):
            return named_separator(path, separator, may_be_renamed)
    return ""


def split_line(line: str, separator: str) -> list[str]:
    """Return the cells of one line; quotes hold them together unless tabs separate them."""
    line = line.rstrip("\r\n")
    if separator == TAB:
        return line.split(TAB)
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _remedy(path: Path, separator: str, may_be_renamed: bool) -> str:
    if may_be_renamed and separator in (COMMA, TAB):
        return f"rename it to {path.with_suffix('.csv' if separator == COMMA else '.tsv').name}"
    delimiter = "" if separator == COMMA else f", delimiter='{separator}'"
    rows = f"csv.reader(sys.stdin{delimiter})"
    if may_be_renamed:
        program = f"csv.writer(sys.stdout).writerows({rows})"
        new = path.with_name(f"{path.stem}.commas.csv")
    else:  # Quotes mean nothing in the new file, and a cell holds no tab.
        program = (
            f"[print(*(' '.join(cell.split()) for cell in row), sep=chr(9)) for row in {rows}]"
        )
        new = path.with_name(f"{path.stem}.tabs.tsv")
    file, new = shlex.quote(str(path)), shlex.quote(str(new))
    return f'convert it: python -c "import csv, sys; {program}" < {file} > {new}'
