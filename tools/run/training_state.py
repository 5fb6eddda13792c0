"""The network and all that a training step changes, kept by checkpoints as one thing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from callback.checkpointing import SavedState
from callback.lr_scheduler import DeviceSchedule
from model.modeling_albert import AlbertForSequenceClassification
from processors.loading import Batch, TrainingStep
from tools.machine.compilation import Compilation
from tools.machine.runtime import Runtime
from tools.machine.seeds import seed_step
from tools.precision.base import Precision
from tools.run.resume import Settings, resuming

_OF_THIS_RUN = ("fused", "foreach", "capturable")


class TrainingState:
    """The network and all that a step changes with it.

    Args:
        network: the precision's model, as the processes train it together.
        settings: what a run that goes on from a checkpoint must share with this one.

    Attributes:
        global_step: the optimizer steps done since the training began.
        precision: how the steps compute; counts those that it skipped.
        compilation: what compiles the network; None without ``--torch_compile``.
        is_graphed: whether its steps are CUDA graphs.
    """

    is_graphed = False

    def __init__(
        self,
        runtime: Runtime,
        network: nn.Module,
        schedule: LRScheduler | DeviceSchedule,
        precision: Precision,
        compilation: Compilation | None,
        settings: Settings,
        seed: int,
        max_grad_norm: float,
    ) -> None:
        self._seed, self._max_grad_norm = seed, max_grad_norm
        self._device, self._processes = runtime.device, runtime.processes
        self._network, self._schedule = network, schedule
        self.precision, self.compilation = precision, compilation
        self.global_step = 0
        self._learning_rate = 0.0
        self._settings = settings
        self._stateful = {
            "optimizer": precision.optimizer,
            "schedule": schedule,
            "precision": precision,
        }

    @property
    def learning_rate(self) -> float | Tensor:
        """The rate that the last step used; a scalar on the device where it lies there."""
        return self._learning_rate

    @property
    def grad_norm(self) -> Tensor | None:
        """The gradients' norm in the last step, as :class:`Precision` has it; no later step changes it."""
        return self.precision.grad_norm

    def warm_up(self, batches: Iterable[tuple[Batch, bool]]) -> None:
        """Prepare for batches of these shapes, the largest first, if there is something to prepare.

        Args:
            batches: with each, whether its shape comes more than once.
        """

    def forward_backward(self, step: TrainingStep) -> Tensor:
        """Add up the gradients of one optimizer step; return its mean loss, a scalar on the device."""
        seed_step(self._seed, self.global_step, self._processes.rank)
        total = torch.zeros((), device=self._device.torch_device)
        weighted = zip(step.batches, step.loss_weights, strict=True)
        for index, (batch, loss_weight) in enumerate(weighted, start=1):
            last = index == len(step.loss_weights)
            with self._processes.no_sync(self._network, last):
                with self.precision.forward():
                    loss = self._network(**batch).loss * loss_weight
                self.precision.backward(loss, last)
            total += loss.detach()
        return total

    def update(self) -> None:
        """Clip the gradients, update the weights, and advance the learning rate.

        A step that overflowed in fp16 changes no weight, and the learning rate waits for the next.
        """
        self._learning_rate = self._schedule.get_last_lr()[0]
        if self.precision.step(self._max_grad_norm):
            self._schedule.step()
        self.global_step += 1

    def fp32_model(self) -> AlbertForSequenceClassification:
        """Return the network with the fp32 weights that training updates: to be scored and saved."""
        return self.precision.fp32_model()

    def restore(self, saved: SavedState | None) -> None:
        """Go on from a checkpoint; None is for a run that starts.

        Raises:
            UsageError: the checkpoint is of a run with other flags or data.
        """
        if saved is not None:
            with resuming():
                saved.give_training(self)

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs to go on as if never stopped."""
        states = {name: part.state_dict() for name, part in self._stateful.items()}
        own = {"global_step": self.global_step, "settings": self._settings.state_dict()}
        return {**own, **states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned.

        Raises:
            KeyError, ValueError: the state is of a run with other settings or parts.
        """
        done, rated = state["global_step"], state["schedule"]["last_epoch"]
        self._settings.check(state["settings"], done, rated)
        # How an optimizer computes is this run's choice, whatever it was there.
        groups = self.precision.optimizer.param_groups
        for saved, own in zip(state["optimizer"]["param_groups"], groups, strict=False):
            saved.update({name: own[name] for name in _OF_THIS_RUN if name in own})
        for name, part in self._stateful.items():
            part.load_state_dict(state[name])
        self.global_step = state["global_step"]
