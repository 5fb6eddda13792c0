"""GLUE's submission file, and beside it what the model thought of each row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.files import write_whole
from processors.glue import Task
from processors.metrics import classes_or_scores


def write_submission(folder: Path, name: str, task: Task, logits: np.ndarray) -> Path:
    """Write ``<name>.tsv`` (``index``, ``prediction``) and ``<name>.jsonl`` to ``folder``.

    Args:
        name: one of ``task.submission_names``.
        logits: [N, num_labels], in the order of the test file.

    Returns:
        the path of the submission file. The JSON lines hold, for a class, the probability of each, for a
        regression, the number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records = prediction_records(logits, task.labels)
    rows = [f"{index}\t{record['prediction']}" for index, record in enumerate(records)]
    details = [json.dumps({"index": index, **record}) for index, record in enumerate(records)]
    submission = folder / f"{name}.tsv"
    write_whole(submission, "\n".join(["index\tprediction", *rows, ""]))
    write_whole(submission.with_suffix(".jsonl"), "\n".join([*details, ""]))
    return submission


def prediction_records(logits: np.ndarray, labels: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return, for each row of [N, num_labels] logits, the prediction and what it rests on.

    ``prediction`` is a class name with ``probabilities`` of all of them, or, without ``labels``, a number
    with three decimals and the ``score`` itself.
    """
    values = classes_or_scores(logits)
    if labels is None:
        return [{"prediction": f"{value:.3f}", "score": float(value)} for value in values]
    return [
        {
            "prediction": labels[value],
            "probabilities": dict(zip(labels, map(float, row), strict=True)),
        }
        for value, row in zip(values, _softmax(logits), strict=True)
    ]


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
