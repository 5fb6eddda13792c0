"""Examples set aside for evaluation, and fewer of them to train with: drawn by a seed, row by row."""

from __future__ import annotations

import numpy as np

from processors.features import Features


def set_aside(features: Features, share: float, seed: int) -> np.ndarray:
    """Return which of the N examples are to be the dev set: [N] bool.

    The share is that of each class, too, as near as whole examples allow, and of the whole where the
    labels are numbers. Examples of the same tokens stay together, with whatever labels; a class keeps at
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
    return is_dev[group_of]


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
        labels=features.labels[rows],
        cut=features.cut[rows] if len(features.cut) else features.cut,
    )


def _strata(labels: np.ndarray) -> np.ndarray:
    """Return a number by which the examples of each class are alike: [N]; all the same for targets."""
    if labels.ndim == 1 and np.issubdtype(labels.dtype, np.floating):
        return np.zeros(len(labels), dtype=np.int64)
    return np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
