"""The metrics of many weighted samples of the same examples at once, for the bootstrap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# The metric of each of B samples, by how often each of the N examples is in it: [B, N] → [B].
Statistic = Callable[[np.ndarray], np.ndarray]


def statistic_of(name: str, predictions: np.ndarray, labels: np.ndarray) -> Statistic:
    """Return the metric called ``name`` (:data:`processors.metrics.METRICS`) as a rule for samples.

    Args:
        predictions, labels: as :func:`processors.metrics.compute_metrics` has them.

    Raises:
        KeyError: there is no metric of that name.
    """
    if name in _MEANS:
        rules = [statistic_of(part, predictions, labels) for part in _MEANS[name]]
        return lambda counts: sum(rule(counts) for rule in rules) / len(rules)
    if name in _OF_NUMBERS:
        pair = predictions.astype(np.float64), labels.astype(np.float64)
        return _OF_NUMBERS[name](*pair)
    if labels.ndim == 2:
        return _of_sets(name, predictions, labels)
    return _of_classes(name, predictions, labels)


def _of_classes(name: str, predictions: np.ndarray, labels: np.ndarray) -> Statistic:
    """The metrics of classes follow from how often each class is given, is right, and both."""
    rule = _OF_CLASSES[name]
    classes = np.unique(np.concatenate([predictions, labels]))
    given, there = _sums_by(predictions, classes), _sums_by(labels, classes)
    is_hit = predictions == labels
    hits = _sums_by(labels[is_hit], classes)
    return lambda counts: rule(classes, given(counts), there(counts), hits(counts[:, is_hit]))


def _sums_by(values: np.ndarray, classes: np.ndarray) -> Statistic:
    """Return how to count each of the C ``classes`` among N values: [B, N] → [B, C]."""
    order = np.argsort(values, kind="stable")
    found, starts = np.unique(values[order], return_index=True)
    columns = np.searchsorted(classes, found)

    def sums(counts: np.ndarray) -> np.ndarray:
        of_classes = np.zeros((len(counts), len(classes)))
        if len(found):
            of_classes[:, columns] = np.add.reduceat(counts[:, order], starts, axis=1)
        return of_classes

    return sums


def _accuracy(_: np.ndarray, given: np.ndarray, __: np.ndarray, hits: np.ndarray) -> np.ndarray:
    return hits.sum(axis=1) / given.sum(axis=1)


def _f1_of_one(
    classes: np.ndarray, given: np.ndarray, there: np.ndarray, hits: np.ndarray
) -> np.ndarray:
    of_one = classes == 1
    return _f1(given[:, of_one].sum(axis=1), there[:, of_one].sum(axis=1), hits[:, of_one].sum(1))


def _macro_f1(_: np.ndarray, given: np.ndarray, there: np.ndarray, hits: np.ndarray) -> np.ndarray:
    # A class that a sample has nowhere does not count in it.
    return _f1(given, there, hits).sum(axis=1) / (given + there > 0).sum(axis=1)


def _matthews(_: np.ndarray, given: np.ndarray, there: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """The multi-class coefficient: J. Gorodkin, Comparing two K-category assignments (2004)."""
    total = given.sum(axis=1)
    covariance = hits.sum(axis=1) * total - (given * there).sum(axis=1)
    of_given = total**2 - np.square(given).sum(axis=1)
    of_there = total**2 - np.square(there).sum(axis=1)
    return _ratio(covariance, np.sqrt(of_given * of_there))


def _of_sets(name: str, predictions: np.ndarray, labels: np.ndarray) -> Statistic:
    """The same of [N, C] labels, of which an example has any number."""
    columns = np.concatenate([predictions, labels, predictions * labels], axis=1, dtype=np.float64)

    def statistic(counts: np.ndarray) -> np.ndarray:
        given, there, hits = np.split(counts @ columns, 3, axis=1)
        if name == "macro_f1":  # Here a label that is nowhere counts as 0.
            return _f1(given, there, hits).mean(axis=1)
        return _f1(given.sum(axis=1), there.sum(axis=1), hits.sum(axis=1))

    return statistic


def _pearson(x: np.ndarray, y: np.ndarray) -> Statistic:
    # What is small beside its own mean would drown in the products.
    x, y = _standardized(x), _standardized(y)
    columns = np.stack([x, y, x * x, y * y, x * y], axis=1)

    def statistic(counts: np.ndarray) -> np.ndarray:
        sums = counts @ columns / counts.sum(axis=1, keepdims=True)
        mean_x, mean_y, of_x, of_y, of_both = sums.T
        variances = (of_x - mean_x**2) * (of_y - mean_y**2)
        return _ratio(of_both - mean_x * mean_y, np.sqrt(np.maximum(variances, 0)))

    return statistic


def _spearman(x: np.ndarray, y: np.ndarray) -> Statistic:
    ranks_of_x, ranks_of_y = _mid_ranks(x), _mid_ranks(y)

    def statistic(counts: np.ndarray) -> np.ndarray:
        ranks_x, ranks_y = ranks_of_x(counts), ranks_of_y(counts)
        of_both = (counts * ranks_x * ranks_y).sum(axis=1)
        of_x = (counts * ranks_x**2).sum(axis=1)
        of_y = (counts * ranks_y**2).sum(axis=1)
        return _ratio(of_both, np.sqrt(of_x * of_y))

    return statistic


def _mid_ranks(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return how N values rank in samples: [B, N], with the mean rank of each sample at 0."""
    different, groups = np.unique(values, return_inverse=True)
    of_each = _sums_by(values, different)

    def ranks(counts: np.ndarray) -> np.ndarray:
        of_groups = of_each(counts)
        below = np.cumsum(of_groups, axis=1) - of_groups
        total = counts.sum(axis=1, keepdims=True)
        return (below + (of_groups - total) / 2)[:, groups.reshape(-1)]

    return ranks


def _mean_absolute_error(x: np.ndarray, y: np.ndarray) -> Statistic:
    errors = np.abs(x - y)
    return lambda counts: counts @ errors / counts.sum(axis=1)


def _root_mean_square_error(x: np.ndarray, y: np.ndarray) -> Statistic:
    largest = np.abs(x - y).max() or 1.0  # Its square may be more than a number can hold.
    squares = np.square((x - y) / largest)
    return lambda counts: largest * np.sqrt(counts @ squares / counts.sum(axis=1))


def _standardized(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean()
    return centred / (np.abs(centred).max() or 1.0)


def _f1(given: np.ndarray, there: np.ndarray, hits: np.ndarray) -> np.ndarray:
    return 2 * hits / np.maximum(given + there, 1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return the quotient, and 0 where it is not defined, as the metrics have it."""
    defined = below > 1e-15  # Less is what rounding left of 0.
    return np.where(defined, above / np.where(defined, below, 1), 0.0)


_OF_CLASSES = {
    "acc": _accuracy,
    "f1": _f1_of_one,
    "macro_f1": _macro_f1,
    "mcc": _matthews,
}
_OF_NUMBERS = {
    "pearson": _pearson,
    "spearmanr": _spearman,
    "mae": _mean_absolute_error,
    "rmse": _root_mean_square_error,
}
_MEANS = {"acc_and_f1": ("acc", "f1"), "corr": ("pearson", "spearmanr")}
