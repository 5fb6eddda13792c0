"""A few batches that stand for an epoch."""

from __future__ import annotations

import numpy as np

# A turn is worth as many padded tokens as --sample batches of this width have, so that wide batches do not
# make a run as long as a training.
_USUAL_WIDTH = 20
_PASSES = 3


def sample_size(widths: np.ndarray, most: int) -> int:
    """Return how many batches of an epoch of these widths make a turn: fewer where they are wide.

    One is enough where all are as wide; else there are two at least, and never more than ``most``.
    """
    least = 1 if widths.min() == widths.max() else 2
    wanted = round(most * _USUAL_WIDTH / float(widths.mean()))
    return min(len(widths), max(least, min(most, wanted)))


def take_sample(values: np.ndarray, means: np.ndarray, count: int) -> list[int]:
    """Return which ``count`` of an epoch's batches have its mean width and mean tokens.

    The batches, sorted by width and then by tokens, are cut into ``count`` equal parts, one from each. The
    middle ones would leave out the few longest: part after part, the middle one gives way to that which
    brings the sample's means nearest to the epoch's.

    Args:
        values: [N, 2] of each batch the width, and the tokens of an example on average.
        means: [2] the same of all examples of the epoch.
    """
    values = values / means
    parts = np.array_split(np.lexsort((values[:, 1], values[:, 0])), count)
    chosen = [part[len(part) // 2] for part in parts]
    for _ in range(_PASSES):
        for index, part in enumerate(parts):
            others = values[chosen[:index] + chosen[index + 1 :]].sum(axis=0)
            distance = np.abs(others + values[part] - count).sum(axis=1)
            chosen[index] = part[distance.argmin()]
    return [int(index) for index in chosen]
