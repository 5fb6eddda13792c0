"""A table with what the model thought of each row beside the row's own columns: CSV or JSON lines."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from model.files import move_files, temporary_folder
from processors.formats import COMMAS, JSON_LINES, format_of, is_packed
from processors.multi_label import LABEL_SEPARATOR, cell_of
from processors.tables import ABSENT, as_text

_PREDICTION, _PROBABILITIES = "prediction", "probabilities"


def check_name(path: Path) -> None:
    """See that a file may be written as the table that its name says.

    Raises:
        ValueError: it says none that is written; says which are.
    """
    if is_packed(path) or format_of(path) not in (COMMAS, JSON_LINES):
        raise ValueError(
            f"{path}: a table is written as CSV or as JSON lines: name it .csv or .jsonl"
        )


def write_table(
    path: Path,
    header: Sequence[str],
    rows: Iterable[tuple[Sequence[Any], Mapping[str, Any]]],
    labels: Sequence[str],
    added: Sequence[str],
    label_separator: str = LABEL_SEPARATOR,
) -> int:
    """Write a table as CSV, or as JSON lines where its name says so, whole or not at all.

    Args:
        header: the names of the C columns that the rows have, which must differ in JSON lines.
        rows: N times the C values, as :class:`processors.tables.Table` has them, and the record of the
            prediction, whose keys are ``added``.
        labels: the classes, each of which gets a column of CSV for its probability.
        label_separator: what CSV has between the classes of a prediction that is a list of them.

    Returns:
        N.

    Raises:
        ValueError: the header has a name that is added, or JSON lines would have one twice.
        DiskError: the disk is full.
    """
    is_csv = format_of(path) == COMMAS
    names = list(_csv_names(added, labels) if is_csv else added)
    if taken := [name for name in names if name in header]:
        raise ValueError(
            f"the table has a column {taken[0]!r} already, which {path} would get beside it: rename it "
            "there"
        )
    if not is_csv and (twice := [name for name in header if header.count(name) > 1]):
        raise ValueError(
            f"the table has {header.count(twice[0])} columns {twice[0]!r}, and JSON has each name once: "
            "write a .csv file, or rename one"
        )
    with temporary_folder(path.parent) as folder:
        with (folder / path.name).open("w", encoding="utf-8", newline="") as file:
            if is_csv:
                count = _write_csv(file, [*header, *names], rows, labels, label_separator)
            else:
                count = _write_json_lines(file, header, rows)
            file.flush()
            os.fsync(file.fileno())
        move_files(folder, path.parent)
    return count


def _csv_names(added: Sequence[str], labels: Sequence[str]) -> Iterator[str]:
    for name in added:
        if name == _PROBABILITIES:
            yield from (f"probability_{label}" for label in labels)
        else:
            yield name


def _write_csv(
    file: IO[str],
    header: Sequence[str],
    rows: Iterable[tuple[Sequence[Any], Mapping[str, Any]]],
    labels: Sequence[str],
    label_separator: str,
) -> int:
    # Where CR LF ends a row the writer puts quotes around either of them.
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(header)
    count = 0
    for count, (values, record) in enumerate(rows, start=1):  # noqa: B007
        cells = [_cell(value) for value in values]
        for name, value in record.items():
            if name == _PROBABILITIES:
                cells += [_cell((value or {}).get(label)) for label in labels]
            elif name == _PREDICTION and isinstance(value, list):
                cells.append(cell_of(value, label_separator))
            else:
                cells.append(_cell(value))
        writer.writerow(cells)
    return count


def _write_json_lines(
    file: IO[str],
    header: Sequence[str],
    rows: Iterable[tuple[Sequence[Any], Mapping[str, Any]]],
) -> int:
    count = 0
    for count, (values, record) in enumerate(rows, start=1):  # noqa: B007
        own = {
            name: _plain(value)
            for name, value in zip(header, values, strict=True)
            if value is not ABSENT
        }
        file.write(json.dumps({**own, **record}, ensure_ascii=False) + "\n")
    return count


def _cell(value: object) -> str:
    if value is ABSENT:
        return ""
    text = as_text(value)
    return json.dumps(_plain(value), ensure_ascii=False) if text is None else text


def _plain(value: object) -> object:
    """Return what JSON has for a value of JSON or Parquet."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
