"""Lengths of examples → batches: which examples meet, and how wide their batch is.

A global batch is a function of (seed, epoch, global batch size) alone; each process takes its share of
it. So the number of processes changes neither the examples of a step nor what is scored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

PADDING_POLICIES = ("max_length", "longest", "bucket")
# They are a fixed set, so that kernels and graphs compiled for one width serve again, and close together
# where sentences are short, since there one token more is a large share of the batch.
BUCKET_WIDTHS = (
    *range(3, 16),
    *range(16, 32, 2),
    *range(32, 64, 4),
    *range(64, 128, 8),
    *range(128, 513, 32),
)
# A batch of an evaluation may have so many padding tokens: about what a batch more costs on a CPU.
MOST_PADDING = 64


@dataclass(frozen=True)
class BatchPlan:
    """The rows of one process's batch, and the width that all processes pad it to.

    ``examples`` and ``tokens`` (without padding) count all processes' rows together. ``loss_weight``
    is what the mean loss of ``rows`` is multiplied with: summed over the batches of a step and averaged
    over the processes, that gives the mean over the step's examples.
    """

    rows: np.ndarray
    width: int
    examples: int = 0
    tokens: int = 0
    loss_weight: float = 1.0


def padded_width(longest: int, max_seq_length: int, padding: str) -> int:
    """Return the width of a batch whose longest example has ``longest`` tokens.

    ``max_length`` pads every batch to the maximum (as the references do), ``longest`` to its longest
    example, ``bucket`` to the next of :data:`BUCKET_WIDTHS`.
    """
    if padding == "max_length":
        return max_seq_length
    if padding == "longest":
        return int(longest)
    return min(max_seq_length, next((w for w in BUCKET_WIDTHS if w >= longest), max_seq_length))


class TrainingPlan:
    """Which examples every optimizer step of a run sees.

    Every example comes once an epoch. What does not fill a global batch makes a smaller one, whose
    examples are left out with ``drop_last`` (as in the references); the shuffle makes them others each
    time. With ``bucket``, the shuffled examples are sorted by the bucket they fall in, so that a batch
    pads (almost) none of them, and the batches shuffled again: which examples of a bucket meet, and when
    their batch comes, is random. The last step of an epoch may have fewer micro-batches than the others.

    Args:
        lengths: [N] tokens of each training example.
        batch_size: examples per process in a micro-batch.
        gradient_accumulation_steps: micro-batches of one optimizer step.
        num_train_epochs: passes over the data, a fraction allowed.
        max_steps: if above 0, the number of optimizer steps instead.
        max_seq_length: the width that no batch exceeds.
        padding: one of :data:`PADDING_POLICIES`.
        drop_last: have full batches alone.

    Raises:
        ValueError: with ``drop_last``, there are fewer examples than one global batch.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        *,
        batch_size: int,
        gradient_accumulation_steps: int = 1,
        num_train_epochs: float = 1.0,
        max_steps: int = -1,
        seed: int,
        max_seq_length: int,
        padding: str = "bucket",
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._lengths = lengths
        self._rank, self._world_size = rank, world_size
        self._gradient_accumulation_steps, self._seed = gradient_accumulation_steps, seed
        self._max_seq_length, self._padding = max_seq_length, padding
        self.global_batch = batch_size * world_size
        dropped = len(lengths) % self.global_batch if drop_last else 0
        self._examples = len(lengths) - dropped
        if self._examples == 0:
            raise ValueError(
                f"{len(lengths)} training examples do not fill one batch of {self.global_batch}: "
                "lower --batch_size or leave out --drop_last"
            )
        examples_per_step = self.global_batch * gradient_accumulation_steps
        self.steps_per_epoch = math.ceil(self._examples / examples_per_step)
        self.total_steps = (
            max_steps if max_steps > 0 else max(1, round(self.steps_per_epoch * num_train_epochs))
        )

    def epoch(self, epoch: int) -> list[list[BatchPlan]]:
        """Return the steps of one epoch (from 0), each a list of this process's micro-batches.

        The epoch in which ``total_steps`` is reached ends there.
        """
        batches = self._shuffle(epoch)
        steps = [
            self._share(batches[start : start + self._gradient_accumulation_steps])
            for start in range(0, len(batches), self._gradient_accumulation_steps)
        ]
        return steps[: self.total_steps - epoch * self.steps_per_epoch]

    def _shuffle(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of each global batch."""
        rng = np.random.default_rng([self._seed, epoch])
        rows = rng.permutation(len(self._lengths))[: self._examples]
        if self._padding == "bucket":
            buckets = np.searchsorted(BUCKET_WIDTHS, self._lengths[rows])
            rows = rows[np.argsort(buckets, kind="stable")]
        smaller = []
        if rest := len(rows) % self.global_batch:
            # Neighbours need little padding, and may be from anywhere, since one of few weighs more.
            places = (rng.integers(len(rows)) + np.arange(rest)) % len(rows)
            smaller = [rows[places]]
            rows = np.delete(rows, places)
        batches = [*rows.reshape(-1, self.global_batch), *smaller]
        if self._padding == "bucket":
            batches = [batches[index] for index in rng.permutation(len(batches))]
        return batches

    def _share(self, batches: list[np.ndarray]) -> list[BatchPlan]:
        """Return this process's part of the global batches of one step."""
        examples = sum(map(len, batches))
        shares = []
        for rows in batches:
            taken, lengths = rows[self._rank :: self._world_size], self._lengths[rows]
            # A process that gets no row takes part all the same, with one of no weight.
            shares.append(
                BatchPlan(
                    rows=taken if len(taken) else rows[:1],
                    width=padded_width(lengths.max(), self._max_seq_length, self._padding),
                    examples=len(rows),
                    tokens=int(lengths.sum()),
                    loss_weight=len(taken) * self._world_size / examples,
                )
            )
        return shares

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same for a resumed run to see the same batches, beside the flags."""
        return {
            "training examples": len(self._lengths),
            "training tokens": int(self._lengths.sum()),
            "global batch": self.global_batch,
            "examples of an epoch": self._examples,
            "max_seq_length": self._max_seq_length,
            "optimizer steps": self.total_steps,
        }


def plan_evaluation(
    lengths: np.ndarray,
    batch_size: int,
    max_seq_length: int,
    padding: str = "bucket",
    rank: int = 0,
    world_size: int = 1,
    tokens: int = 0,
) -> list[BatchPlan]:
    """Return this process's batches of an evaluation: every example once, in some process.

    Examples are sorted by length and padded to the longest of their batch; a batch of fewer than
    ``batch_size`` ends where one more would bring its padding above :data:`MOST_PADDING`. With
    ``max_length`` they are in the file's order, and as wide as that.

    Args:
        tokens: if above 0, a batch has as many examples as come to so many tokens with their padding,
            whatever ``batch_size`` is: for a device that is fast where it has much to do at once.
    """
    if padding == "max_length":
        lengths = np.full(len(lengths), max_seq_length)  # All are alike now, so that nothing moves.
    rows = np.argsort(lengths, kind="stable")
    sorted_lengths = lengths[rows]
    if tokens:
        cuts = _cut_by_tokens(sorted_lengths, tokens)
    else:
        cuts = _cut_by_padding(sorted_lengths, batch_size)
    batches = np.split(rows, cuts) if len(rows) else []
    return [BatchPlan(batch, int(lengths[batch].max())) for batch in batches[rank::world_size]]


def _cut_by_padding(lengths: np.ndarray, batch_size: int) -> list[int]:
    """Return where batches begin, but for the first, among examples of rising lengths."""
    cuts, start, padding = [], 0, 0
    for index, growth in enumerate(np.diff(lengths).tolist(), start=1):
        padding += growth * (index - start)
        if index - start == batch_size or padding > MOST_PADDING:
            cuts.append(index)
            start, padding = index, 0
    return cuts


def _cut_by_tokens(lengths: np.ndarray, tokens: int) -> list[int]:
    """Return where batches begin, but for the first, among examples of rising lengths."""
    cuts, start = [], 0
    for index, length in enumerate(lengths.tolist()):
        if index > start and (index + 1 - start) * length > tokens:
            cuts.append(index)
            start = index
    return cuts
