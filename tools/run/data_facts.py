"""What data and predictions are like, in a line each: classes, unknown pieces, results all alike."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from model.tokenizer import Tokenizer
from processors.features import Features

logger = logging.getLogger(__name__)

# So many classes are named one by one, the most frequent ones.
_MOST_CLASSES = 10
# A share of unknown pieces above this is no rare sign, but another language.
_MUCH_UNKNOWN = 0.1
# Of so few tokens a rare sign is a large share, and only a larger one tells of a language.
_FEW_TOKENS, _MUCH_OF_FEW = 100, 0.4
_TRAIN_BETTER = "train it for longer, or with another --learning_rate or --seed"
# Fewer inputs may well be much alike.
_MANY_INPUTS = 10
# Of log odds, which tell apart what a model is sure of, too. Those of the demonstration's model lie 4 and
# more apart for sentences of one class, and 0.003 after its first three steps.
_SAME_ODDS = 0.01
# Numbers are of any size. This is a share of the largest one.
_SAME_SHARE = 0.001


def count_unknown(features: Features, tokenizer: Tokenizer) -> tuple[int, int]:
    """Return how many of the texts' tokens are unknown, and how many there are."""
    ids = features.input_ids
    special = np.isin(ids, (tokenizer.cls_id, tokenizer.sep_id))
    return int((ids == tokenizer.unk_id).sum()), int(len(ids) - special.sum())


def warn_of_unknown(name: str, unknown: int, tokens: int, flag: str) -> None:
    """Warn where a large share of the tokens of ``name`` is unknown; ``flag`` names the model."""
    share = unknown / max(1, tokens)
    if share > (_MUCH_UNKNOWN if tokens >= _FEW_TOKENS else _MUCH_OF_FEW):
        logger.warning(
            "%.0f %% of the tokens of %s are unknown to the vocabulary: perhaps it is of another "
            "language, or of texts of another kind; give %s a model of theirs",
            100 * share,
            name,
            flag,
        )


def warn_if_all_alike(
    name: str,
    predictions: np.ndarray,
    classes: Sequence[str] | None,
    labels: np.ndarray,
) -> None:
    """Warn where the [N] predictions of ``name`` are all the same, and what they should be is not.

    Args:
        predictions: in a multi-label task they are [N, C], 0 and 1 for each label.
        classes: by number; None for a number itself.
        labels: of the same shape, what the predictions should be. Where nobody knows, see
            :class:`OutputRange`.
    """
    if len(labels) < 2 or (labels == labels[0]).all() or (predictions != predictions[0]).any():
        return
    value = predictions[0]
    if predictions.ndim == 2:
        shown = ", ".join(quoted(classes[i]) for i in np.flatnonzero(value)) or "no label"
    else:
        shown = f"{value:g}" if classes is None else quoted(classes[int(value)])
    logger.warning(
        "all %d predictions of %s are %s: the model does not tell its examples apart; %s",
        len(predictions),
        name,
        shown,
        _TRAIN_BETTER,
    )


@dataclass
class OutputRange:
    """How far a model's outputs for different inputs lie apart, where nobody knows what they should be.

    That all are of one class says nothing then: the texts may well be.

    Attributes:
        multi_label: whether each output is of a label of its own.
    """

    multi_label: bool = False
    _inputs: set[int] = field(default_factory=set)
    _low: np.ndarray | float = math.inf
    _high: np.ndarray | float = -math.inf

    def add(self, features: Features, logits: np.ndarray) -> None:
        """Count N examples and their [N, C] outputs; the same text counts once, however often it comes."""
        bounds = zip(features.offsets[:-1], features.offsets[1:], strict=True)
        self._inputs.update(hash(features.input_ids[a:b].tobytes()) for a, b in bounds)
        if (
            logits.shape[1] > 1 and not self.multi_label
        ):  # The classes' probabilities depend on the differences alone.
            logits = logits - logits.mean(axis=1, keepdims=True)
        self._low = np.minimum(self._low, logits.min(axis=0, initial=math.inf))
        self._high = np.maximum(self._high, logits.max(axis=0, initial=-math.inf))

    def warn_if_alike(self, name: str) -> None:
        """Warn where the outputs for the many different inputs of ``name`` are nearly the same."""
        if len(self._inputs) < _MANY_INPUTS:
            return
        low, high = np.asarray(self._low), np.asarray(self._high)
        if self.multi_label:
            same = _SAME_ODDS
        else:
            # Of two classes each has half of the difference, and of more at least that of the largest.
            same = _SAME_ODDS / 2 if low.size > 1 else _SAME_SHARE * np.abs([low, high]).max()
        if (high - low <= same).all():
            logger.warning(
                "the outputs for the %d different inputs of %s are nearly the same: the model does not "
                "tell them apart; %s",
                len(self._inputs),
                name,
                _TRAIN_BETTER,
            )


def describe_labels(labels: np.ndarray, classes: Sequence[str] | None) -> str:
    """Return how the [N] labels of a split are distributed; ``classes`` is None for numbers.

    In a multi-label task they are [N, C].
    """
    if classes is None:
        low, mean, high = labels.min(), labels.mean(dtype=np.float64), labels.max()
        return f"{low:g} to {high:g}, {mean:g} on average"
    if labels.ndim == 2:
        counts = labels.sum(axis=0).astype(int)
        most = np.argsort(-counts, kind="stable")[:_MOST_CLASSES]
        parts = [f"{quoted(classes[i])} ({counts[i]})" for i in most]
        rest = [f"{len(counts) - _MOST_CLASSES} more"] if len(counts) > _MOST_CLASSES else []
        return f"{', '.join(parts + rest)}, {labels.sum() / len(labels):.1f} a row"
    counts = np.bincount(labels, minlength=len(classes))
    order = np.argsort(-counts, kind="stable")
    named = order if len(order) > _MOST_CLASSES else range(len(classes))
    parts = [f"{quoted(classes[i])} ({counts[i]})" for i in list(named)[:_MOST_CLASSES]]
    if len(order) > _MOST_CLASSES:
        parts.append(f"{len(order) - _MOST_CLASSES} more")
    most = order[0]
    return (
        f"{', '.join(parts)}, always {quoted(classes[most])} would be right for "
        f"{100 * counts[most] / len(labels):.1f} %"
    )


def quoted(name: str) -> str:
    """Return a class's name as it is shown: in quotes, but for a number."""
    return name if name.isdecimal() else f'"{name}"'
