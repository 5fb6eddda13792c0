"""Axes: where a number is on them, which numbers stand beside them, and what 100,000 points come to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """A straight or logarithmic way from numbers to places.

    Args:
        low, high: the numbers at the ends, ``low < high``; above 0 where ``is_log``.
        start, end: their places. The second may be the smaller one.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        """Return the places of numbers, in the shape that they have."""
        values = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.is_log:
            values, low, high = np.log10(values), math.log10(low), math.log10(high)
        return self.start + (values - low) / (high - low) * (self.end - self.start)

    def ticks(self, about: int) -> list[float]:
        """Return round numbers between the ends, ``about`` so many."""
        if self.is_log:
            return _log_ticks(self.low, self.high, about)
        return _ticks(self.low, self.high, about)


def fitting(values: np.ndarray, start: float, end: float, is_log: bool = False) -> Scale:
    """Return the scale that has room for ``values`` (finite ones, [N], N ≥ 1) and a little more."""
    low, high = float(values.min()), float(values.max())
    if is_log:
        room = (high / low) ** 0.05 if high > low else 1.5
        return Scale(low / room, high * room, start, end, is_log=True)
    room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    bottom = low - room
    # A quantity that is never below 0 gets no axis that is.
    return Scale(0.0 if low >= 0 > bottom else bottom, high + room, start, end)


def _ticks(low: float, high: float, about: int) -> list[float]:
    power = 10.0 ** math.floor(math.log10((high - low) / max(about, 1)))
    for step in (n * power for n in _NICE):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first <= about:
            break
    return [
        round(index * step, 12 - math.floor(math.log10(step))) for index in range(first, last + 1)
    ]


def _log_ticks(low: float, high: float, about: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        found = [
            n * 10.0**power
            for power in range(first, last + 1)
            for n in steps
            if low <= n * 10.0**power <= high
        ]
        if len(found) <= about + 2:
            # Where the ends are close together, round numbers of a straight axis say more.
            return found if len(found) >= 3 else _ticks(low, high, about)
    return found[:: math.ceil(len(found) / about)]


def thinned(x: np.ndarray, y: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of [N] that a line drawn ``columns`` pixels wide shows, in their order.

    Of each column of pixels the lowest and the highest point stay, so that no peak is lost. ``x`` does not
    fall.
    """
    if len(x) <= 2 * columns:
        return x, y
    width = (x[-1] - x[0]) or 1.0
    column = np.minimum(((x - x[0]) / width * columns).astype(int), columns - 1)
    starts = np.flatnonzero(np.r_[True, np.diff(column) > 0])
    kept = {0, len(x) - 1}
    for begin, end in zip(starts, np.r_[starts[1:], len(x)], strict=True):
        kept.update((begin + int(y[begin:end].argmin()), begin + int(y[begin:end].argmax())))
    order = np.array(sorted(kept))
    return x[order], y[order]


def smoothed(values: np.ndarray, span: float) -> np.ndarray:
    """Return the exponential moving average of [N], each weight ``1 - 1/span`` of the next one's.

    The first values are means of the few that there are (the correction that Adam makes for its
    averages: Kingma and Ba 2015, section 3).
    """
    if span <= 1:
        return values
    keep, total, weight = 1 - 1 / span, 0.0, 0.0
    found = np.empty(len(values))
    for index, value in enumerate(values.tolist()):
        total = keep * total + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        found[index] = total / weight
    return found
