"""Tables of text → examples, with every complaint naming file and line."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from processors.glue import Task

logger = logging.getLogger(__name__)

_LARGEST_TARGET = 3.4e38
_SEPARATORS = {".csv": "comma"}  # All other endings mean tab-separated.

Row = tuple[int, list[str]]  # These are the line it ends on, from 1, and its cells.


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

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8, lacks a column, or has a bad row; names file and line.
    """
    path = Path(path)
    numbers, columns = read_columns(task, path, split, task.columns(split))
    return Examples(
        texts_a=columns[0],
        texts_b=columns[1] if task.has_pairs else None,
        labels=None if split == "test" else _parse_labels(task, path, numbers, columns[-1]),
    )


def read_columns(
    task: Task, path: Path, split: str, wanted: tuple[str, ...]
) -> tuple[list[int], list[list[str]]]:
    """Return the line that each row of a file ends on, and the ``wanted`` columns in that order.

    A file ending in ``.csv`` is comma-separated with quotes (RFC 4180); any other is tab-separated, and
    quotes mean nothing special. The first line names the columns, unless the task says otherwise.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_examples`.
    """
    separator = _SEPARATORS.get(path.suffix.lower(), "tab")
    rows = (_csv_rows if separator == "comma" else _tsv_rows)(path)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path} is empty")
    header = first[1]
    names = list(task.headerless.get(split, ()))
    if names and header != names:
        header, rows = names, chain([first], rows)
    index = _find_columns(task, path, header, wanted)
    lenient = task.skips_broken_rows and split == "train"
    # The cells go into lists of text: a list for each row would keep the garbage collector busy.
    numbers, columns = [], [[] for _ in index]
    takers = [(column.append, i) for column, i in zip(columns, index, strict=True)]
    broken = []
    for number, cells in rows:
        if len(cells) == len(header):
            numbers.append(number)
            for take, i in takers:
                take(cells[i])
        elif lenient:
            broken.append(number)
        else:
            raise ValueError(
                f"{path}, line {number}: {len(cells)} {separator}-separated columns, not {len(header)}"
            )
    if broken:
        logger.warning(
            "%s: %d broken rows are left out, the first on line %d", path, len(broken), broken[0]
        )
    if not numbers:
        raise ValueError(f"{path} has a header but no examples")
    return numbers, columns


def _find_columns(task: Task, path: Path, header: list[str], wanted: tuple[str, ...]) -> list[int]:
    for name in wanted:
        if header.count(name) > 1:
            raise ValueError(f"{path}, line 1: there are {header.count(name)} columns {name}")
    missing = [name for name in wanted if name not in header]
    if missing:
        raise ValueError(
            f"{path}, line 1: no column {' and '.join(missing)} among "
            f"{_clip(', '.join(header))}: {task.folder} needs a header line with {', '.join(wanted)}"
            f"{task.column_hint}"
        )
    return [header.index(name) for name in wanted]


def _tsv_rows(path: Path) -> Iterator[Row]:
    # GLUE's texts hold characters that splitlines() would take for line ends.
    lines = [line.removesuffix("\r") for line in _read_text(path).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if lines and "\r" in lines[0]:
        raise ValueError(f"{path}: its lines end in CR alone; save it with LF or CR LF")
    return ((number, line.split("\t")) for number, line in enumerate(lines, start=1))


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)  # A text may be longer than csv expects.
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    try:
        for cells in reader:
            if cells:  # A blank line is no row.
                yield reader.line_num, cells
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: no valid CSV: {error}") from error


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: not UTF-8") from None


def _clip(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"


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
                f"{path}, line {number}: label {_clip(text)!r} is not one of "
                f"{_clip(', '.join(task.labels))}"
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
