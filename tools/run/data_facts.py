"""What data and predictions are like, in a line each: classes, unknown pieces, results all alike."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from model.tokenization_albert import AlbertTokenizer
from processors.features import Features
from processors.glue import Task

logger = logging.getLogger(__name__)

# So many classes are named one by one, the most frequent ones.
_MOST_CLASSES = 10
# A share of unknown pieces above this is no rare sign, but another language.
_MUCH_UNKNOWN = 0.1
# Of so few tokens a rare sign is a large share, and only a larger one tells of a language.
_FEW_TOKENS, _MUCH_OF_FEW = 100, 0.4
# Fewer inputs of which nobody knows the classes may well be all of one.
_MANY_PREDICTIONS = 10


def log_data_facts(
    task: Task, tokenizer: AlbertTokenizer, features_of_splits: Mapping[str, Sequence[Features]]
) -> None:
    """Log what the labels of each split are, and warn of one that the vocabulary does not know."""
    for split, files in features_of_splits.items():
        # A task has names for its dev files alone; training data are one file.
        for suffix, features in zip((*task.suffixes, ""), files, strict=False):
            name = split + suffix
            warn_of_unknown(name, *count_unknown(features, tokenizer), "--model_name_or_path")
            if len(features.labels):
                logger.info("  %s", describe_labels(name, features.labels, task.labels))


def count_unknown(features: Features, tokenizer: AlbertTokenizer) -> tuple[int, int]:
    """Return how many of the texts' tokens are unknown, and how many there are."""
    ids = features.input_ids
    special = np.isin(ids, (tokenizer.cls_id, tokenizer.sep_id))
    return int((ids == tokenizer.unk_id).sum()), int(len(ids) - special.sum())


def warn_of_unknown(name: str, unknown: int, tokens: int, flag: str) -> None:
    """Warn where a large share of the tokens of ``name`` is unknown; ``flag`` names the model."""
    share = unknown / max(1, tokens)
    if share > (_MUCH_UNKNOWN if tokens >= _FEW_TOKENS else _MUCH_OF_FEW):
        logger.warning(
            "%.0f %% of the tokens of %s are unknown to the vocabulary (<unk>): it is of another "
            "language than the texts; give %s a model of theirs",
            100 * share,
            name,
            flag,
        )


def warn_if_all_alike(
    name: str,
    predictions: np.ndarray,
    classes: Sequence[str] | None,
    labels: np.ndarray | None = None,
) -> None:
    """Warn where the [N] predictions of ``name`` are all the same, and what they should be is not.

    Args:
        classes: by number; None for a number itself.
        labels: [N] what the predictions should be; None where nobody knows, so that only many tell.
    """
    if labels is None:
        is_right = len(predictions) < _MANY_PREDICTIONS
    else:
        is_right = len(labels) < 2 or np.ptp(labels) == 0
    if is_right or np.ptp(predictions) > 0:
        return
    value = predictions[0]
    logger.warning(
        "all %d predictions of %s are %s: the model does not tell its examples apart; train it for "
        "longer, or with another --learning_rate or --seed",
        len(predictions),
        name,
        f"{value:g}" if classes is None else quoted(classes[int(value)]),
    )


def describe_labels(name: str, labels: np.ndarray, classes: Sequence[str] | None) -> str:
    """Return how the [N] labels of a split are distributed; ``classes`` is None for numbers."""
    if classes is None:
        low, mean, high = labels.min(), labels.mean(dtype=np.float64), labels.max()
        return f"numbers of {name}: {low:g} to {high:g}, {mean:g} on average"
    counts = np.bincount(labels, minlength=len(classes))
    order = np.argsort(-counts, kind="stable")
    named = order if len(order) > _MOST_CLASSES else range(len(classes))
    parts = [f"{quoted(classes[i])} ({counts[i]})" for i in list(named)[:_MOST_CLASSES]]
    if len(order) > _MOST_CLASSES:
        parts.append(f"{len(order) - _MOST_CLASSES} more")
    most = order[0]
    return (
        f"classes of {name}: {', '.join(parts)}; always {quoted(classes[most])} would be right for "
        f"{100 * counts[most] / len(labels):.1f} %"
    )


def quoted(name: str) -> str:
    """Return a class's name as it is shown: in quotes, but for a number."""
    return name if name.isdecimal() else f'"{name}"'
