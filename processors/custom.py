"""A task of one's own: files, columns and labels instead of code."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from processors.glue import CORRELATIONS, Task
from processors.reading import one_class_alone, read_columns

CUSTOM = "custom"
# These stand for the labels of a custom task until its training file is read.
NOT_READ_YET: tuple[str, ...] = ()
_JOINERS = "\u200c\u200d"


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
        own_files=True,
    )
    return as_regression(task) if regression else task


def as_regression(task: Task) -> Task:
    """Return ``task`` with a number as its target."""
    return replace(task, labels=None, metrics=CORRELATIONS)


def with_labels(task: Task, data_dir: str | Path) -> Task:
    """Return ``task`` with the class names that its training file has, numbers in their own order.

    Raises:
        FileNotFoundError, ValueError: the file cannot be read, a label is empty, all are the same, or
            two look alike: they differ in spaces or case only, or in how the same letters are stored.
    """
    path = task.paths(data_dir, "train")[0]
    counts, first_lines = {}, {}
    numbers, (labels,) = read_columns(task, path, "train", (task.label,))
    for number, name in zip(numbers, labels, strict=True):
        if name in counts:
            counts[name] += 1
            continue
        if not name.strip():
            raise ValueError(f"{path}, line {number}: the {task.label} is empty")
        if re.search(r"[\t\r\n]", name):  # The predictions have a line and a column for each.
            raise ValueError(
                f"{path}, line {number}: the {task.label} has a tab or a line end in it"
            )
        counts[name], first_lines[name] = 1, number
    if len(counts) == 1:
        raise one_class_alone(path, task.label, labels[0])
    _refuse_look_alikes(path, counts, first_lines)
    return replace(task, labels=tuple(sorted(counts, key=_order)))


def _refuse_look_alikes(
    path: Path, counts: Mapping[str, int], first_lines: Mapping[str, int]
) -> None:
    seen: dict[str, str] = {}
    for name in counts:
        twin = seen.setdefault(_without_spaces_and_case(_same_letters(name)), name)
        if twin != name:
            described = [
                f"{each!r} ({counts[each]} rows, first on line {first_lines[each]})"
                for each in (twin, name)
            ]
            plain = _without_spaces_and_case(twin) == _without_spaces_and_case(name)
            how = "spaces or case" if plain else "how wide letters are or how accents are stored"
            raise ValueError(
                f"{path}: the classes {' and '.join(described)} differ in {how} only: "
                "spell them alike, or give them names that differ"
            )


def _without_spaces_and_case(name: str) -> str:
    """Return what is left without spaces and case; a ß stays one, and is no ss."""
    return "".join(char for char in name if not _is_invisible(char)).lower()


def _same_letters(name: str) -> str:
    """Return the name with each letter of its usual width, and with its accents in it.

    Other characters that Unicode calls compatible (² and 2, ① and 1) people tell apart.
    """
    usual = (
        unicodedata.normalize("NFKC", char)
        if unicodedata.decomposition(char).startswith(("<wide>", "<narrow>"))
        else char
        for char in name
    )
    return unicodedata.normalize("NFC", "".join(usual))


def _is_invisible(char: str) -> bool:
    """Return whether a character takes no room; joiners and tags, which change others, are none."""
    if char.isspace():
        return True
    return unicodedata.category(char) == "Cf" and char not in _JOINERS and char < "\U000e0000"


def _order(name: str) -> tuple[bool, float, str]:
    try:
        value = float(name)
    except ValueError:
        value = math.nan
    return (True, 0.0, name) if math.isnan(value) else (False, value, name)
