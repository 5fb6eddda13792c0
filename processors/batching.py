"""Features → batches of padded tensors: which examples meet, and how wide their batch is.

A global batch is a function of (seed, epoch, global batch size) alone; each process takes its share of
it. So the number of processes changes neither the examples of a step nor what is scored.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from processors.features import Features

PADDING_POLICIES = ("max_length", "longest", "bucket")
# Few widths, so that kernels compiled for one shape are used again; multiples of 8 suit fp16 units.
BUCKET_WIDTHS = (16, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256, 384, 512)
# Examples of this many batches are sorted by length together: enough for batches of like lengths,
# few enough for each epoch to make new ones.
BUCKET_WINDOW = 50

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class BatchPlan:
    """The rows of one process's batch, and the width that all processes pad it to.

    ``tokens`` counts those of all processes' rows together, without padding.
    """

    rows: np.ndarray
    width: int
    tokens: int = 0


def padded_width(longest: int, max_length: int, policy: str) -> int:
    """Return the width of a batch whose longest example has ``longest`` tokens.

    ``max_length`` pads every batch to the maximum (as the references do), ``longest`` to its longest
    example, ``bucket`` to the next of :data:`BUCKET_WIDTHS`.
    """
    if policy == "max_length":
        return max_length
    if policy == "longest":
        return int(longest)
    return min(max_length, next((w for w in BUCKET_WIDTHS if w >= longest), max_length))


class TrainingPlan:
    """Which examples every optimizer step of a run sees.

    The examples that do not fill a last global batch are left out of an epoch (as in the references);
    the shuffle makes them others each time. With ``bucket``, examples of like length share a batch: the
    shuffled examples are sorted by length within windows of :data:`BUCKET_WINDOW` batches, and the
    batches shuffled again. The last step of an epoch may have fewer micro-batches than the others.

    Args:
        lengths: [N] tokens of each training example.
        batch_size: examples per process in a micro-batch.
        accumulation: micro-batches of one optimizer step.
        epochs: passes over the data, a fraction allowed.
        max_steps: if above 0, the number of optimizer steps instead.
        max_length: the width that ``policy`` never exceeds.

    Raises:
        ValueError: there are fewer examples than one global batch.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        *,
        batch_size: int,
        accumulation: int = 1,
        epochs: float = 1.0,
        max_steps: int = -1,
        seed: int,
        max_length: int,
        policy: str = "bucket",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._lengths = lengths
        self._rank, self._world_size = rank, world_size
        self._accumulation, self._seed = accumulation, seed
        self._max_length, self._policy = max_length, policy
        self.global_batch = batch_size * world_size
        self._batches = len(lengths) // self.global_batch
        if self._batches == 0:
            raise ValueError(
                f"{len(lengths)} training examples do not fill one batch of {self.global_batch}: "
                "lower --batch_size"
            )
        self.steps_per_epoch = math.ceil(self._batches / accumulation)
        self.total_steps = (
            max_steps if max_steps > 0 else max(1, round(self.steps_per_epoch * epochs))
        )

    def epoch(self, epoch: int) -> list[list[BatchPlan]]:
        """Return the steps of one epoch (from 0), each a list of this process's micro-batches.

        The epoch in which ``total_steps`` is reached ends there.
        """
        batches = [
            BatchPlan(
                rows[self._rank :: self._world_size],
                padded_width(self._lengths[rows].max(), self._max_length, self._policy),
                int(self._lengths[rows].sum()),
            )
            for rows in self._shuffle(epoch)
        ]
        steps = [
            batches[start : start + self._accumulation]
            for start in range(0, len(batches), self._accumulation)
        ]
        return steps[: self.total_steps - epoch * self.steps_per_epoch]

    def _shuffle(self, epoch: int) -> np.ndarray:
        """Return the rows of each global batch: [batches, global_batch]."""
        generator = np.random.default_rng([self._seed, epoch])
        rows = generator.permutation(len(self._lengths))[: self._batches * self.global_batch]
        if self._policy == "bucket":
            window = BUCKET_WINDOW * self.global_batch
            parts = np.split(rows, range(window, len(rows), window))
            rows = np.concatenate([p[np.argsort(self._lengths[p], kind="stable")] for p in parts])
        batches = rows.reshape(self._batches, self.global_batch)
        return generator.permutation(batches) if self._policy == "bucket" else batches

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same for a resumed run to see the same batches."""
        return {
            "training examples": len(self._lengths),
            "training tokens": int(self._lengths.sum()),
            "global batch": self.global_batch,
            "gradient_accumulation_steps": self._accumulation,
            "seed": self._seed,
            "padding": self._policy,
            "max_seq_length": self._max_length,
            "optimizer steps": self.total_steps,
        }


def plan_evaluation(
    lengths: np.ndarray,
    batch_size: int,
    max_length: int,
    policy: str = "bucket",
    rank: int = 0,
    world_size: int = 1,
) -> list[BatchPlan]:
    """Return this process's batches of an evaluation: every example once, in some process.

    Examples are sorted by length, so that little is padded. The last batches may be smaller.
    """
    rows = np.arange(len(lengths)) if policy == "max_length" else np.argsort(lengths, kind="stable")
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    return [
        BatchPlan(batch, padded_width(lengths[batch].max(), max_length, policy))
        for batch in batches[rank::world_size]
    ]


def pad_batch(features: Features, plan: BatchPlan) -> Batch:
    """Gather ``plan.rows`` into tensors of the model's arguments' names.

    Returns:
        ``input_ids`` and ``token_type_ids`` [B, width] int64, ``attention_mask`` [B, width] bool where
        something is padded, and ``labels`` [B] where the split has them.
    """
    rows, positions = plan.rows, np.arange(plan.width)
    starts = features.offsets[rows, None]
    lengths = features.offsets[rows + 1, None] - starts
    real = positions < lengths
    source = np.minimum(starts + positions, len(features.input_ids) - 1)
    batch = {
        "input_ids": np.where(real, features.input_ids[source], 0).astype(np.int64),
        "token_type_ids": (real & (positions >= features.first_lengths[rows, None])).astype(
            np.int64
        ),
    }
    if not real.all():
        batch["attention_mask"] = real
    if len(features.labels):
        batch["labels"] = features.labels[rows]
    return {name: torch.from_numpy(array) for name, array in batch.items()}


class _PaddedBatches:
    """The batches of a plan by position, as torch's DataLoader wants them."""

    def __init__(self, features: Features, plans: list[BatchPlan]) -> None:
        self.features, self.plans = features, plans

    def __len__(self) -> int:
        return len(self.plans)

    def __getitem__(self, index: int) -> Batch:
        return pad_batch(self.features, self.plans[index])


def load_batches(features: Features, plans: list[BatchPlan], workers: int = 0) -> Iterator[Batch]:
    """Yield the padded batch of each plan in order, built by ``workers`` other processes if any."""
    return iter(
        DataLoader(
            _PaddedBatches(features, plans),
            batch_size=None,
            num_workers=workers,
            worker_init_fn=_end_on_sigterm if workers else None,
        )
    )


def _end_on_sigterm(_: int) -> None:
    """Have a worker end quietly on SIGTERM; the handler it inherits is the training process's."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@dataclass(frozen=True)
class TrainingStep:
    """One optimizer step: its ``micro_batches`` batches.

    ``examples``, ``tokens`` and ``padded_tokens`` (tokens and padding) count all processes together;
    ``steps_left`` counts the steps of this epoch from this one on; ``opens_epoch`` is True for the first
    that this run sees of it.
    """

    epoch: int
    steps_left: int
    opens_epoch: bool
    examples: int
    tokens: int
    padded_tokens: int
    micro_batches: int
    batches: Iterator[Batch]


def training_steps(
    plan: TrainingPlan, features: Features, done: int = 0, workers: int = 0
) -> Iterator[TrainingStep]:
    """Yield the steps of a run that are left after ``done`` of them, over as many epochs as it takes.

    The batches of a step must be used up before the next step is asked for.
    """
    while done < plan.total_steps:
        epoch, skip = divmod(done, plan.steps_per_epoch)
        steps = plan.epoch(epoch)[skip:]
        batches = load_batches(features, [batch for step in steps for batch in step], workers)
        for index, step in enumerate(steps):
            yield TrainingStep(
                epoch=epoch,
                steps_left=len(steps) - index,
                opens_epoch=index == 0,
                examples=plan.global_batch * len(step),
                tokens=sum(batch.tokens for batch in step),
                padded_tokens=plan.global_batch * sum(batch.width for batch in step),
                micro_batches=len(step),
                batches=islice(batches, len(step)),
            )
        done += len(steps)
