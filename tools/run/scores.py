"""What a set's outputs say: predictions, metrics and how far those are to be trusted, loss."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from processors.glue import Task
from processors.intervals import Interval, intervals
from processors.metrics import classes_or_scores, compute_metrics, mean_loss
from processors.multi_label import THRESHOLD, best_thresholds, probabilities_of

logger = logging.getLogger(__name__)

# This one's interval takes no time; that of others takes up to a second.
_CHEAP = "acc"


@dataclass(frozen=True)
class Scores:
    """The figures of one set, or of the several files of one.

    Attributes:
        metrics: by their names.
        intervals: at 95 %, of those that have one.
        losses: the mean loss (:func:`processors.metrics.mean_loss`), by ``loss`` and the file's suffix.
        examples: how many each metric is of.
    """

    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    losses: Mapping[str, float]
    examples: Mapping[str, int]

    @classmethod
    def of(
        cls,
        task: Task,
        logits: np.ndarray,
        labels: np.ndarray,
        suffix: str = "",
        *,
        is_final: bool = True,
        with_thresholds: bool = False,
    ) -> Scores:
        """Return the figures of [N, num_labels] logits.

        Args:
            labels: [N] classes or numbers, or in a multi-label task [N, num_labels], 0 and 1.
            suffix: comes after the names.
            is_final: whether a moment may be spent on the intervals of all metrics; else those stay out
                that have to be bootstrapped.
            with_thresholds: in a multi-label task, add each label's best threshold for these examples,
                and the metrics with those, which have no interval: they were chosen by their examples.
        """
        predictions, by_name = decisions(task, logits), labels
        if not task.is_multi_label:
            predictions, by_name = _by_name(task, predictions, labels)
        metrics = compute_metrics(task.metrics, predictions, by_name)
        asked = task.metrics if is_final else [name for name in task.metrics if name == _CHEAP]
        ends = intervals(asked, predictions, by_name)
        if task.is_multi_label and with_thresholds:
            metrics |= _at_thresholds(task, logits, labels)
        return cls(
            {name + suffix: value for name, value in metrics.items()},
            {name + suffix: value for name, value in ends.items()},
            {f"loss{suffix}": mean_loss(logits, labels)},
            dict.fromkeys((name + suffix for name in metrics), len(labels)),
        )

    def __or__(self, other: Scores) -> Scores:
        """Return the figures of both."""
        return Scores(**{name: {**mine, **vars(other)[name]} for name, mine in vars(self).items()})

    def log(self, with_intervals: bool) -> None:
        """Log the metrics in the references' words, and the intervals in lines of their own.

        The latter come first: who reads the references' logs takes the last line with ``acc`` in it.
        """
        for name, (low, high) in self.intervals.items() if with_intervals else ():
            logger.info(
                "  %s is %.3f ± %.3f (95 %% interval %.3f to %.3f, %d examples)",
                *(name, self.metrics[name], (high - low) / 2, low, high, self.examples[name]),
            )
        for name, value in self.metrics.items():
            logger.info("  %s = %s", name, value)

    def record(self) -> dict[str, Any]:
        """Return what the history has of them."""
        return {
            **self.losses,
            **self.metrics,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
        }


NOTHING = Scores({}, {}, {}, {})


def decisions(task: Task, logits: np.ndarray) -> np.ndarray:
    """Return what the model says of N examples by [N, num_labels] logits.

    That is [N] classes or numbers, or in a multi-label task [N, num_labels], 0 and 1.
    """
    if task.is_multi_label:
        return (probabilities_of(logits) >= THRESHOLD).astype(int)
    return classes_or_scores(logits)


def _at_thresholds(task: Task, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    found = probabilities_of(logits)
    best = best_thresholds(found, labels)
    tuned = compute_metrics(task.metrics, (found >= best).astype(int), labels)
    pairs = zip(task.labels, map(float, best), strict=True)
    return {f"{name}_at_thresholds": value for name, value in tuned.items()} | {
        f"threshold[{label}]": value for label, value in pairs
    }


def _by_name(task: Task, *classes: np.ndarray) -> list[np.ndarray]:
    """Return [N] classes numbered in the order of their names: for F1 the class 1 is the one called so."""
    if not task.labels:
        return list(classes)
    order = sorted(task.labels)
    numbers = np.array([order.index(label) for label in task.labels])
    return [numbers[column] for column in classes]
