"""The dev set as a model saw it: what is right of each example, and what the model said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tools.results.numbers import is_number
from tools.results.run_folder import PREDICTIONS, RunFolder

_FILE = re.compile(r"dev(.*)\.jsonl")


@dataclass(frozen=True)
class Scored:
    """N examples of a dev set, scored.

    Attributes:
        suffix: of the dev file, where the task has several (``-mm``).
        kind: ``classes``, ``multi_label`` or ``number``.
        classes: the names of C classes or labels; none where numbers are predicted.
        gold, predicted: [N] classes by their place in ``classes``, [N, C] 0 and 1, or [N] numbers.
        probabilities: [N, C]; None where numbers are predicted.
        tokens: [N] lengths, 0 where one is not known.
        records: the N examples as ``predictions/dev<suffix>.jsonl`` has them.
    """

    suffix: str
    kind: str
    classes: list[str]
    gold: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None
    tokens: np.ndarray
    records: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.records)

    @property
    def right(self) -> np.ndarray:
        """Whether each answer is right as a whole: [N] truth values. Of classes and labels alone."""
        same = self.gold == self.predicted
        return same.all(axis=1) if same.ndim == 2 else same

    @property
    def errors(self) -> np.ndarray:
        """How far from right each number is: [N], never below 0."""
        return np.abs(self.gold - self.predicted)


def scored_sets(folder: RunFolder) -> list[Scored]:
    """Return what a run left of its dev files, in the order of their suffixes; none of a run without."""
    names = (file.name for file in (folder.path / PREDICTIONS).glob("dev*.jsonl"))
    suffixes = sorted(found[1] for name in names if (found := _FILE.fullmatch(name)))
    named = folder.run.get("task")
    classes = named.get("classes") if isinstance(named, dict) else None
    sets = (_scored(suffix, folder.dev_predictions(suffix), classes or []) for suffix in suffixes)
    return [one for one in sets if one is not None]


def _scored(
    suffix: str, records: Sequence[dict[str, Any]], classes: Sequence[str]
) -> Scored | None:
    records = [record for record in records if is_whole(record)]
    if not records:
        return None
    kind = _kind(records[0])
    records = [record for record in records if _kind(record) == kind]
    tokens = np.array(
        [r["tokens"] if is_number(r.get("tokens")) else 0 for r in records], dtype=int
    )
    if kind == "number":
        gold, predicted = (
            np.array([float(record[key]) for record in records]) for key in ("label", "prediction")
        )
        return Scored(suffix, kind, [], gold, predicted, None, tokens, records)
    names = list(dict.fromkeys([*map(str, classes), *(n for r in records for n in _names(r))]))
    place = {name: index for index, name in enumerate(names)}
    probabilities = np.zeros((len(records), len(names)))
    for row, record in zip(probabilities, records, strict=True):
        for name, value in record["probabilities"].items():
            row[place[name]] = value
    if kind == "classes":
        gold, predicted = (
            np.array([place[str(r[key])] for r in records]) for key in ("label", "prediction")
        )
    else:
        gold, predicted = (_flags(records, key, place) for key in ("label", "prediction"))
    return Scored(suffix, kind, names, gold, predicted, probabilities, tokens, records)


def is_whole(record: Mapping[str, Any]) -> bool:
    """Return whether a record of the dev set has its label and what was said of it, of the same kind."""
    label, prediction = record.get("label"), record.get("prediction")
    probabilities = record.get("probabilities")
    if not isinstance(probabilities, dict):
        return all(map(is_number, (label, prediction, record.get("score"))))
    if isinstance(label, list) and isinstance(prediction, list):
        names = [*label, *prediction]
    else:
        names = [label, prediction]
    are_known = all(isinstance(name, str) and name in probabilities for name in names)
    return are_known and all(map(is_number, probabilities.values()))


def _kind(record: Mapping[str, Any]) -> str:
    if not isinstance(record.get("probabilities"), dict):
        return "number"
    return "multi_label" if isinstance(record["label"], list) else "classes"


def _names(record: Mapping[str, Any]) -> list[str]:
    found = list(record["probabilities"])
    for key in ("label", "prediction"):
        value = record[key]
        found += map(str, value) if isinstance(value, list) else [str(value)]
    return found


def _flags(records: Sequence[Mapping[str, Any]], key: str, place: Mapping[str, int]) -> np.ndarray:
    found = np.zeros((len(records), len(place)), dtype=int)
    for row, record in zip(found, records, strict=True):
        row[[place[str(name)] for name in record[key]]] = 1
    return found
