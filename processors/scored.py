"""What a model said of examples whose labels are known, one record each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from processors.features import Features
from processors.glue import Task
from processors.submission import prediction_records


def scored_records(
    task: Task,
    numbers: Sequence[int],
    texts: Sequence[Sequence[str]],
    features: Features,
    logits: np.ndarray,
) -> Iterator[dict[str, Any]]:
    """Yield the record of each of N examples.

    Args:
        task: its classes in the order of the outputs.
        numbers: [N] the line that each example begins on in its file, or which record it is there.
        texts: one or two columns, each [N].
        logits: [N, num_labels].

    Yields:
        ``id``, ``text`` or ``text_a`` and ``text_b``, ``label``, ``prediction``, ``probabilities`` by
        class or ``score``, ``tokens`` (with the special ones) and ``cut``. A label is a class's name, a
        number, or in a multi-label task a list of names.
    """
    names = ("text_a", "text_b") if task.has_pairs else ("text",)
    said = prediction_records(logits, task.labels, task.is_multi_label)
    cut = features.cut if len(features.cut) else np.zeros(len(features), bool)
    columns = (numbers, zip(*texts, strict=True), features.labels, said, features.lengths, cut)
    for number, text, label, record, tokens, is_cut in zip(*columns, strict=True):
        yield {
            "id": int(number),
            **dict(zip(names, text, strict=True)),
            "label": _named(task, label),
            **record,
            "tokens": int(tokens),
            "cut": bool(is_cut),
        }


def _named(task: Task, label: Any) -> str | float | list[str]:
    if task.is_multi_label:
        return [task.labels[i] for i in np.flatnonzero(label)]
    return float(label) if task.is_regression else task.labels[label]
