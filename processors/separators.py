"""A table whose cells are separated by something else than its name says."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from processors.formats import COMMAS, format_of, is_packed, unpacked

COMMA, TAB = ",", "\t"
# Tables of one's own are read with these, too, where their first line says so.
OTHERS = (";", "|")
# Excel reads such a first line, and people write it for Excel: in quotes, or filled up with cells, too.
_EXCEL = re.compile(r"\"?sep=([^\w\s\"]|\t)\"?[,;\t]*", re.IGNORECASE)
_NAMES = {COMMA: "commas", TAB: "tabs", ";": "semicolons", "|": "bars (|)"}
_ONE = {COMMA: "comma", TAB: "tab", ";": "semicolon", "|": "bar"}


def separator_of(path: Path) -> str:
    """Return what separates the cells of a file: its ending says so."""
    return COMMA if format_of(path) == COMMAS else TAB


def called(separator: str) -> str:
    """Return the word for one of the separators that tables are read with."""
    return _ONE[separator]


def separator_by_header(path: Path, line: str, wanted: Sequence[str]) -> str:
    """Return what separates the cells of a table of one's own: what its first line says before its name.

    It is one of :data:`OTHERS` where that makes the ``wanted`` columns of ``line``, or makes several
    columns at all, and what the file's ending says does not.
    """
    own = separator_of(path)
    found = {mark: split_line(line, mark) for mark in (own, *OTHERS)}
    if not set(wanted) <= set(found[own]):
        for mark in OTHERS:
            if set(wanted) <= set(found[mark]):
                return mark
        if len(found[own]) == 1:
            return next((mark for mark in OTHERS if len(found[mark]) > 1), own)
    return own


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
    path: Path, own: str, line: str, fits: Callable[[list[str]], bool], may_be_renamed: bool
) -> str:
    """Return what to do where another separator makes of ``line`` the cells that are wanted.

    Args:
        path: the table.
        own: what it was read with.
        line: one of its lines.
        fits: whether these cells are what the line should hold.
        may_be_renamed: whether the user chose the file's name, and may choose another.

    Returns:
        words that follow a complaint; "" where no other separator fits.
    """
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
    packed = path.suffix if is_packed(path) else ""
    plain = unpacked(path)
    if may_be_renamed and separator in (COMMA, TAB):
        ending = ".csv" if separator == COMMA else ".tsv"
        return f"rename it to {plain.with_suffix(ending).name}{packed}"
    delimiter = "" if separator == COMMA else f", delimiter='{separator}'"
    rows = f"csv.reader(sys.stdin{delimiter})"
    if may_be_renamed:
        program = f"csv.writer(sys.stdout).writerows({rows})"
        new = plain.with_name(f"{plain.stem}.commas.csv")
    else:  # Quotes mean nothing in the new file, and a cell holds no tab.
        program = (
            f"[print(*(' '.join(cell.split()) for cell in row), sep=chr(9)) for row in {rows}]"
        )
        new = plain.with_name(f"{plain.stem}.tabs.tsv")
    file, new = shlex.quote(str(path)), shlex.quote(str(new))
    command = f'python -c "import csv, sys; {program}"'
    if packed:
        return f"convert it: gunzip -c {file} | {command} > {new}"
    return f"convert it: {command} < {file} > {new}"
