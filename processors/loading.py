"""Features and plans → batches of padded tensors, on the device that computes with them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from processors.batching import BatchPlan, TrainingPlan
from processors.features import Features

Batch = dict[str, Tensor]

# Features of at most this size lie on the device while they are used, those of larger sets in host memory.
DEVICE_BYTES = 256 * 2**20
# A worker that was told to end does so by itself after so long, should the training process not end it.
_WORKER_SECONDS = 30
# So many files the training process opens for its workers together and for each of them: ends of pipes.
_FILES, _FILES_OF_A_WORKER = 8, 4


def batch_shape(plan: BatchPlan, lengths: np.ndarray) -> tuple[int, int, bool]:
    """Return a batch's rows and width, and whether it has a mask; ``lengths`` [N] are the examples'."""
    return len(plan.rows), plan.width, bool(lengths[plan.rows].min() < plan.width)


class BatchBuilder:
    """Gathers padded batches from features that lie on the device where they are small enough.

    Args:
        features: the examples.
        device: where the batches are wanted.
    """

    def __init__(self, features: Features, device: torch.device) -> None:
        self._device = device
        home = device if features.input_ids.nbytes <= DEVICE_BYTES else torch.device("cpu")
        self._lengths = features.lengths  # They stay on the host, which decides whether to mask.
        self._has_pairs = bool((features.first_lengths < features.lengths).any())
        self._input_ids, self._offsets, self._first_lengths, self._labels = (
            torch.from_numpy(array).to(home)
            for array in (
                features.input_ids,
                features.offsets,
                features.first_lengths,
                features.labels,
            )
        )

    def shape(self, plan: BatchPlan) -> tuple[int, int, bool]:
        """Return a batch's rows and width, and whether it has a mask."""
        return batch_shape(plan, self._lengths)

    def __call__(self, plan: BatchPlan) -> Batch:
        """Gather ``plan.rows`` into tensors of the model's arguments' names.

        Returns:
            ``input_ids`` [B, width] int32, ``token_type_ids`` [B, width] int32 where texts are pairs,
            ``attention_mask`` [B, width] bool where something is padded, and ``labels`` [B], or
            [B, C] in a multi-label task, where the split has them.
        """
        home = self._input_ids.device
        rows = torch.from_numpy(plan.rows).to(home, non_blocking=True)
        positions = torch.arange(plan.width, device=home)
        starts = self._offsets[rows].unsqueeze(1)
        real = positions < self._offsets[rows + 1].unsqueeze(1) - starts
        source = (starts + positions).clamp_(max=len(self._input_ids) - 1)
        batch = {"input_ids": self._input_ids[source].masked_fill_(~real, 0)}
        if self._has_pairs:
            second = positions >= self._first_lengths[rows].unsqueeze(1)
            batch["token_type_ids"] = (real & second).int()
        *_, is_masked = self.shape(plan)
        if is_masked:
            batch["attention_mask"] = real
        if len(self._labels):
            batch["labels"] = self._labels[rows]
        return _put(batch, self._device)


def _put(batch: Batch, device: torch.device) -> Batch:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


class _PaddedBatches:
    """The batches of a plan by position, as torch's DataLoader wants them.

    They are arrays, whose bytes come through a pipe. A tensor's would lie in shared memory, with an open
    file each: where there is none to be had, as in many containers, the worker cannot say so, and both
    sides wait for ever.
    """

    def __init__(self, features: Features, plans: list[BatchPlan]) -> None:
        self.build, self.plans = BatchBuilder(features, torch.device("cpu")), plans

    def __len__(self) -> int:
        return len(self.plans)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in self.build(self.plans[index]).items()}


def load_batches(
    features: Features, plans: list[BatchPlan], device: torch.device, workers: int = 0
) -> Iterator[Batch]:
    """Yield the padded batch of each plan, in order, on ``device``.

    With ``workers``, as many other processes build them in host memory. No number is drawn from torch's
    own generator, which belongs to the step that takes the batches.
    """
    if workers == 0:
        yield from map(BatchBuilder(features, device), plans)
        return
    _check_files(workers)
    loader = DataLoader(
        _PaddedBatches(features, plans),
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,  # Else the worker would make tensors of the arrays.
        worker_init_fn=partial(_outlive_signals, os.getpid()),
        generator=torch.Generator(),  # The loader draws a seed for its workers, who have no use for it.
    )
    for arrays in loader:
        yield _put({name: torch.from_numpy(array) for name, array in arrays.items()}, device)


def _check_files(workers: int) -> None:
    """See that this process may open what it needs for its workers: torch stumbles where it may not.

    Raises:
        OSError: it may not.
    """
    opened = []
    try:
        while len(opened) < _FILES + workers * _FILES_OF_A_WORKER:
            opened += os.pipe()
    finally:
        for file in opened:
            os.close(file)


def _as_it_is(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return arrays


def _outlive_signals(training_process: int, _: int) -> None:
    """Have a worker leave it to the training process when both end, as long as that one lives.

    A terminal and torchrun send their signals to both, and the training process may want the rest of its
    step's batches.
    """

    def end_later(*_: object) -> None:
        if os.getppid() != training_process:
            os._exit(128 + signal.SIGTERM)
        signal.alarm(_WORKER_SECONDS)  # Nobody handles its signal, which ends the process.

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end_later)


@dataclass(frozen=True)
class TrainingStep:
    """One optimizer step: its batches, and by what the loss of each is multiplied.

    ``global_step`` is its number, from 1, in the whole training; ``loss_weights`` are those of
    :class:`processors.batching.BatchPlan`. ``examples``, ``tokens`` and ``padded_tokens`` (tokens and
    padding) count all processes together; ``steps_left`` counts the steps of this epoch from this one
    on; ``opens_epoch`` is True for the first that this run sees of it.
    """

    global_step: int
    epoch: int
    steps_left: int
    opens_epoch: bool
    examples: int
    tokens: int
    padded_tokens: int
    loss_weights: list[float]
    batches: Iterator[Batch]

    @property
    def closes_epoch(self) -> bool:
        """Whether it is the last of its epoch."""
        return self.steps_left == 1


def training_steps(
    plan: TrainingPlan,
    features: Features,
    device: torch.device,
    global_step: int = 0,
    workers: int = 0,
) -> Iterator[TrainingStep]:
    """Yield the steps of a run that come after ``global_step``, epoch by epoch; see :func:`load_steps`."""
    while global_step < plan.total_steps:
        epoch, skip = divmod(global_step, plan.steps_per_epoch)
        plans = plan.epoch(epoch)[skip:]
        yield from load_steps(plans, features, device, global_step, epoch, workers)
        global_step += len(plans)


def common_batches(
    plan: TrainingPlan, features: Features, device: torch.device, global_step: int = 0
) -> Iterator[tuple[Batch, bool]]:
    """Yield a batch of each shape that comes before the next epoch, and again in what is left to train.

    The largest comes first, for whoever lays out memory, and so it does if it comes once alone: with each
    batch is whether its shape comes again. Each epoch has much the same shapes.
    """
    left = plan.total_steps - global_step
    if left <= 0:
        return
    epoch, skip = divmod(global_step, plan.steps_per_epoch)
    steps = plan.epoch(epoch)[skip:]
    goes_on = left > len(steps)
    build = BatchBuilder(features, device)
    of_shape: dict[tuple[int, int, bool], list[BatchPlan]] = {}
    for batch in (batch for step in steps for batch in step):
        of_shape.setdefault(build.shape(batch), []).append(batch)
    by_size = sorted(of_shape.items(), key=lambda item: -item[0][0] * item[0][1])
    for index, (_, batches) in enumerate(by_size):
        comes_again = goes_on or len(batches) > 1
        if comes_again or index == 0:
            yield build(batches[0]), comes_again


def load_steps(
    plans: list[list[BatchPlan]],
    features: Features,
    device: torch.device,
    global_step: int = 0,
    epoch: int = 0,
    workers: int = 0,
) -> Iterator[TrainingStep]:
    """Yield the steps that ``plans`` describe, each by its micro-batches, after ``global_step`` others.

    Their batches are :func:`load_batches`'s; those of a step must be used up before the next step is
    asked for.
    """
    batches = load_batches(features, [batch for step in plans for batch in step], device, workers)
    for index, step in enumerate(plans):
        yield TrainingStep(
            global_step=global_step + index + 1,
            epoch=epoch,
            steps_left=len(plans) - index,
            opens_epoch=index == 0,
            examples=sum(batch.examples for batch in step),
            tokens=sum(batch.tokens for batch in step),
            padded_tokens=sum(batch.examples * batch.width for batch in step),
            loss_weights=[batch.loss_weight for batch in step],
            batches=islice(batches, len(step)),
        )
