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


def take_sample(widths: np.ndarray, tokens: np.ndarray, sizes: np.ndarray, count: int) -> list[int]:
    """Return which ``count`` of an epoch's batches have an example's mean width and mean tokens.

    The batches, sorted by width and then by tokens, are cut into ``count`` equal parts, one from each. The
    middle ones would leave out the few longest: part after part, the middle one gives way to that which
    brings the sample's means nearest to the epoch's.

    Args:
        widths: [N] of each batch its width.
        tokens: [N] its tokens, without padding.
        sizes: [N] its examples.
    """
    work = np.stack([widths * sizes, tokens, sizes], axis=1)
    means = _per_example(work.sum(axis=0))
    parts = np.array_split(np.lexsort((tokens, widths)), count)
    chosen = [part[len(part) // 2] for part in parts]
    for _ in range(_PASSES):
        for index, part in enumerate(parts):
            others = work[chosen[:index] + chosen[index + 1 :]].sum(axis=0)
            distance = np.abs(_per_example(others + work[part]) / means - 1).sum(axis=1)
            chosen[index] = part[distance.argmin()]
    return [int(index) for index in chosen]


def _per_example(work: np.ndarray) -> np.ndarray:
    return work[..., :2] / work[..., 2:]
