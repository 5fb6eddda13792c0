"""A few batches that stand for an epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from processors.batching import BatchPlan

# A turn is worth as many padded tokens as --sample batches of this width have, so that wide batches do not
# make a run as long as a training.
_USUAL_WIDTH = 20


def sample_size(widths: np.ndarray, most: int) -> int:
    """Return how many batches of an epoch of these widths make a turn: fewer where they are wide.

    One is enough where all are as wide; else there are two at least, and never more than ``most``.
    """
    least = 1 if widths.min() == widths.max() else 2
    wanted = round(most * _USUAL_WIDTH / float(widths.mean()))
    return min(len(widths), max(least, min(most, wanted)))


def take_sample(plans: Sequence[BatchPlan], tokens: np.ndarray, count: int) -> list[BatchPlan]:
    """Return ``count`` of an epoch's batches whose mean width and mean tokens are the epoch's.

    The batches, sorted by width and then by tokens, are cut into ``count`` equal parts. Each gives the
    one nearest to its part's mean plus what the parts before fell short of theirs. (The middle ones would
    leave out the few longest.)
    """
    values = np.stack([[plan.width for plan in plans], tokens], axis=1).astype(float)
    values /= values.mean(axis=0)
    order = np.lexsort((values[:, 1], values[:, 0]))
    chosen, short = [], np.zeros(2)
    for part in np.array_split(order, count):
        goal = values[part].mean(axis=0) + short
        best = part[np.abs(values[part] - goal).sum(axis=1).argmin()]
        short = goal - values[best]
        chosen.append(plans[best])
    return chosen
