"""The examples of a benchmark: lengths as sentences have them, and random ids."""

from __future__ import annotations

import numpy as np

from processors.features import Features
from processors.glue import Task

# As many as SST-2 has.
TRAIN_EXAMPLES, DEV_EXAMPLES = 67_349, 872
# Of a log-normal distribution, so that the longest of 32 random sentences is as long as SST-2's: about
# three times the mean.
_SIGMA = 0.65
SHORTEST = 3  # [CLS] x [SEP]
_FIRST_ID = 5  # the ids before stand for [PAD], <unk>, [CLS], [SEP] and [MASK]


def draw_lengths(count: int, mean: float, longest: int, seed: int) -> np.ndarray:
    """Return [count] lengths as sentences have them: log-normal around ``mean``, 3 to ``longest``."""
    rng = np.random.default_rng([seed, count])
    drawn = rng.lognormal(np.log(mean) - _SIGMA**2 / 2, _SIGMA, count)
    return np.clip(np.rint(drawn), SHORTEST, longest).astype(np.int64)


def draw_static_lengths(count: int, width: int, seed: int) -> np.ndarray:
    """Return [count] lengths from half of ``width`` to all of it; both occur if there are two."""
    lengths = np.random.default_rng([seed, width]).integers(width // 2, width + 1, count)
    lengths[0], lengths[-1] = width // 2, width
    return lengths


def generate_features(lengths: np.ndarray, task: Task, vocab_size: int, seed: int) -> Features:
    """Return examples of these lengths with random ids and labels; pairs are halved."""
    rng = np.random.default_rng([seed, len(lengths), 1])
    total = int(lengths.sum())
    if task.is_regression:
        labels = rng.uniform(0, 5, len(lengths)).astype(np.float32)
    else:
        labels = rng.integers(0, len(task.labels), len(lengths))
    first = (lengths + 1) // 2 if task.has_pairs else lengths
    return Features(
        input_ids=rng.integers(min(_FIRST_ID, vocab_size - 1), vocab_size, total, np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        first_lengths=first.astype(np.int32),
        labels=labels,
    )
