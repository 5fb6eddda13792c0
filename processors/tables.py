"""Tables of each format → columns, with the line or the number of the record that each row is."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from processors.data_kinds import name_binary, name_textual
from processors.formats import JSON_LINES, PACKED, PARQUET, format_of, is_packed, place, unpacked
from processors.glue import Task
from processors.json_lines import json_records
from processors.parquet import open_parquet
from processors.rows import csv_rows, tsv_rows
from processors.separators import (
    OTHERS,
    TAB,
    called,
    excel_separator,
    named_separator,
    other_separator,
    separator_by_header,
    separator_of,
)
from processors.text_files import OtherKindError, read_data, read_text

logger = logging.getLogger(__name__)

# It stands for what a record of JSON does not name; None for what it says is null.
ABSENT = object()


@dataclass(frozen=True)
class Table:
    """A table that is open.

    Attributes:
        place: what messages call the place where the columns' names stand.
        header: the names.
        take: returns, of the columns at some positions of the header, the line or record that each row is
            and the values, column by column: text, or what JSON and Parquet have; :data:`ABSENT` for what
            a record does not name.
        other: returns words on what else may separate the cells of the header, where these columns are
            wanted and it lacks some.
    """

    path: Path
    place: str
    header: list[str]
    take: Callable[[Sequence[int]], tuple[list[int], list[list[Any]]]]
    other: Callable[[Sequence[str]], str] = lambda wanted: ""


@dataclass(frozen=True)
class WholeTable:
    """All of a table.

    Attributes:
        header: the names of its C columns.
        numbers: [N] the line that each row begins on, or the number of the record, from 1.
        columns: [C][N] the values as :class:`Table` has them.
        texts: [W][N] those of the wanted columns, as text.
    """

    header: list[str]
    numbers: list[int]
    columns: list[list[Any]]
    texts: list[list[str]]


def read_columns(
    task: Task, path: Path, split: str, wanted: tuple[str, ...], optional: str | None = None
) -> tuple[list[int], list[list[str]]]:
    """Return the line or record that each row of a file is, and the ``wanted`` columns as text.

    The ``optional`` column comes after them where the table has it; what is no text there is empty.

    A file ending in ``.csv`` is comma-separated with quotes (RFC 4180), in ``.jsonl``, ``.ndjson`` or
    ``.json`` JSON lines, in ``.parquet`` or ``.pq`` Parquet; any other is tab-separated, and quotes mean
    nothing special. ``.gz`` may follow. The first line names the columns, unless the task says otherwise;
    in a table of one's own semicolons or bars may separate them. Null, and a number that is none, are
    an empty cell; true, false and numbers are what JSON writes. In a multi-label task a list of labels is
    the cell that has them with the task's separator between.

    A blank line is a row in a table of one column: one with an empty cell. The end of the last line makes
    no further row. In a table of several columns blank lines at the end are ignored, and one between
    rows is an error: no row ever takes the place of another. A line of spaces alone is blank, too. Excel's
    own first line, ``sep=,``, is none of the table.

    Raises:
        FileNotFoundError: there is no such file.
        ModuleNotFoundError: it is Parquet, and pyarrow is not installed.
        ValueError: it is no table in the task's encoding, lacks a column or has a bad row; names the file
            and the line.
    """
    table = open_table(task, path, split, wanted)
    positions = find_columns(task, table, wanted)
    if optional is not None and table.header.count(optional) == 1:
        positions.append(table.header.index(optional))
    numbers, columns = table.take(positions)
    if task.is_multi_label and task.label in wanted:
        i = wanted.index(task.label)
        columns[i] = _joined(task, table, numbers, columns[i])
    texts = _as_texts(table, wanted, numbers, columns[: len(wanted)])
    for column in columns[len(wanted) :]:
        texts += _optional_texts(task, table, numbers, column)
    return numbers, texts


def _optional_texts(
    task: Task, table: Table, numbers: list[int], values: list[Any]
) -> list[list[str]]:
    """Return a column of labels as text, or none where an empty cell would take the place of a fault."""
    if not task.is_multi_label:
        return [[as_text(value) or "" for value in values]]
    try:
        joined = _joined(task, table, numbers, values)
        return _as_texts(table, (task.label,), numbers, [joined])
    except ValueError as error:
        logger.warning("%s: the file is predicted, and not scored", error)
        return []


def _joined(task: Task, table: Table, numbers: list[int], values: list[Any]) -> list[Any]:
    """Return a column of labels with each list of them, which JSON and Parquet have, as one cell.

    Raises:
        ValueError: a label has in it what stands between two; names the line or record.
    """
    cells = list(values)
    for i, value in enumerate(values):
        if not isinstance(value, list | tuple) or None in (parts := list(map(as_text, value))):
            continue
        if cut := next((part for part in parts if task.label_separator in part), None):
            raise ValueError(
                f"{place(table.path, numbers[i])}: the label {clip(repr(cut))} has "
                f"{task.label_separator!r} in it, which stands between labels: name another sign with "
                "--label_separator"
            )
        cells[i] = task.label_separator.join(parts)
    return cells


def read_whole_table(task: Task, path: Path, wanted: tuple[str, ...]) -> WholeTable:
    """Return all of a test file, and its ``wanted`` columns as text, too.

    Raises:
        FileNotFoundError, ModuleNotFoundError, ValueError: as :func:`read_columns`.
    """
    table = open_table(task, path, "test", wanted)
    positions = find_columns(task, table, wanted)
    numbers, columns = table.take(range(len(table.header)))
    texts = _as_texts(table, wanted, numbers, [columns[i] for i in positions])
    return WholeTable(table.header, numbers, columns, texts)


def open_table(task: Task, path: Path, split: str, wanted: Sequence[str]) -> Table:
    """Open a file in the format that its name says; ``wanted`` columns help to tell what separates cells.

    Raises:
        FileNotFoundError, ModuleNotFoundError, ValueError: as :func:`read_columns`.
    """
    if format_of(path) == JSON_LINES:
        return _open_json_lines(task, path)
    if format_of(path) == PARQUET:
        return _open_parquet(path)
    return _open_separated(task, path, split, wanted)


def _open_json_lines(task: Task, path: Path) -> Table:
    lines = list(json_records(path, read_text(path, task.encoding)))
    if not lines:
        raise _empty(path)
    header = list(dict.fromkeys(chain.from_iterable(record for _, record in lines)))

    def take(positions: Sequence[int]) -> tuple[list[int], list[list[Any]]]:
        names = [header[i] for i in positions]
        columns = [[record.get(name, ABSENT) for _, record in lines] for name in names]
        return [number for number, _ in lines], columns

    return Table(path, place(path, lines[0][0]), header, take)


def _open_parquet(path: Path) -> Table:
    data = read_data(path)
    if not data:
        raise _empty(path)
    if not data.startswith(b"PAR1") and (kind := name_binary(data) or name_textual(data)):
        raise OtherKindError(str(path), kind)
    header, count, column = open_parquet(path, data)
    if not count:
        raise _no_examples(path)

    def take(positions: Sequence[int]) -> tuple[list[int], list[list[Any]]]:
        return list(range(1, count + 1)), [column(i) for i in positions]

    return Table(path, str(path), header, take)


def _open_separated(task: Task, path: Path, split: str, wanted: Sequence[str]) -> Table:
    text = _read_table(task, path)
    first_line = _first_line(text)
    named = excel_separator(first_line)
    if named:
        if named != separator_of(path) and not (task.own_files and named in OTHERS):
            raise ValueError(
                f"{path}, line 1: {first_line.strip()!r}"
                f"{named_separator(path, named, task.own_files)}"
            )
        first_line = _first_line(text[len(first_line) :].lstrip("\r\n"))
    separator = named or separator_of(path)
    if task.own_files and not named:
        separator = separator_by_header(path, first_line, wanted)
    rows = tsv_rows(path, text) if separator == TAB else csv_rows(path, text, separator)
    if named:
        next(rows)  # It is Excel's, and no row.
    first = next(rows, None)
    if first is None:
        raise _empty(path)
    number, header = first
    names = list(task.headerless.get(split, ()))
    if names and header != names:
        header, rows = names, chain([first], rows)
    if not header:
        raise ValueError(
            f"{path}, line {number}: a blank line, where the names of the columns should be"
        )
    width = len(header)
    lenient = task.skips_broken_rows and split == "train"

    def other(wanted: Sequence[str]) -> str:
        def fits(cells: list[str]) -> bool:
            return set(wanted) <= set(cells)

        return other_separator(path, separator, first_line, fits, task.own_files)

    def take(positions: Sequence[int]) -> tuple[list[int], list[list[Any]]]:
        # The cells go into lists of text: a list for each row would keep the garbage collector busy.
        numbers, columns = [], [[] for _ in positions]
        takers = [(column.append, i) for column, i in zip(columns, positions, strict=True)]
        blanks, broken = [], []
        for number, cells in rows:
            if width > 1 and (not cells or (len(cells) == 1 and not cells[0].strip())):
                blanks.append(number)  # One of spaces alone looks the same.
                continue
            cells = cells or [""]
            if blanks:
                if not lenient:
                    raise ValueError(
                        f"{path}, line {blanks[0]}: a blank line between rows: take it out"
                    )
                broken += blanks
                blanks.clear()
            if len(cells) == width:
                numbers.append(number)
                for append, i in takers:
                    append(cells[i])
            elif lenient:
                broken.append(number)
            else:
                raise ValueError(
                    f"{path}, line {number}: {len(cells)} {called(separator)}-separated columns, not "
                    f"{width}{_broken_row_hint(task, path, separator, width, cells)}"
                )
        if broken:
            logger.warning(
                "%s: %d broken rows are left out, the first on line %d",
                path,
                len(broken),
                broken[0],
            )
        if not numbers:
            raise _no_examples(path)
        return numbers, columns

    return Table(path, place(path, number), header, take, other)


def _read_table(task: Task, path: Path) -> str:
    try:
        return read_text(path, task.encoding, is_table=True)
    except OtherKindError as error:
        name = _right_name(path, error.kind) if task.own_files else None
        if name is None:
            raise
        raise ValueError(f"{path} is {error.kind}: rename it to {name}") from error


def _right_name(path: Path, kind: str) -> str | None:
    """Return the name under which a file that is of this kind would be read; None where none would do."""
    packed = path.suffix if is_packed(path) else ""
    if kind == "a gzip file" and not packed:
        return f"{path.name}{PACKED}"
    ending = {"JSON lines": ".jsonl", "a Parquet file": ".parquet"}.get(kind)
    return f"{unpacked(path).with_suffix(ending).name}{packed}" if ending else None


def _first_line(text: str) -> str:
    return re.match(r"[^\r\n]*", text)[0]


def _empty(path: Path) -> ValueError:
    return ValueError(f"{path} is empty: copy or download it again, or give another")


def _no_examples(path: Path) -> ValueError:
    return ValueError(f"{path} has a header but no examples: add a row for each, or give another")


def _broken_row_hint(task: Task, path: Path, separator: str, width: int, cells: list[str]) -> str:
    """Return what to do about a row with more or fewer cells than the header."""
    if len(cells) < width:
        line = separator.join(cells)
        return other_separator(path, separator, line, lambda c: len(c) == width, task.own_files)
    if separator != TAB:
        return f": put quotes around a cell with a {called(separator)} in it"
    return ": a cell cannot hold a tab"


def find_columns(task: Task, table: Table, wanted: tuple[str, ...]) -> list[int]:
    """Return the positions of the ``wanted`` columns.

    Raises:
        ValueError: the table lacks one, or has it twice; says which there are.
    """
    header = table.header
    missing = [repr(name) for name in wanted if name not in header]
    doubled = [
        f"{header.count(name)} columns {name!r}" for name in wanted if header.count(name) > 1
    ]
    if not missing and not doubled:
        return [header.index(name) for name in wanted]
    wrong = [f"no column {' and '.join(missing)}"] if missing else []
    words = f"{table.place}: {' and '.join(wrong + doubled)} among {quoted(header)}"
    if missing:
        remedy = table.other(wanted)
        what = "records" if format_of(table.path) in (JSON_LINES, PARQUET) else "a header line"
        needed = f"{what} with {', '.join(wanted)} {'are' if what == 'records' else 'is'} needed"
        words += remedy or f"{_alike(header, wanted)}: {needed}"
        if not remedy and task.own_files:
            flags = "--text_columns and --label_column say" if task.label in wanted else ""
            words += f"; {flags or '--text_columns says'} which"
    raise ValueError(words)


def _alike(header: list[str], wanted: tuple[str, ...]) -> str:
    """Return a remark on columns that differ from wanted ones in spaces, quotes or case only."""
    by_key = {name.strip(' "').lower(): name for name in header}
    found = {name: by_key.get(name.lower()) for name in wanted if name not in header}
    pairs = [f"{other!r} is not {name!r}" for name, other in found.items() if other]
    return f" ({', '.join(pairs)}: spaces, quotes and case count)" if pairs else ""


def _as_texts(
    table: Table, names: Sequence[str], numbers: list[int], columns: list[list[Any]]
) -> list[list[str]]:
    if format_of(table.path) not in (JSON_LINES, PARQUET):
        return columns
    texts = []
    for name, values in zip(names, columns, strict=True):
        texts.append([])
        for number, value in zip(numbers, values, strict=True):
            text, fault = as_text(value), "a NUL character in it"
            if text is None:
                fault = "no value" if value is ABSENT else f"a {type(value).__name__}, and no text"
            if text is None or "\0" in text:
                raise ValueError(f"{place(table.path, number)}: column {name!r} has {fault}")
            texts[-1].append(text)
    return texts


def as_text(value: object) -> str | None:
    """Return a value of JSON or Parquet as a cell of text; None for what has parts, or none at all."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if value is ABSENT or isinstance(value, bytes | list | dict | tuple):
        return None
    return str(value)


def clip(text: str) -> str:
    """Return ``text``, cut where a message would get long."""
    return text if len(text) <= 200 else f"{text[:200]}…"


def quoted(names: Sequence[str]) -> str:
    """Return some names for a message."""
    return clip(", ".join(map(repr, names)))
