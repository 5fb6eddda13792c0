"""Whether probabilities can be taken at their word.

Of the answers that a calibrated model gives with a probability of 0.8, 8 in 10 are right. The expected
calibration error is what is missing of that, on average over the answers: in bins of equal width
Σ (n_b / N) · |share that is right in b - mean probability in b| (Guo, Pleiss, Sun and Weinberger 2017, "On
Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599, equation 3, with their 15 bins).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processors.intervals import wilson
from tools.results.chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    axes,
    error_bars,
    marks,
    svg,
)
from tools.results.markup import Markup, tag
from tools.results.numbers import percent, score
from tools.results.scales import Scale
from tools.results.scored import Scored

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """How N probabilities do, in the B bins that have any.

    Attributes:
        count, said, right: [B] how many are in a bin, their mean, and the share that came true.
        error: the expected calibration error.
    """

    count: np.ndarray
    said: np.ndarray
    right: np.ndarray
    error: float

    @property
    def surplus(self) -> float:
        """By how much the mean probability is above the share that came true."""
        return float((self.count * (self.said - self.right)).sum() / self.count.sum())


def calibrate(probabilities: np.ndarray, came_true: np.ndarray, bins: int = BINS) -> Calibration:
    """Return the calibration of [N] probabilities of what came true [N] or did not."""
    # A bin has its upper edge, as in the source.
    place = np.clip(np.ceil(probabilities * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    used = count > 0
    sums = (np.bincount(place, weights=w, minlength=bins)[used] for w in (probabilities, came_true))
    said, right = (total / count[used] for total in sums)
    error = float((count[used] * np.abs(said - right)).sum() / count.sum())
    return Calibration(count[used], said, right, error)


def calibration_of(scored: Scored) -> Calibration | None:
    """Return the calibration of the answers: of each class that is answered, or of each label."""
    if scored.probabilities is None:
        return None
    if scored.kind == "multi_label":
        return calibrate(scored.probabilities.ravel(), scored.gold.ravel())
    said = scored.probabilities[np.arange(len(scored)), scored.predicted]
    return calibrate(said, scored.right)


def calibration(scored: Scored) -> Markup | None:
    """Return the reliability diagram; None where numbers are predicted."""
    found = calibration_of(scored)
    if found is None:
        return None
    across, up = Scale(0, 1, LEFT, WIDTH - RIGHT), Scale(0, 1, HEIGHT - BOTTOM, TOP)
    hits = np.round(found.right * found.count)
    low, high = np.array([wilson(*pair) for pair in zip(hits, found.count, strict=True)]).T
    x = across(found.said)
    floor = HEIGHT - BOTTOM
    tall = 34 * found.count / found.count.max()
    bars = "".join(f"M{a:.1f} {floor}v{-b:.1f}" for a, b in zip(x, tall, strict=True))
    words = _words(found, scored.kind)
    drawing = svg(
        f"calibration{scored.suffix}",
        "How often answers of a probability are right",
        words,
        tag("path", d=bars, class_="amount"),
        axes(across, up, "probability that the model gives"),
        tag("path", d=f"M{across(0)} {up(0)}L{across(1)} {up(1)}", class_="ideal"),
        error_bars(x, up(low), up(high), 1),
        marks(x, up(found.right), 1),
    )
    caption = (
        f"{words} Marks: how often it is right, with 95 % intervals; on the dashed line probabilities are "
        "true. Grey bars: how many there are."
    )
    return tag(
        "figure",
        tag("div", tag("h3", "Calibration"), class_="bar"),
        drawing,
        tag("figcaption", caption),
    )


def _words(found: Calibration, kind: str) -> str:
    error = f"Expected calibration error {score(found.error)} ({BINS} bins)"
    if kind == "multi_label":
        return f"{error}, over all labels of all examples."
    said = float((found.said * found.count).sum() / found.count.sum())
    right = float((found.right * found.count).sum() / found.count.sum())
    how = "as sure as it is right"
    if abs(found.surplus) >= 0.01:
        sure = "surer" if found.surplus > 0 else "less sure"
        how = f"{sure} than it is right, by {score(abs(found.surplus))}"
    return f"{error}: on average it says {percent(said)} and is right in {percent(right)}, {how}."
