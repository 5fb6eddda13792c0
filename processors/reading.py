"""Tables of text → examples, with every complaint naming file and line."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from processors.class_names import whole_number
from processors.formats import numbered, place
from processors.glue import Task
from processors.tables import clip, open_table, quoted, read_columns

logger = logging.getLogger(__name__)

_LARGEST_TARGET = 3.4e38

Labels = list[int] | list[float] | list[np.ndarray]


@dataclass(frozen=True)
class Examples:
    """N examples as columns.

    Attributes:
        texts_a: [N] the texts, or the first ones of pairs.
        texts_b: [N] the second ones; None for single sentences.
        labels: [N] class indices (int), or targets (float) in regression, or in a multi-label task arrays
            [C] of 0 and 1; None in a test file without.
    """

    texts_a: list[str]
    texts_b: list[str] | None = None
    labels: Labels | None = None

    def __len__(self) -> int:
        return len(self.texts_a)


def read_examples(task: Task, path: str | Path, split: str) -> Examples:
    """Read the texts of one file, and their labels; a test file needs none.

    Where it has the column, but not the label of each row, a warning says so, and the examples have none.
    An empty text is a text; one warning counts them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no text in the task's encoding, lacks a column, has a bad row, or is a training
            file with one class alone; names file and line.
    """
    path = Path(path)
    optional = task.label if split == "test" else None
    numbers, columns = read_columns(task, path, split, task.columns(split), optional)
    if split != "test":
        labels = _parse_labels(task, path, numbers, columns[-1])
    else:
        labels = _labels_if_any(task, path, numbers, columns[len(task.texts) :])
    examples = Examples(columns[0], columns[1] if task.has_pairs else None, labels)
    has_classes = not (task.is_regression or task.is_multi_label)
    if split == "train" and has_classes and len(set(examples.labels)) == 1:
        raise one_class_alone(path, task.label, columns[-1][0])
    _warn_of_empty_texts(path, numbers, columns[: len(task.texts)])
    return examples


def read_index(task: Task, path: Path) -> list[str] | None:
    """Return what names each row of a test file in the predictions; None where no column does.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_examples`; or a name is empty, or holds a tab or a
            line end.
    """
    if task.index not in open_table(task, path, "test", task.texts).header:
        return None
    numbers, (values,) = read_columns(task, path, "test", (task.index,))
    for number, value in zip(numbers, values, strict=True):
        if not value.strip() or re.search(r"[\t\r\n]", value):
            raise ValueError(
                f"{place(path, number)}: {task.index} {clip(repr(value))} cannot name a row: it is "
                "empty, or holds a tab or a line end"
            )
    return values


def _warn_of_empty_texts(path: Path, numbers: list[int], columns: list[list[str]]) -> None:
    empty = [
        number
        for number, *texts in zip(numbers, *columns, strict=True)
        if not all(map(str.strip, texts))
    ]
    if empty:
        logger.warning(
            "%s: %d of %d examples have an empty text, the first on %s",
            path,
            len(empty),
            len(numbers),
            numbered(path, empty[0]),
        )


def one_class_alone(path: Path, label: str, name: str) -> ValueError:
    """Return the complaint about a training file whose every label is ``name``."""
    return ValueError(
        f"{path}: every {label} is {name!r}: there is nothing to learn; add examples of another class"
    )


def _labels_if_any(
    task: Task, path: Path, numbers: list[int], found: list[list[str]]
) -> Labels | None:
    """Return the labels of a test file; ``found`` is its column of them, or nothing."""
    if not found or task.labels == ():  # A custom task's classes may not be known yet.
        return None
    if task.is_multi_label and not any(map(task.labels_in, found[0])):
        logger.warning(
            "%s: no row has a %s: the file is predicted, and not scored", path, task.label
        )
        return None
    try:
        return _parse_labels(task, path, numbers, found[0])
    except ValueError as error:
        logger.warning("%s: the file is predicted, and not scored", error)
        return None


def _parse_labels(task: Task, path: Path, numbers: list[int], texts: list[str]) -> Labels:
    classes = {} if task.is_regression else _numbers_of_classes(task)
    labels = []
    for number, text in zip(numbers, texts, strict=True):
        try:
            labels.append(_parse_label(task, classes, text))
        except ValueError as error:
            raise ValueError(f"{place(path, number)}: {error}") from None
        except KeyError as error:
            unknown = clip(repr(error.args[0]))
            raise ValueError(
                f"{place(path, number)}: label {unknown} is not one of {quoted(task.labels)}"
            ) from None
    return labels


def _numbers_of_classes(task: Task) -> dict[str, int]:
    """Return the index of each class by its name, and in one's own tables by its number: 1.0 is 1, too."""
    named = {name: i for i, name in enumerate(task.labels)}
    if not task.own_files:
        return named
    return {whole_number(name): i for name, i in named.items()} | named


def _parse_label(task: Task, classes: dict[str, int], text: str) -> int | float | np.ndarray:
    if task.is_regression:
        return _parse_target(task, text)
    if not task.is_multi_label:
        usual = whole_number(text) if task.own_files else text
        return classes[text] if text in classes or usual not in classes else classes[usual]
    found = np.zeros(len(classes), dtype=np.float32)
    found[[classes[name] for name in task.labels_in(text)]] = 1
    return found


def _parse_target(task: Task, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST_TARGET:
        raise ValueError(f"{task.label} {clip(text)!r} is not a number that fp32 can hold")
    return value
