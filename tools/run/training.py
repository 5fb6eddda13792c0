"""What a training step changes, built in one place and kept by checkpoints as one thing."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from callback.checkpointing import SavedState
from callback.lr_scheduler import build_schedule
from callback.optimization import build_optimizer
from model.modeling_albert import AlbertForSequenceClassification
from processors.batching import TrainingPlan
from processors.loading import TrainingStep
from tools.cli.errors import UsageError
from tools.machine.compilation import Compilation
from tools.machine.device import Device
from tools.machine.distributed import Processes
from tools.machine.runtime import Runtime
from tools.machine.seeds import seed_step
from tools.precision.base import Precision
from tools.precision.choice import build_precision, uses_apex
from tools.run.flags import TrainingFlags
from tools.run.resume import Settings, resume_settings, resuming

logger = logging.getLogger(__name__)


def build_plan(
    flags: TrainingFlags, lengths: np.ndarray, max_seq_length: int, processes: Processes
) -> TrainingPlan:
    """Return which examples each step of a run sees, and this process's share of them.

    Args:
        lengths: [N] tokens of each training example.

    Raises:
        ValueError: as :class:`TrainingPlan`.
    """
    return TrainingPlan(
        lengths,
        batch_size=flags.batch_size,
        gradient_accumulation_steps=flags.gradient_accumulation_steps,
        num_train_epochs=flags.num_train_epochs,
        max_steps=flags.max_steps,
        seed=flags.seed,
        max_seq_length=max_seq_length,
        padding=flags.padding,
        drop_last=flags.drop_last,
        rank=processes.rank,
        world_size=processes.world_size,
    )


class TrainingState:
    """The network and all that a step changes with it.

    Attributes:
        global_step: the optimizer steps done since the training began.
        precision: how the steps compute; counts those that it skipped.
        compilation: what compiles the network; None without ``--torch_compile``.
        learning_rate: the rate that the last step used.
    """

    def __init__(
        self,
        runtime: Runtime,
        network: nn.Module,
        optimizer: Optimizer,
        schedule: LRScheduler,
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
        self.learning_rate = schedule.get_last_lr()[0]
        self._stateful = {
            "settings": settings,
            "optimizer": optimizer,
            "schedule": schedule,
            "precision": precision,
        }

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
        self.learning_rate = self._schedule.get_last_lr()[0]
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
        return {"global_step": self.global_step, **states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned.

        Raises:
            KeyError, ValueError: the state is of a run with other settings or parts.
        """
        for name, part in self._stateful.items():
            part.load_state_dict(state[name])
        self.global_step = state["global_step"]


def build_state(
    flags: TrainingFlags,
    runtime: Runtime,
    model: AlbertForSequenceClassification,
    total_steps: int,
    facts: dict[str, Any],
) -> TrainingState:
    """Build the optimizer, its schedule, the precision, and the network that all processes train.

    Args:
        model: on the device, in fp32. Some precisions change it in place.
        facts: what a run that goes on from a checkpoint must share with this one beside the flags.

    Raises:
        UsageError: the device cannot do what a flag asks for.
        ModuleNotFoundError: the optimizer is in a package that is not installed.
    """
    device = runtime.device
    model.albert.encoder.gradient_checkpointing = flags.gradient_checkpointing
    _check_fused_optimizer(flags, device)
    optimizer = build_optimizer(
        flags.optimizer,
        model,
        flags.learning_rate,
        flags.adam_epsilon,
        flags.weight_decay,
    )
    precision = build_precision(flags, model, optimizer, device, runtime.processes)
    # It comes after the precision, for it watches the optimizer's step, which apex replaces.
    warmup_steps = int(total_steps * flags.warmup_proportion)
    schedule = build_schedule(flags.lr_schedule, optimizer, warmup_steps, total_steps)
    network, compilation = precision.model, None
    if flags.torch_compile:
        if not precision.can_compile:
            raise UsageError("--torch_compile goes with --amp_backend native, not with apex")
        compilation = Compilation(device)
        network = compilation.compile(network)
    return TrainingState(
        runtime=runtime,
        network=runtime.processes.wrap(network.train()),
        optimizer=optimizer,
        schedule=schedule,
        precision=precision,
        compilation=compilation,
        settings=Settings(resume_settings(flags, precision, facts)),
        seed=flags.seed,
        max_grad_norm=flags.max_grad_norm,
    )


def _check_fused_optimizer(flags: TrainingFlags, device: Device) -> None:
    """See that apex joins the tensors of an optimizer that wants them joined."""
    if flags.optimizer != "npu_fused_lamb":
        return
    by_apex = uses_apex(flags.fp16, flags.amp_backend, device)
    if not (device.apex_joins_tensors and by_apex and flags.fp16_opt_level in ("O1", "O2")):
        raise UsageError(
            "--optimizer npu_fused_lamb is Ascend's apex's, on an NPU with --fp16 --fp16_opt_level O1 or "
            "O2; --optimizer lamb is the same rule everywhere"
        )


def log_plan(flags: TrainingFlags, plan: TrainingPlan, state: TrainingState, examples: int) -> None:
    """Log what a training comes to, in the references' words as far as they have any.

    Args:
        state: at the step that the run starts from.
        examples: of the training data, those that ``--drop_last`` leaves out included.
    """
    batch, accumulated = plan.global_batch, flags.gradient_accumulation_steps
    logger.info("***** Running training *****")
    logger.info("  Num examples = %d", examples)
    logger.info("  Num Epochs = %d", math.ceil(plan.total_steps / plan.steps_per_epoch))
    logger.info("  Instantaneous batch size per GPU = %d", flags.batch_size)
    logger.info(
        "  Total train batch size (w. parallel, distributed & accumulation) = %d",
        batch * accumulated,
    )
    logger.info("  Gradient Accumulation steps = %d", accumulated)
    logger.info("  Total optimization steps = %d", plan.total_steps)
    if state.global_step:
        logger.info("  optimizer steps = %d, done = %d", plan.total_steps, state.global_step)
    logger.info("  precision = %s, padding = %s", state.precision.description, flags.padding)
