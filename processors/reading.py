"""Tables of text → examples, with every complaint naming file and line."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from processors.glue import Task
from processors.rows import Row, csv_rows, tsv_rows
from processors.separators import (
    COMMA,
    excel_separator,
    named_separator,
    other_separator,
    separator_of,
)
from processors.text_files import read_text

logger = logging.getLogger(__name__)

_LARGEST_TARGET = 3.4e38


@dataclass(frozen=True)
class Examples:
    """N examples as columns.

    Attributes:
        texts_a: [N] the texts, or the first ones of pairs.
        texts_b: [N] the second ones; None for single sentences.
        labels: [N] class indices (int), or targets (float) in regression; None in a test file.
    """

    texts_a: list[str]
    texts_b: list[str] | None = None
    labels: list[int] | list[float] | None = None

    def __len__(self) -> int:
        return len(self.texts_a)


def read_examples(task: Task, path: str | Path, split: str) -> Examples:
    """Read the texts of one file, and their labels unless ``split`` is ``test``.

    An empty text is a text; one warning counts them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no text in the task's encoding, lacks a column, has a bad row, or is a training
            file with one class alone; names file and line.
    """
    path = Path(path)
    numbers, columns = read_columns(task, path, split, task.columns(split))
    examples = Examples(
        texts_a=columns[0],
        texts_b=columns[1] if task.has_pairs else None,
        labels=None if split == "test" else _parse_labels(task, path, numbers, columns[-1]),
    )
    if split == "train" and not task.is_regression and len(set(examples.labels)) == 1:
        raise one_class_alone(path, task.label, columns[-1][0])
    _warn_of_empty_texts(path, numbers, columns[: len(task.texts)])
    return examples


def read_index(task: Task, path: Path) -> list[str] | None:
    """Return what names each row of a test file in the predictions; None where no column does.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_examples`; or a name is empty, or holds a tab or a
            line end.
    """
    table = _open_table(task, path, "test")
    if task.index not in table.header:
        return None
    numbers, (values,) = _take_columns(task, table, "test", (task.index,))
    for number, value in zip(numbers, values, strict=True):
        if not value.strip() or re.search(r"[\t\r\n]", value):
            raise ValueError(
                f"{path}, line {number}: {task.index} {_clip(repr(value))} cannot name a row: it is "
                "empty, or holds a tab or a line end"
            )
    return values


def read_columns(
    task: Task, path: Path, split: str, wanted: tuple[str, ...]
) -> tuple[list[int], list[list[str]]]:
    """Return the line that each row of a file begins on, and the ``wanted`` columns in that order.

    A file ending in ``.csv`` is comma-separated with quotes (RFC 4180); any other is tab-separated, and
    quotes mean nothing special. The first line names the columns, unless the task says otherwise.

    A blank line is a row in a table of one column: one with an empty cell. The end of the last line makes
    no further row. In a table of several columns blank lines at the end are ignored, and one between
    rows is an error: no row ever takes the place of another. A line of spaces alone is blank, too. Excel's
    own first line, ``sep=,``, is none of the table.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_examples`.
    """
    return _take_columns(task, _open_table(task, path, split), split, wanted)


@dataclass(frozen=True)
class _Table:
    path: Path
    number: int  # This is the header's line.
    header: list[str]
    first_line: str
    rows: Iterator[Row]

    @property
    def separator(self) -> str:
        return "comma" if separator_of(self.path) == COMMA else "tab"


def _open_table(task: Task, path: Path, split: str) -> _Table:
    text = read_text(path, task.encoding, is_table=True)
    rows = (csv_rows if separator_of(path) == COMMA else tsv_rows)(path, text)
    first_line = _first_line(text)
    if separator := excel_separator(first_line):
        if separator != separator_of(path):
            raise ValueError(
                f"{path}, line 1: {first_line.strip()!r}"
                f"{named_separator(path, separator, task.own_files)}"
            )
        next(rows)  # It is Excel's, and no row.
        first_line = _first_line(text[len(first_line) :].lstrip("\r\n"))
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path} is empty: copy or download it again, or give another")
    number, header = first
    names = list(task.headerless.get(split, ()))
    if names and header != names:
        header, rows = names, chain([first], rows)
    if not header:
        raise ValueError(
            f"{path}, line {number}: a blank line, where the names of the columns should be"
        )
    return _Table(path, number, header, first_line, rows)


def _first_line(text: str) -> str:
    return re.match(r"[^\r\n]*", text)[0]


def _take_columns(
    task: Task, table: _Table, split: str, wanted: tuple[str, ...]
) -> tuple[list[int], list[list[str]]]:
    path, width = table.path, len(table.header)
    index = _find_columns(task, table, wanted)
    lenient = task.skips_broken_rows and split == "train"
    # The cells go into lists of text: a list for each row would keep the garbage collector busy.
    numbers, columns = [], [[] for _ in index]
    takers = [(column.append, i) for column, i in zip(columns, index, strict=True)]
    blanks, broken = [], []
    for number, cells in table.rows:
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
            for take, i in takers:
                take(cells[i])
        elif lenient:
            broken.append(number)
        else:
            raise ValueError(
                f"{path}, line {number}: {len(cells)} {table.separator}-separated columns, not {width}"
                f"{_broken_row_hint(task, table, cells)}"
            )
    if broken:
        logger.warning(
            "%s: %d broken rows are left out, the first on line %d", path, len(broken), broken[0]
        )
    if not numbers:
        raise ValueError(
            f"{path} has a header but no examples: add a row for each, or give another"
        )
    return numbers, columns


def _find_columns(task: Task, table: _Table, wanted: tuple[str, ...]) -> list[int]:
    header = table.header
    missing = [repr(name) for name in wanted if name not in header]
    doubled = [
        f"{header.count(name)} columns {name!r}" for name in wanted if header.count(name) > 1
    ]
    if not missing and not doubled:
        return [header.index(name) for name in wanted]
    wrong = [f"no column {' and '.join(missing)}"] if missing else []
    words = f"{table.path}, line {table.number}: {' and '.join(wrong + doubled)} among {_quoted(header)}"
    if missing:
        remedy = other_separator(
            table.path, table.first_line, lambda cells: set(wanted) <= set(cells), task.own_files
        )
        words += (
            remedy or f"{_alike(header, wanted)}: a header line with {', '.join(wanted)} is needed"
        )
        if not remedy and task.own_files:
            flags = "--text_columns and --label_column say" if task.label in wanted else ""
            words += f"; {flags or '--text_columns says'} which"
    raise ValueError(words)


def _alike(header: list[str], wanted: tuple[str, ...]) -> str:
    """Return a remark on columns that differ from wanted ones in spaces or case only."""
    by_key = {name.strip().lower(): name for name in header}
    found = {name: by_key.get(name.lower()) for name in wanted if name not in header}
    pairs = [f"{other!r} is not {name!r}" for name, other in found.items() if other]
    return f" ({', '.join(pairs)}: spaces and case count)" if pairs else ""


def _broken_row_hint(task: Task, table: _Table, cells: list[str]) -> str:
    """Return what to do about a row with more or fewer cells than the header."""
    width = len(table.header)
    if len(cells) < width:
        line = ("," if table.separator == "comma" else "\t").join(cells)
        return other_separator(table.path, line, lambda c: len(c) == width, task.own_files)
    if table.separator == "comma":
        return ": put quotes around a cell with a comma in it"
    return ": a cell cannot hold a tab"


def _clip(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"


def _quoted(names: list[str] | tuple[str, ...]) -> str:
    return _clip(", ".join(map(repr, names)))


def _warn_of_empty_texts(path: Path, numbers: list[int], columns: list[list[str]]) -> None:
    empty = [
        number
        for number, *texts in zip(numbers, *columns, strict=True)
        if not all(map(str.strip, texts))
    ]
    if empty:
        logger.warning(
            "%s: %d of %d examples have an empty text, the first on line %d",
            path,
            len(empty),
            len(numbers),
            empty[0],
        )


def one_class_alone(path: Path, label: str, name: str) -> ValueError:
    """Return the complaint about a training file whose every label is ``name``."""
    return ValueError(
        f"{path}: every {label} is {name!r}: there is nothing to learn; add examples of another class"
    )


def _parse_labels(
    task: Task, path: Path, numbers: list[int], texts: list[str]
) -> list[int] | list[float]:
    classes = {} if task.is_regression else {name: i for i, name in enumerate(task.labels)}
    labels = []
    for number, text in zip(numbers, texts, strict=True):
        try:
            labels.append(_parse_target(task, text) if task.is_regression else classes[text])
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        except KeyError:
            raise ValueError(
                f"{path}, line {number}: label {_clip(repr(text))} is not one of {_quoted(task.labels)}"
            ) from None
    return labels


def _parse_target(task: Task, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST_TARGET:
        raise ValueError(f"{task.label} {_clip(text)!r} is not a number that fp32 can hold")
    return value
