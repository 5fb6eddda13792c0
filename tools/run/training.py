"""A training's batches and state, built as the flags say."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import torch

from callback.lr_scheduler import DeviceSchedule, build_schedule
from callback.optimization import build_optimizer
from model.modeling_albert import AlbertForSequenceClassification, AlbertTransformer
from processors.batching import TrainingPlan
from tools.cli.errors import UsageError
from tools.machine.compilation import Compilation
from tools.machine.device import Device
from tools.machine.distributed import Processes
from tools.machine.runtime import Runtime
from tools.precision.choice import build_precision, half_type, uses_apex
from tools.run.decision import decide, untried
from tools.run.flags import TrainingFlags
from tools.run.graphed_training import GRAPHED_OPTIMIZERS, GraphedTrainingState
from tools.run.resume import Settings, resume_settings
from tools.run.training_state import TrainingState

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
    encoder = model.albert.encoder
    encoder.gradient_checkpointing = flags.gradient_checkpointing
    by_apex = uses_apex(flags.fp16, flags.amp_backend, device)
    alone = runtime.processes.is_alone
    encoder.fused = _takes_fused_kernels(flags, device, by_apex, encoder, alone)
    _check_fused_optimizer(flags, device, by_apex)
    graphed = _takes_graphs(flags, device, by_apex, alone)
    optimizer = build_optimizer(
        flags.optimizer,
        model,
        flags.learning_rate,
        flags.adam_epsilon,
        flags.weight_decay,
        capturable=graphed,
        block=device.update_block,
    )
    precision = build_precision(flags, model, optimizer, device, runtime.processes, by_apex)
    # It comes after the precision, for it watches the optimizer's step, which apex replaces.
    warmup_steps = int(total_steps * flags.warmup_proportion)
    schedule = build_schedule(flags.lr_schedule, optimizer, warmup_steps, total_steps)
    network, compilation = precision.model, None
    if flags.torch_compile:
        if not precision.can_compile:
            raise UsageError("--torch_compile goes with --amp_backend native, not with apex")
        compilation = Compilation(device)
        network = compilation.compile(network)
    parts: dict[str, Any] = {
        "runtime": runtime,
        "precision": precision,
        "compilation": compilation,
        "settings": Settings(resume_settings(flags, precision, facts)),
        "seed": flags.seed,
        "max_grad_norm": flags.max_grad_norm,
    }
    network.train()
    if not graphed:
        return TrainingState(network=runtime.processes.wrap(network), schedule=schedule, **parts)
    runtime.processes.broadcast(model)
    on_device = DeviceSchedule(schedule, total_steps, device.torch_device)
    return GraphedTrainingState(
        device.graph_recorder(),
        flags.cuda_graphs == "on",
        network=network,
        schedule=on_device,
        **parts,
    )


def _takes_fused_kernels(
    flags: TrainingFlags, device: Device, by_apex: bool, encoder: AlbertTransformer, alone: bool
) -> bool:
    """Return whether the layers are to be fused ones.

    Raises:
        UsageError: they are asked for, and cannot be.
    """
    if flags.fused_kernels == "off":
        return False
    if flags.torch_compile:
        obstacle = "--torch_compile makes kernels of the same work"
    elif flags.gradient_checkpointing:
        obstacle = "--gradient_checkpointing computes layers twice"
    elif by_apex:
        obstacle = "apex's mixed precision casts on its own (--amp_backend native does not)"
    else:
        layer = encoder.albert_layer_groups[0].albert_layers[0]
        dtype = half_type(flags) or torch.float32
        obstacle = untried(flags.fused_kernels, alone) or device.why_no_fused_kernels(layer, dtype)
    return decide("fused_kernels", flags.fused_kernels, obstacle, device.has_cuda)


def _takes_graphs(flags: TrainingFlags, device: Device, by_apex: bool, alone: bool) -> bool:
    """Return whether the steps are to be CUDA graphs.

    Raises:
        UsageError: they are asked for, and cannot be.
    """
    if flags.cuda_graphs == "off":
        return False
    obstacle = device.why_no_graphs() or _obstacle_to_graphs(flags, by_apex)
    obstacle = obstacle or untried(flags.cuda_graphs, alone)
    if flags.torch_compile and flags.cuda_graphs == "auto":
        obstacle = obstacle or "torch would compile every width before the first step; on has them"
    return decide("cuda_graphs", flags.cuda_graphs, obstacle, device.has_cuda)


def _obstacle_to_graphs(flags: TrainingFlags, by_apex: bool) -> str | None:
    if flags.optimizer not in GRAPHED_OPTIMIZERS:
        others = " and ".join(GRAPHED_OPTIMIZERS)
        return f"--optimizer {flags.optimizer} decides on the host ({others} do not)"
    if flags.gradient_checkpointing:
        return "--gradient_checkpointing reads the state of the random numbers"
    if by_apex:
        return "apex's mixed precision decides on the host (--amp_backend native does not)"
    if flags.fp16 and flags.fp16_opt_level == "O3":
        return "--fp16_opt_level O3 is not made for them"
    return None


def _check_fused_optimizer(flags: TrainingFlags, device: Device, by_apex: bool) -> None:
    """See that apex joins the tensors of an optimizer that wants them joined."""
    if flags.optimizer != "npu_fused_lamb":
        return
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
