"""The training step whose parts are CUDA graphs: it tells the device no more than which to run."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from callback.lr_scheduler import DeviceSchedule
from processors.loading import Batch, TrainingStep
from tools.cli.errors import first_line
from tools.machine.seeds import seed_step
from tools.machine.step_graphs import InputBuffers, Recorder, StepGraphs
from tools.run.training_state import TrainingState

logger = logging.getLogger(__name__)

# An optimizer of these takes its rate from the device, and leaves a step after an overflow out there.
GRAPHED_OPTIMIZERS = ("lamb", "adamw")


class GraphedTrainingState(TrainingState):
    """As :class:`TrainingState`, with a graph for the micro-batches of each shape and one for the update.

    The gradients are added up in memory that stays; between the last micro-batch and the update they are
    averaged over the processes. The schedule is on the device.

    Args:
        insists: whether to end where the memory does not hold the graphs, and not to go on without.

    Attributes:
        graphs: those recorded so far.
    """

    is_graphed = True

    def __init__(
        self, record: Recorder, insists: bool, schedule: DeviceSchedule, **parts: Any
    ) -> None:
        super().__init__(schedule=schedule, **parts)
        self.graphs = StepGraphs(record, self._insist if insists else self._do_without)
        self._inputs = InputBuffers()
        self._gradients = self.precision.keep_gradients()
        place = self._device.torch_device
        self._loss, self._loss_weight, self._norm = torch.zeros(3, device=place).unbind()

    def warm_up(self, batches: Iterable[tuple[Batch, bool]]) -> None:
        """Record the graph of each shape that comes again, before there is a step to wait for it.

        Raises:
            ValueError: the memory does not hold the graphs, which are insisted on.
        """
        began = time.perf_counter()
        try:
            for batch, comes_again in batches:
                for _ in range(2 if comes_again else 1):
                    self._run(batch, 0.0)
        except (RuntimeError, MemoryError) as error:
            self.graphs.make_room(error)
        self.precision.drop_gradients()
        self._device.synchronize()
        logger.info(
            "CUDA graphs: %d shapes of batches recorded in %.1f s, what runs them loaded in %.1f s more; "
            "others when they come twice",
            self.graphs.count,
            self.graphs.seconds,
            time.perf_counter() - began - self.graphs.seconds,
        )

    def _insist(self, error: Exception) -> None:
        raise ValueError(
            f"--cuda_graphs on: the device's memory does not hold the graphs ({first_line(error)}): "
            "--cuda_graphs auto goes on without them then, and a smaller --batch_size with more "
            "--gradient_accumulation_steps needs less"
        ) from error

    def _do_without(self, error: Exception) -> None:
        logger.info(
            "--cuda_graphs auto: none from here on, for the device's memory does not hold them: %s",
            first_line(error),
        )

    def forward_backward(self, step: TrainingStep) -> Tensor:
        batches = list(zip(step.batches, step.loss_weights, strict=True))
        try:
            return self._sum_up(batches)
        except (RuntimeError, MemoryError) as error:
            self.graphs.make_room(error)
        # What failed holds no memory any more, as the error is gone.
        self.precision.drop_gradients()
        return self._sum_up(batches)

    def _sum_up(self, batches: Sequence[tuple[Batch, float]]) -> Tensor:
        """Add up the gradients of a step's batches, each with its weight; return their mean loss."""
        seed_step(self._seed, self.global_step, self._processes.rank)
        self._loss.zero_()
        for batch, loss_weight in batches:
            self._run(batch, loss_weight)
        return self._loss.clone()

    def _run(self, batch: Batch, loss_weight: float) -> None:
        self._loss_weight.fill_(loss_weight)
        shape, buffers = self._inputs.fill(batch)
        self.graphs.run(shape, partial(self._accumulate, buffers))

    def _accumulate(self, batch: Batch) -> None:
        with self.precision.forward():
            loss = self._network(**batch).loss * self._loss_weight
        self.precision.backward(loss)
        self._loss += loss.detach()

    def update(self) -> None:
        for gradients in self._gradients:
            self._processes.average(gradients)
        self.graphs.run("update", self._update)
        self.global_step += 1

    def _update(self) -> None:
        self._schedule.set_rate()
        self._schedule.step(self.precision.step(self._max_grad_norm))
        self._norm.copy_(self.precision.grad_norm)

    @property
    def learning_rate(self) -> Tensor:
        return self._schedule.last_rate()

    @property
    def grad_norm(self) -> Tensor:
        return self._norm.clone()

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        # A schedule of the host leaves the next step's rate there.
        for group, rate in zip(
            state["optimizer"]["param_groups"], state["schedule"]["_last_lr"], strict=True
        ):
            group["lr"] = rate
        return state
