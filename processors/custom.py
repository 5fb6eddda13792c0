"""A task of one's own: files, columns and labels instead of code."""

from __future__ import annotations

import logging
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from processors.class_names import is_whole_number, whole_number
from processors.formats import numbered, place, unpacked
from processors.glue import OF_NUMBERS, Task
from processors.reading import one_class_alone, read_columns

logger = logging.getLogger(__name__)

CUSTOM = "custom"
# These stand for the labels of a custom task until its training file is read.
NOT_READ_YET: tuple[str, ...] = ()
# It stands for what is between labels until the model is known, which may say it.
NOT_SAID = ""
# So few rows may well have a class each, in a first try.
_FEW_ROWS = 10
# Classes that are called by whole numbers are seldom more.
_MANY_NUMBERS = 50
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_JOINERS = "\u200c\u200d"


def custom_task(
    files: dict[str, str | None],
    text_columns: tuple[str, ...],
    label_column: str,
    regression: bool,
    label_separator: str | None = None,
) -> Task:
    """Return the task that the flags describe.

    Args:
        files: a path by split, None where the run needs none; :func:`processors.tables.read_columns`
            says in which formats.
        text_columns: one column, or two for pairs.
        regression: whether the label column holds numbers to predict. Otherwise it holds class names,
            which :func:`with_labels` or the trained model's configuration fills in.
        label_separator: between the labels of a row, which has any number of them; or :data:`NOT_SAID`.
            None: it has one class.
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
        submissions=(_submission_name(test_file),) if test_file else (),
        own_files=True,
    )
    if label_separator is not None:
        return as_multi_label(task, label_separator)
    return as_regression(task) if regression else task


def _submission_name(test_file: str) -> str:
    """Return what the predictions of a test file are called: as it is, but not as those of a dev set."""
    name = unpacked(Path(test_file)).stem
    return f"test_{name}" if name == "dev" else name


def as_regression(task: Task) -> Task:
    """Return ``task`` with a number as its target."""
    return replace(task, labels=None, metrics=OF_NUMBERS)


def as_multi_label(task: Task, label_separator: str) -> Task:
    """Return ``task`` with any number of labels for an example."""
    return replace(task, metrics=("micro_f1", "macro_f1"), label_separator=label_separator)


def with_labels(task: Task, data_dir: str | Path) -> Task:
    """Return ``task`` with the class names that its training file has, numbers in their own order.

    One warning tells of classes that may be none: many numbers, or most of them with one row alone.
    Another one tells of classes that are the same number and not written alike, as 1.5 and 1.50, 1 and 01,
    or 1000 and 1e3: they stay two classes, for versions and codes are told apart so.

    Raises:
        FileNotFoundError, ValueError: the file cannot be read, a label is empty, all are the same, each of
            many rows has another number, or two look alike: they differ in spaces or case only, in how the
            same letters are stored, or as 1 and 1.0 do, which are the same whole number for sure.
    """
    path = task.paths(data_dir, "train")[0]
    counts, first_lines = {}, {}
    numbers, (labels,) = read_columns(task, path, "train", (task.label,))
    named = (
        (number, name)
        for number, cell in zip(numbers, labels, strict=True)
        for name in task.labels_in(cell)
    )
    for number, name in named:
        if name in counts:
            counts[name] += 1
            continue
        if not name.strip():
            raise ValueError(f"{place(path, number)}: the {task.label} is empty")
        if re.search(r"[\t\r\n]", name):  # The predictions have a line and a column for each.
            raise ValueError(
                f"{place(path, number)}: the {task.label} has a tab or a line end in it"
            )
        counts[name], first_lines[name] = 1, number
    if not counts:
        raise ValueError(f"{path}: no row has a {task.label}: there is nothing to learn")
    if len(counts) == 1 and sum(counts.values()) == len(labels):
        raise one_class_alone(path, task.label, next(iter(counts)))
    _refuse_look_alikes(path, counts, first_lines)
    if not task.is_multi_label:
        _question_classes(path, task.label, counts)
    elif len(counts) > 1:
        _question_separator(task, path, labels)
    _question_numbers(path, task.label, counts, first_lines)
    return replace(task, labels=tuple(sorted(counts, key=_order)))


def _refuse_look_alikes(
    path: Path, counts: Mapping[str, int], first_lines: Mapping[str, int]
) -> None:
    seen: dict[str, str] = {}
    for name in counts:
        key = whole_number(_without_spaces_and_case(_same_letters(name)))
        twin = seen.setdefault(key, name)
        if twin != name:
            described = _described(path, (twin, name), counts, first_lines)
            raise ValueError(
                f"{path}: the classes {described} differ in {_difference(twin, name)} only: "
                "spell them alike, or give them names that differ"
            )


def _described(
    path: Path, names: Sequence[str], counts: Mapping[str, int], first_lines: Mapping[str, int]
) -> str:
    return " and ".join(
        f"{name!r} ({counts[name]} rows, first on {numbered(path, first_lines[name])})"
        for name in names
    )


def _question_numbers(
    path: Path, label: str, counts: Mapping[str, int], first_lines: Mapping[str, int]
) -> None:
    """Warn, once, of classes that are the same number."""
    same: dict[Decimal, list[str]] = {}
    for name in counts:
        usual = _without_spaces_and_case(_same_letters(name))
        if _NUMBER.fullmatch(usual):
            same.setdefault(Decimal(usual), []).append(name)
    pairs = [names for names in same.values() if len(names) > 1]
    if pairs:
        logger.warning(
            "%s: the classes %s in column %r are the same number%s: if they are one class, spell "
            "them alike",
            path,
            _described(path, pairs[0], counts, first_lines),
            label,
            f" (and {len(pairs) - 1} more are such)" if pairs[1:] else "",
        )


def _difference(name: str, twin: str) -> str:
    """Return in what two classes differ that look alike."""
    name, twin = _without_spaces_and_case(name), _without_spaces_and_case(twin)
    if name == twin:
        return "spaces or case"
    if whole_number(name) == whole_number(twin):
        return "how the same number is written"
    return "how wide letters are or how accents are stored"


def _question_separator(task: Task, path: Path, cells: Sequence[str]) -> None:
    """Warn where no row has more than one label: something else may stand between them."""
    if all(len(task.labels_in(cell)) < 2 for cell in cells):
        logger.warning(
            "%s: no row has more than one label in column %r: if something else than %r stands between "
            "them, name it with --label_separator",
            path,
            task.label,
            task.label_separator,
        )


def _question_classes(path: Path, label: str, counts: Mapping[str, int]) -> None:
    """Refuse classes that cannot be meant as such, and warn of those that may not be.

    Raises:
        ValueError: each of many rows has a number of its own.
    """
    rows, alone = sum(counts.values()), sum(count == 1 for count in counts.values())
    are_numbers = not any(text for text, *_ in map(_order, counts))
    other_column = "name the column of the classes with --label_column"
    if are_numbers and rows == alone > _FEW_ROWS:
        raise ValueError(
            f"{path}: each of the {rows} rows has another number for its {label}: predict the numbers "
            f"with --regression, or {other_column}"
        )
    are_whole = all(map(is_whole_number, counts))
    if are_numbers and len(counts) > (_MANY_NUMBERS if are_whole else _FEW_ROWS):
        logger.warning(
            "%s: the %d classes in column %r are all numbers: if they are amounts, predict them with "
            "--regression",
            path,
            len(counts),
            label,
        )
    elif rows == alone > _FEW_ROWS:
        logger.warning(
            "%s: each of the %d rows has a class of its own in column %r: is it the right column? If "
            "not, %s",
            path,
            rows,
            label,
            other_column,
        )
    elif alone > max(_FEW_ROWS, len(counts) / 2):
        logger.warning(
            "%s: %d of the %d classes in column %r have one row alone: if they are none, %s",
            path,
            alone,
            len(counts),
            label,
            other_column,
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
