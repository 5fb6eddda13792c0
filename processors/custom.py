"""A task of one's own: files, columns and labels instead of code."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

from processors.glue import CORRELATIONS, Task
from processors.reading import read_columns

CUSTOM = "custom"
# These stand for the labels of a custom task until its training file is read.
NOT_READ_YET: tuple[str, ...] = ()


def custom_task(
    files: dict[str, str | None], text_columns: tuple[str, ...], label_column: str, regression: bool
) -> Task:
    """Return the task that the flags describe.

    Args:
        files: a path by split, None where the run needs none; ``.csv``, or else tab-separated.
        text_columns: one column, or two for pairs.
        regression: whether the label column holds numbers to predict. Otherwise it holds class names,
            which :func:`with_labels` or the trained model's configuration fills in.
    """
    test_file = files["test"]
    task = Task(
        name=CUSTOM,
        folder=CUSTOM,
        texts=text_columns,
        label=label_column,
        labels=NOT_READ_YET,
        metrics=("acc", "macro_f1"),
        files={split: (path,) if path else () for split, path in files.items()},
        submissions=(Path(test_file).stem,) if test_file else (),
        column_hint="; --text_columns and --label_column say which",
    )
    return as_regression(task) if regression else task


def as_regression(task: Task) -> Task:
    """Return ``task`` with a number as its target."""
    return replace(task, labels=None, metrics=CORRELATIONS)


def with_labels(task: Task, data_dir: str | Path) -> Task:
    """Return ``task`` with the class names that its training file has, numbers in their own order.

    Raises:
        FileNotFoundError, ValueError: the file cannot be read, a label is empty, or all are the same.
    """
    path = task.paths(data_dir, "train")[0]
    names = set()
    numbers, (labels,) = read_columns(task, path, "train", (task.label,))
    for number, name in zip(numbers, labels, strict=True):
        if not name:
            raise ValueError(f"{path}, line {number}: the {task.label} is empty")
        if re.search(r"[\t\r\n]", name):  # The predictions have a line and a column for each.
            raise ValueError(
                f"{path}, line {number}: the {task.label} has a tab or a line end in it"
            )
        names.add(name)
    if len(names) == 1:
        raise ValueError(
            f"{path}: every {task.label} is {names.pop()!r}: there is nothing to learn"
        )
    return replace(task, labels=tuple(sorted(names, key=_order)))


def _order(name: str) -> tuple[bool, float, str]:
    try:
        value = float(name)
    except ValueError:
        value = math.nan
    return (True, 0.0, name) if math.isnan(value) else (False, value, name)
