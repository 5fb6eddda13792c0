"""GLUE's submission file, and beside it what the model thought of each row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from model.files import write_whole
from processors.glue import Task
from processors.metrics import predicted


def write_submission(folder: Path, task: Task, logits: np.ndarray) -> Path:
    """Write ``<task>.tsv`` (``index``, ``prediction``) and ``<task>.jsonl`` to ``folder``.

    Args:
        logits: [N, num_labels], in the order of the test file.

    Returns:
        the path of the submission file. The JSON lines hold, for a class, the probability of each, for a
        regression, the number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = predicted(logits)
    if task.labels is None:
        predictions = [f"{value:.3f}" for value in values]
        details = [{"score": float(value)} for value in values]
    else:
        predictions = [task.labels[value] for value in values]
        details = [dict(zip(task.labels, map(float, row), strict=True)) for row in _softmax(logits)]
    rows = [f"{index}\t{prediction}" for index, prediction in enumerate(predictions)]
    submission = folder / f"{task.folder}.tsv"
    write_whole(submission, "\n".join(["index\tprediction", *rows, ""]))
    records = zip(predictions, details, strict=True)
    details_lines = [
        json.dumps({"index": index, "prediction": prediction, **_named(task, detail)})
        for index, (prediction, detail) in enumerate(records)
    ]
    write_whole(submission.with_suffix(".jsonl"), "\n".join([*details_lines, ""]))
    return submission


def _named(task: Task, detail: dict[str, float]) -> dict[str, object]:
    return detail if task.is_regression else {"probabilities": detail}


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
