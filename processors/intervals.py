"""How far a metric of N examples is to be trusted: its 95 % interval over the choice of the examples."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

import numpy as np

from processors.resampling import Statistic, statistic_of

Interval = tuple[float, float]

_LEVEL = 0.95
_QUANTILE = 1.959963984540054  # The standard normal distribution has 2.5 % above it.
_SEED = 20181011
# Of fewer examples, samples of them tell nothing of what others would have given.
_FEWEST = 10
# The samples are so many, and fewer where they would hold more examples together than that.
_MOST_SAMPLES, _FEWEST_SAMPLES, _EXAMPLES = 2000, 200, 4_000_000
_EXAMPLES_AT_ONCE = 500_000
# The accelerated intervals need each sample that one example is left out of: N² of them.
_ACCELERATED = 1000


def interval(name: str, predictions: np.ndarray, labels: np.ndarray) -> Interval | None:
    """Return the 95 % interval of the metric called ``name``, one of :data:`processors.metrics.METRICS`.

    That of the accuracy is Wilson's; that of all others is bootstrapped by examples, with a fixed seed:
    bias-corrected and accelerated (SciPy's BCa) up to 1,000 examples, and by percentiles above.

    Args:
        predictions, labels: as :func:`processors.metrics.compute_metrics` has them.

    Returns:
        the lower and the upper end; None where none is defined, as of a correlation with predictions that
        are all alike, or of fewer than 10 examples (for the accuracy, of none).
    """
    if name == "acc":
        return wilson(int(np.sum(predictions == labels)), len(labels))
    return _bootstrap(statistic_of(name, predictions, labels), len(labels))


def intervals(
    names: Iterable[str], predictions: np.ndarray, labels: np.ndarray
) -> dict[str, Interval]:
    """Return the :func:`interval` of each of the metrics that have one."""
    found = {name: interval(name, predictions, labels) for name in names}
    return {name: ends for name, ends in found.items() if ends is not None}


def difference_interval(
    name: str, before: np.ndarray, after: np.ndarray, labels: np.ndarray
) -> Interval | None:
    """Return the 95 % interval of how much larger a metric is with the predictions ``after``.

    Both are scored on the same samples of the examples: what is hard for both does not widen it.

    Args:
        before, after: the predictions of two models, as :func:`interval` has those of one.
    """
    first, second = (statistic_of(name, predictions, labels) for predictions in (before, after))
    return _bootstrap(lambda counts: second(counts) - first(counts), len(labels))


def wilson(hits: int, examples: int) -> Interval | None:
    """Return the 95 % interval of a share (E. B. Wilson, Probable inference, 1927), if there is one."""
    # It is that of scipy.stats, whose import would take longer than many an evaluation.
    if not examples:
        return None
    share, square = hits / examples, _QUANTILE**2
    middle = share + square / (2 * examples)
    half = _QUANTILE * math.sqrt((share * (1 - share) + square / (4 * examples)) / examples)
    scale = 1 + square / examples
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _bootstrap(statistic: Statistic, examples: int) -> Interval | None:
    """Return the interval of a statistic over samples of N ``examples``, drawn with replacement."""
    if examples < _FEWEST:
        return None
    from scipy.stats import bootstrap

    def of_rows(rows: np.ndarray, axis: int) -> np.ndarray:
        rows = np.moveaxis(rows, axis, -1)
        return statistic(_counts(rows.reshape(-1, rows.shape[-1]), examples)).reshape(
            rows.shape[:-1]
        )

    samples = min(max(_EXAMPLES // examples, _FEWEST_SAMPLES), _MOST_SAMPLES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It warns of samples that are all alike.
        found = bootstrap(
            (np.arange(examples),),
            of_rows,
            n_resamples=samples,
            batch=max(_EXAMPLES_AT_ONCE // examples, 1),
            vectorized=True,
            axis=-1,
            confidence_level=_LEVEL,
            method="BCa" if examples <= _ACCELERATED else "percentile",
            random_state=np.random.default_rng(_SEED),
        )
    low, high = map(float, found.confidence_interval)
    return (low, high) if low < high else None  # Nor is it, where one of them is no number.


def _counts(rows: np.ndarray, examples: int) -> np.ndarray:
    """Return how often each of N examples is in each of B samples: [B, N]."""
    flat = rows + np.arange(len(rows))[:, None] * examples
    counts = np.bincount(flat.reshape(-1), minlength=len(rows) * examples)
    return counts.reshape(len(rows), examples).astype(np.float64)
