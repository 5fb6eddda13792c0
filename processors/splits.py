"""All files of a task as they are, with labels that a training would refuse."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from processors.custom import NOT_READ_YET, NOT_SAID, as_multi_label, with_labels
from processors.glue import SPLITS, Task
from processors.multi_label import LABEL_SEPARATOR
from processors.reading import read_columns

TRAIN = "train"
_TEST = "test"


@dataclass(frozen=True)
class Split:
    """One file of a task: N rows.

    Attributes:
        name: ``train``, ``dev``, ``test``; of a second file with its suffix.
        numbers: [N] the line that each row begins on, or the number of the record, from 1.
        texts: one or two columns of N texts.
        cells: [N] the labels as they stand there; none in a test file without.
        labels: [N] positions in the task's labels, or [N, C] 0 and 1 in a multi-label task, or [N] float64
            with NaN for what is no number; of length 0 where there are none.
    """

    name: str
    path: Path
    numbers: list[int]
    texts: list[list[str]]
    cells: list[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def empty(self) -> np.ndarray:
        """Whether each row has an empty text: [N] bool; of a pair either."""
        return np.array([not all(map(str.strip, row)) for row in zip(*self.texts, strict=True)])


@dataclass(frozen=True)
class Splits:
    """The files of a task that are there.

    Attributes:
        task: with all labels of the files, first those that a training would have.
        known: how many of the labels a training would have.
        refused: what a training would say of the labels of its file before it ends; None for nothing.
    """

    task: Task
    files: list[Split]
    known: int
    refused: str | None

    @property
    def train(self) -> Split | None:
        """The training file, if there is one."""
        return next((file for file in self.files if file.name == TRAIN), None)

    def lacking(self, file: Split) -> dict[str, int]:
        """Return how many rows of a file have each of the labels that a training would not know."""
        names = self.task.labels or ()
        found = Counter(name for cell in file.cells for name in self.task.labels_in(cell))
        return {name: found[name] for name in names[self.known :] if found[name]}


def read_splits(task: Task, data_dir: Path) -> Splits:
    """Read the files of a task that are there.

    Raises:
        ValueError: a file is no table in the task's encoding, lacks a column or has a bad row; names it.
        ModuleNotFoundError: it is Parquet, and pyarrow is not installed.
    """
    if task.label_separator == NOT_SAID:
        task = as_multi_label(task, LABEL_SEPARATOR)
    tables = [
        (split + suffix, path, *_read(task, path, split))
        for split in SPLITS
        # A task has names for its dev and test files alone; training data are one file.
        for suffix, path in zip((*task.suffixes, ""), task.paths(data_dir, split), strict=False)
        if path.is_file()
    ]
    cells = {name: found for name, *_, found in tables if not name.startswith(_TEST)}
    task, known, refused = _with_all_labels(task, data_dir, cells)
    return Splits(task, [_split(task, *table) for table in tables], known, refused)


def _with_all_labels(
    task: Task, data_dir: Path, cells: Mapping[str, list[str]]
) -> tuple[Task, int, str | None]:
    """Return the task with the labels of all files, how many a training knows, and why it would end.

    Args:
        cells: the labels of each file, but for test files.
    """
    if task.labels is None:
        return task, 0, None
    known, refused = task.labels, None
    found = {
        name: {label for cell in column for label in task.labels_in(cell)}
        for name, column in cells.items()
    }
    if known == NOT_READ_YET:
        known = tuple(sorted(next(iter(found.values()), ())))
        try:
            known = with_labels(task, data_dir).labels if TRAIN in cells else known
        except ValueError as error:
            refused = str(error)
    others = set().union(*found.values()) - set(known)
    return replace(task, labels=(*known, *sorted(others))), len(known), refused


def _read(task: Task, path: Path, split: str) -> tuple[list[int], list[list[str]], list[str]]:
    """Return where each row of a file stands, its texts, and its labels, none in a test file without."""
    optional = task.label if split == _TEST else None
    numbers, columns = read_columns(task, path, split, task.columns(split), optional)
    texts, others = columns[: len(task.texts)], columns[len(task.texts) :]
    return numbers, texts, others[0] if others else []


def _split(
    task: Task, name: str, path: Path, numbers: list[int], texts: list[list[str]], cells: list[str]
) -> Split:
    labels = _encode(task, cells)
    # A test file that has other things in the labels' place is predicted, and not scored.
    if labels is None or (name.startswith(_TEST) and np.isnan(labels).any()):
        cells, labels = [], np.zeros(0)
    return Split(name, path, numbers, texts, cells, labels)


def _encode(task: Task, cells: Sequence[str]) -> np.ndarray | None:
    """Return the labels as :class:`Split` has them; None where one is not among the task's."""
    if task.labels is None:
        return np.array([_number(cell) for cell in cells], dtype=np.float64)
    places = {name: place for place, name in enumerate(task.labels)}
    try:
        rows = [[places[name] for name in task.labels_in(cell)] for cell in cells]
    except KeyError:
        return None
    if not task.is_multi_label:
        return np.array([row[0] for row in rows], dtype=np.int64)
    labels = np.zeros((len(rows), len(places)), dtype=np.int64)
    for row, found in enumerate(rows):
        labels[row, found] = 1
    return labels


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
