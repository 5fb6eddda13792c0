"""GLUE's tasks as data, and the reading of their files (Wang et al. 2018, arXiv:1804.07461)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_LARGEST_TARGET = 3.4e38
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Task:
    """One task: where its files are, what their columns mean, how it is scored.

    Attributes:
        folder: the name of its folder in GLUE's download, and of its submission file.
        text_a, text_b: column names of the first and the second text (None: single sentences).
        label: column name of the target, absent from the test file.
        labels: class names in the order of the model's outputs; None for regression.
        metric: the metric that stands for the task, a key of :func:`processors.metrics.compute`.
    """

    name: str
    folder: str
    text_a: str
    text_b: str | None
    label: str
    labels: tuple[str, ...] | None
    metric: str

    @property
    def is_regression(self) -> bool:
        """Whether the target is a number instead of a class."""
        return self.labels is None

    def file(self, data_dir: str | Path, split: str) -> Path:
        """Return the path of one of the :data:`SPLITS`."""
        return Path(data_dir) / f"{split}.tsv"

    def columns(self, split: str) -> list[str]:
        """Return the columns that ``split`` must have."""
        texts = [self.text_a] if self.text_b is None else [self.text_a, self.text_b]
        return texts if split == "test" else [*texts, self.label]


TASKS = {
    task.name: task
    for task in (
        Task("sst-2", "SST-2", "sentence", None, "label", ("0", "1"), "acc"),
        Task("sts-b", "STS-B", "sentence1", "sentence2", "score", None, "pearson"),
    )
}


class Example(NamedTuple):
    """One row: ``text_b`` is None for single sentences, ``label`` None in a test file.

    ``label`` is the class index (int), or the target (float) in regression.
    """

    text_a: str
    text_b: str | None
    label: int | float | None


def read_examples(task: Task, path: str | Path, split: str) -> list[Example]:
    """Read one tab-separated file with a header line, quotes meaning nothing special.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8, lacks a column, or has a bad row; names file and line.
    """
    path = Path(path)
    lines = _read_lines(path)
    header = lines[0].split("\t")
    wanted = task.columns(split)
    if "\r" in lines[0]:
        raise ValueError(f"{path}: its lines end in CR alone; save it with LF or CR LF")
    for name in wanted:
        if header.count(name) > 1:
            raise ValueError(f"{path}, line 1: there are {header.count(name)} columns {name}")
    missing = [name for name in wanted if name not in header]
    if missing:
        raise ValueError(
            f"{path}, line 1: no column {' and '.join(missing)} among "
            f"{_clip(', '.join(header))}: {task.folder} needs a header line with {', '.join(wanted)}"
        )
    index = [header.index(name) for name in wanted]
    examples = []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {number}: {len(cells)} tab-separated columns, not {len(header)}"
            )
        values = [cells[i] for i in index]
        text_b = values[1] if task.text_b is not None else None
        try:
            label = None if split == "test" else _parse_label(task, values[-1])
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        examples.append(Example(values[0], text_b, label))
    if not examples:
        raise ValueError(f"{path} has a header but no examples")
    return examples


def _read_lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: not UTF-8") from None
    # Not splitlines(): GLUE's texts hold characters that it would take for line ends.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise ValueError(f"{path} is empty")
    return lines


def _clip(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"


def _parse_label(task: Task, text: str) -> int | float:
    if task.labels is not None:
        if text not in task.labels:
            raise ValueError(f"label {_clip(text)!r} is not one of {', '.join(task.labels)}")
        return task.labels.index(text)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST_TARGET:
        raise ValueError(f"{task.label} {_clip(text)!r} is not a number that fp32 can hold")
    return value
