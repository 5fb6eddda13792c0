"""Examples set aside for evaluation, and fewer of them to train with: drawn by a seed, row by row."""

from __future__ import annotations

import numpy as np

from processors.features import Features


def set_aside(features: Features, share: float, seed: int) -> np.ndarray:
    """Return which of the N examples are to be the dev set: [N] bool.

    The share is that of each class, too, as near as whole examples allow, and of the whole where the
    labels are numbers. Where an example has any number of labels, its rarest one stands for its class.
    Examples of the same tokens stay together, with whatever labels; a class, and each label, keeps at
    least one for the training. The same examples, share and seed give the same answer everywhere.
    """
    bounds = zip(features.offsets[:-1], features.offsets[1:], strict=True)
    texts: dict[bytes, int] = {}
    group_of = np.array(
        [texts.setdefault(features.input_ids[a:b].tobytes(), len(texts)) for a, b in bounds],
        dtype=np.int64,
    )
    sizes = np.bincount(group_of, minlength=len(texts))
    _, first_rows = np.unique(group_of, return_index=True)
    stratum_of = _strata(features.labels)[first_rows]
    order = np.random.default_rng(seed).permutation(len(texts))
    is_dev = np.zeros(len(texts), dtype=bool)
    examples = wanted = 0.0
    for stratum in np.unique(stratum_of):
        groups = order[stratum_of[order] == stratum]
        before, examples = examples, examples + sizes[groups].sum()
        # What one class's roundings leave over goes to the next.
        wanted += np.floor(share * examples + 0.5) - np.floor(share * before + 0.5)
        for group in groups[:-1]:
            if sizes[group] <= wanted:
                is_dev[group] = True
                wanted -= sizes[group]
    if features.labels.ndim == 2:
        _leave_each_label(features.labels, group_of, is_dev)
    return is_dev[group_of]


def _leave_each_label(labels: np.ndarray, group_of: np.ndarray, is_dev: np.ndarray) -> None:
    """Take groups back, so that each of [N, C] labels has an example that is trained with."""
    for label in labels.T:
        groups = group_of[label > 0]
        if len(groups) and is_dev[groups].all():
            is_dev[groups[0]] = False


def draw(examples: int, count: int, seed: int) -> np.ndarray:
    """Return ``count`` of the row numbers below ``examples``, in order.

    Those of a smaller count are among those of a larger one.
    """
    return np.sort(np.random.default_rng(seed).permutation(examples)[:count])


def select(features: Features, rows: np.ndarray) -> Features:
    """Return the examples that ``rows`` names: [M] numbers, or [N] bool."""
    rows = np.arange(len(features))[rows]
    lengths = features.lengths[rows]
    offsets = np.zeros(len(rows) + 1, dtype=features.offsets.dtype)
    np.cumsum(lengths, out=offsets[1:])
    places = np.repeat(features.offsets[:-1][rows] - offsets[:-1], lengths)
    return Features(
        input_ids=features.input_ids[places + np.arange(lengths.sum())],
        offsets=offsets,
        first_lengths=features.first_lengths[rows],
        labels=features.labels[rows] if len(features.labels) else features.labels,
        cut=features.cut[rows] if len(features.cut) else features.cut,
    )


def _strata(labels: np.ndarray) -> np.ndarray:
    """Return a number by which the examples of each class are alike: [N]; all the same for targets."""
    if labels.ndim == 2:  # Sets of labels are many, and most of them too rare to be shared out.
        counts = labels.sum(axis=0)
        rarest = np.where(labels > 0, counts, np.inf).argmin(axis=1)
        return np.where(labels.any(axis=1), rarest, labels.shape[1])
    if np.issubdtype(labels.dtype, np.floating):
        return np.zeros(len(labels), dtype=np.int64)
    return np.unique(labels, return_inverse=True)[1].reshape(-1)
