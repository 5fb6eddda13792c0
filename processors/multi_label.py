"""Labels of which an example has any number: their probabilities, and from where on they are given."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

THRESHOLD = 0.5
LABEL_SEPARATOR = ","  # It stands between them where nothing else is said.


def cell_of(names: Sequence[str], separator: str) -> str:
    """Return some labels as one cell of a table; as JSON where the separator would not tell them apart."""
    if any(separator in name for name in names):
        return json.dumps(names, ensure_ascii=False)
    return separator.join(names)


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """Return the probability of each label: [N, C], of logits of the same shape."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64)))


def best_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return for each label the probability from which on giving it has the largest F1.

    It lies midway between two examples' probabilities. Of equal ones the nearest to :data:`THRESHOLD`,
    which a label without examples keeps.

    Args:
        probabilities: [N, C].
        labels: [N, C], 0 and 1.

    Returns:
        [C].
    """
    return np.array([_best(p, y > 0) for p, y in zip(probabilities.T, labels.T, strict=True)])


def _best(probabilities: np.ndarray, labels: np.ndarray) -> float:
    if not labels.any():
        return THRESHOLD
    values = np.unique(probabilities)
    candidates = np.concatenate([[THRESHOLD], values[:1], (values[1:] + values[:-1]) / 2])
    # How many are above a candidate, of all and of those with the label.
    given = len(labels) - np.searchsorted(np.sort(probabilities), candidates)
    hits = labels.sum() - np.searchsorted(np.sort(probabilities[labels]), candidates)
    scores = 2 * hits / (given + labels.sum())
    far = np.abs(candidates - THRESHOLD)
    return float(candidates[np.lexsort((far, -scores))[0]])


def label_records(logits: np.ndarray, labels: Sequence[str]) -> list[dict[str, object]]:
    """Return for each row of [N, C] logits, the labels from :data:`THRESHOLD` on, and what it rests on."""
    return [
        {
            "prediction": [n for n, p in zip(labels, row, strict=True) if p >= THRESHOLD],
            "probabilities": dict(zip(labels, map(float, row), strict=True)),
        }
        for row in probabilities_of(logits)
    ]
