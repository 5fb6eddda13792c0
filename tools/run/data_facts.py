"""What a run's data are like, in a line each: the classes, their counts, and pieces that are unknown."""

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


def log_data_facts(
    task: Task, tokenizer: AlbertTokenizer, features_of_splits: Mapping[str, Sequence[Features]]
) -> None:
    """Log what the labels of each split are, and warn of one that the vocabulary does not know."""
    for split, files in features_of_splits.items():
        # A task has names for its dev files alone; training data are one file.
        for suffix, features in zip((*task.suffixes, ""), files, strict=False):
            name = split + suffix
            if share := unknown_share(features, tokenizer):
                logger.warning(
                    "%.0f %% of the tokens of %s are unknown to the vocabulary (<unk>): it is of another "
                    "language than the texts; give --model_name_or_path a model of theirs",
                    100 * share,
                    name,
                )
            if len(features.labels):
                logger.info("  %s", describe_labels(name, features.labels, task.labels))


def unknown_share(features: Features, tokenizer: AlbertTokenizer) -> float:
    """Return which share of the texts' tokens is unknown, if it is large; else 0."""
    ids = features.input_ids
    special = np.isin(ids, (tokenizer.cls_id, tokenizer.sep_id))
    share = float((ids == tokenizer.unk_id).sum() / max(1, len(ids) - special.sum()))
    return share if share > _MUCH_UNKNOWN else 0.0


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
