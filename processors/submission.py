"""GLUE's submission file, and beside it what the model thought of each row."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.files import make_folder, write_whole, writing
from processors.glue import Task
from processors.metrics import classes_or_scores
from processors.multi_label import cell_of, label_records


def write_submission(
    folder: Path, name: str, task: Task, logits: np.ndarray, index: Sequence[str] | None = None
) -> Path:
    """Write ``<name>.tsv`` (``index``, ``prediction``) and ``<name>.jsonl`` to ``folder``.

    Args:
        name: one of ``task.submission_names``.
        logits: [N, num_labels], in the order of the test file.
        index: [N] what the test file calls its rows; without it they are counted from 0.

    Returns:
        the path of the submission file, whose numbers are within ``task.submitted_range``. The JSON lines
        hold, for a class, the probability of each, for a regression, the number as it is. Both are on the
        disk.

    Raises:
        DiskError: the disk is full.
    """
    with writing(folder):
        make_folder(folder)
    records = prediction_records(logits, task.labels, task.is_multi_label)
    index = list(map(str, range(len(records)))) if index is None else index
    rows, details = [], []
    for row, record in zip(index, records, strict=True):
        prediction = record["prediction"]
        rows.append(f"{row}\t{_submitted(task, prediction)}")
        details.append(json.dumps({"index": _as_number(row), **record}))
    submission = folder / f"{name}.tsv"
    write_whole(submission, "\n".join(["index\tprediction", *rows, ""]))
    write_whole(submission.with_suffix(".jsonl"), "\n".join([*details, ""]))
    return submission


def _submitted(task: Task, prediction: Any) -> str:
    if task.is_multi_label:
        return cell_of(prediction, task.label_separator)
    if not task.is_regression:
        return prediction
    low, high = task.submitted_range or (-math.inf, math.inf)
    return f"{min(max(prediction, low), high) + 0.0:.3f}"  # Without the sign that -0 has.


def prediction_records(
    logits: np.ndarray, labels: Sequence[str] | None, multi_label: bool = False
) -> list[dict[str, Any]]:
    """Return, for each row of [N, num_labels] logits, the prediction and what it rests on.

    ``prediction`` is a class name with ``probabilities`` of all of them, or, without ``labels``, a number
    rounded to three decimals and the ``score`` itself. With ``multi_label`` it is a list of class names.
    """
    if multi_label:
        return label_records(logits, labels)
    values = classes_or_scores(logits)
    if labels is None:
        return [{"prediction": round(float(value), 3), "score": float(value)} for value in values]
    return [
        {
            "prediction": labels[value],
            "probabilities": dict(zip(labels, map(float, row), strict=True)),
        }
        for value, row in zip(values, _softmax(logits), strict=True)
    ]


def _as_number(text: str) -> int | str:
    """Return the whole number that ``text`` writes as JSON would, or else ``text``."""
    return int(text) if re.fullmatch(r"-?[1-9][0-9]{0,17}|0", text) else text


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
