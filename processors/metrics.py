"""GLUE's metrics, by scikit-learn and SciPy."""

from __future__ import annotations

import math

import numpy as np


def predicted(logits: np.ndarray) -> np.ndarray:
    """Return the class of the largest of [N, C] logits: [N]; with one output, the numbers themselves."""
    return logits[:, 0] if logits.shape[1] == 1 else logits.argmax(axis=1)


def compute(name: str, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Score a task whose main metric is ``name``.

    Args:
        name: ``acc`` (classes) or ``pearson`` (numbers).
        predictions, labels: [N] classes or numbers.

    Returns:
        the metrics by their reference names, the main one among them. A correlation that is not
        defined (all predictions equal) is 0.

    Raises:
        ValueError: there is no such metric, or the two arrays differ in length or are empty.
    """
    if len(predictions) != len(labels) or not len(labels):
        raise ValueError(
            f"{len(predictions)} predictions for {len(labels)} labels cannot be scored"
        )
    if name == "acc":
        from sklearn.metrics import accuracy_score  # imported here: it takes a second

        return {"acc": float(accuracy_score(labels, predictions))}
    if name == "pearson":
        pearson, spearman = _correlations(predictions, labels)
        return {"pearson": pearson, "spearmanr": spearman, "corr": (pearson + spearman) / 2}
    raise ValueError(f"no metric is called {name!r}")


def _correlations(predictions: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    from scipy.stats import pearsonr, spearmanr

    if len(labels) < 2 or np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0, 0.0
    values = (float(corr(predictions, labels)[0]) for corr in (pearsonr, spearmanr))
    pearson, spearman = (0.0 if math.isnan(value) else value for value in values)
    return pearson, spearman
