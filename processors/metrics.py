"""GLUE's metrics, by scikit-learn and SciPy, and errors of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

# The libraries are imported where they are used: together they take two seconds.


def _accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    # This one needs no library: the run that asks for it alone ends a second sooner.
    return float(np.mean(predictions == labels))


def _f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return f1_score(labels, predictions, zero_division=0.0)


def _micro_f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float(_f1_of_sets(predictions.reshape(-1, 1), labels.reshape(-1, 1))[0])


def _f1_of_sets(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the F1 of each of C labels, of [N, C] 0 and 1; 0 where a label is nowhere."""
    hits = (predictions * labels).sum(axis=0, dtype=np.float64)
    given = predictions.sum(axis=0, dtype=np.float64) + labels.sum(axis=0, dtype=np.float64)
    return 2 * hits / np.maximum(given, 1)


def _macro_f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    if labels.ndim == 2:
        return float(_f1_of_sets(predictions, labels).mean())
    from sklearn.metrics import f1_score

    return f1_score(labels, predictions, average="macro", zero_division=0.0)


def _matthews(predictions: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.metrics import matthews_corrcoef

    return matthews_corrcoef(labels, predictions)


def _pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    from scipy.stats import pearsonr

    return _correlation(pearsonr, predictions, labels)


def _spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return _correlation(spearmanr, predictions, labels)


def _correlation(rule: Callable, predictions: np.ndarray, labels: np.ndarray) -> float:
    if len(labels) < 2 or np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0
    # In fp32 outputs that are nearly the same would lose the fifth digit.
    value = float(rule(predictions.astype(np.float64), labels.astype(np.float64))[0])
    return 0.0 if math.isnan(value) else value


def _mean_absolute_error(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float(np.abs(_errors(predictions, labels)).mean())


def _root_mean_square_error(predictions: np.ndarray, labels: np.ndarray) -> float:
    errors = _errors(predictions, labels)
    largest = np.abs(errors).max() or 1.0  # Its square may be more than a number can hold.
    return float(largest * np.sqrt(np.square(errors / largest).mean()))


def _errors(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return predictions.astype(np.float64) - labels.astype(np.float64)


def _mean(first: Callable, second: Callable) -> Callable:
    return lambda *arrays: (first(*arrays) + second(*arrays)) / 2


# The names are the references'. A correlation that is not defined (all predictions equal) is 0.
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "acc": _accuracy,
    "f1": _f1,  # It is that of class 1.
    "acc_and_f1": _mean(_accuracy, _f1),
    "macro_f1": _macro_f1,  # It is the mean over the classes or labels.
    "micro_f1": _micro_f1,  # It is that of all labels of all examples.
    "mcc": _matthews,
    "pearson": _pearson,
    "spearmanr": _spearman,
    "corr": _mean(_pearson, _spearman),
    "mae": _mean_absolute_error,
    "rmse": _root_mean_square_error,
}


# Of all others, more is better.
LOWER_IS_BETTER = ("mae", "rmse")


def classes_or_scores(logits: np.ndarray) -> np.ndarray:
    """Return the class of the largest of [N, C] logits: [N]; with one output, the numbers themselves."""
    return logits[:, 0] if logits.shape[1] == 1 else logits.argmax(axis=1)


def compute_metrics(
    names: Sequence[str], predictions: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Return the :data:`METRICS` called ``names`` of [N] predicted classes or numbers.

    In a multi-label task both arrays are [N, C], 0 and 1 for each label.

    Raises:
        ValueError: the two arrays differ in length or are empty.
    """
    if len(predictions) != len(labels) or not len(labels):
        raise ValueError(
            f"{len(predictions)} predictions for {len(labels)} labels cannot be scored"
        )
    return {name: float(METRICS[name](predictions, labels)) for name in names}


def mean_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean loss of N examples, without weights of classes.

    Args:
        logits: [N, num_labels].
        labels: [N] classes (the loss is the cross-entropy) or, with one output, numbers (the squared
            error); or [N, num_labels] 0 and 1 (the binary cross-entropy of each).
    """
    logits = logits.astype(np.float64)
    if labels.ndim == 2:
        losses = np.logaddexp(0, logits) - labels * logits
    elif logits.shape[1] == 1:
        losses = np.square(_errors(logits[:, 0], labels))
    else:
        losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]
    return float(losses.mean())
