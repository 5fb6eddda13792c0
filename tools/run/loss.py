"""How much each class counts in the loss: what --class_weights and --label_smoothing come to."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence

import numpy as np

from model.modeling_albert import AlbertForSequenceClassification
from processors.glue import Task
from tools.cli.errors import UsageError
from tools.run.data_flags import as_flag_value
from tools.run.training_flags import BALANCED, TrainingFlags


def check_class_weights(text: str, classes: Sequence[str]) -> dict[str, float]:
    """Return the weight of each class that ``--class_weights`` gives; {} for those of balanced classes.

    Raises:
        UsageError: it is no list of ``class=weight``, or not of these classes.
    """
    if text == BALANCED:
        return {}
    weights: dict[str, float] = {}
    for part in next(csv.reader([text], skipinitialspace=True), ()):
        name, _, number = part.strip().rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not name or not 0 < weight < math.inf or name in weights:
            example = as_flag_value([f"{classes[0]}=1", f"{classes[1]}=2.5"])
            raise UsageError(
                f"--class_weights {text}: {part!r} is no weight of a class of its own, as in "
                f"{example}; or give {BALANCED}"
            )
        weights[name] = weight
    if set(weights) != set(classes):
        raise UsageError(
            f"--class_weights {text}: the classes are {', '.join(map(repr, classes))}: give each of them "
            f"a weight, or {BALANCED}"
        )
    return weights


def weigh_loss(
    model: AlbertForSequenceClassification, flags: TrainingFlags, task: Task, labels: np.ndarray
) -> None:
    """Have the model's loss be what the flags say.

    Args:
        labels: [N] classes of the training examples. The mean weight of those is 1, whatever the sizes of
            the weights given, so that the rate means what it does without.

    Raises:
        UsageError: as :func:`check_class_weights`.
    """
    model.label_smoothing = flags.label_smoothing
    if not flags.class_weights:
        return
    counts = np.bincount(labels, minlength=len(task.labels))
    given = check_class_weights(flags.class_weights, task.labels)
    # A class without examples is not asked for its weight.
    weights = (
        np.array([given[name] for name in task.labels]) if given else 1 / np.maximum(counts, 1)
    )
    model.weigh_classes((weights * len(labels) / (weights * counts).sum()).tolist())
