"""--dry_run: what a run would take, by a few of its own steps, with nothing written."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from callback.heartbeat import still
from model.modeling_albert import AlbertForSequenceClassification
from processors.batching import BatchPlan, TrainingPlan, plan_evaluation
from processors.features import Features
from processors.loading import common_batches, load_steps
from tools.machine.device import Device
from tools.machine.lack_of_memory import lacks_memory
from tools.machine.runtime import Runtime, start_runtime
from tools.precision.scoring import ScoringPrecision
from tools.run.flags import Flags
from tools.run.inference import Inference, prepare_to_score
from tools.run.loss import weigh_loss
from tools.run.output_dir import open_history
from tools.run.own_data import with_training_defaults
from tools.run.resume import check_no_model_is_lost
from tools.run.scoring import batch_logits
from tools.run.start import Run, Start, load_start, open_run
from tools.run.training import build_plan, build_state
from tools.run.training_state import TrainingState

logger = logging.getLogger(__name__)

# So many steps and batches are measured, of all sizes, or as many as take so long.
_MOST_MEASURED, _SECONDS = 8, 20.0


@dataclass(frozen=True)
class _Measured:
    """How long some pieces of work took, and how much of it there is in all; sizes are padded tokens."""

    seconds: float
    size: int
    whole: int

    @property
    def seconds_in_all(self) -> float:
        return self.seconds / max(1, self.size) * self.whole


def dry_run(flags: Flags) -> None:
    """Do all that a run does before its first step, and some steps; log what the run would take.

    Raises:
        ValueError: a step does not fit into the memory, or its loss is no finite number; says what to do.
    """
    one_width = flags.training.padding == "max_length"
    with (
        start_runtime(flags.machine, None, None, one_width) as runtime,
        open_run(flags, runtime) as run,
    ):
        start = load_start(flags, runtime, run)
        runtime.device.reset_peak_memory()
        inference = Inference(runtime.device)
        precision = ScoringPrecision(
            runtime.device, "--eval_bf16" if flags.goals.eval_bf16 else None
        )
        logger.info(
            "***** Dry run: nothing is written to %s, and no step is kept *****", run.output_dir
        )
        total, evaluations, model = 0.0, 1, start.model
        if flags.goals.do_train:
            flags = with_training_defaults(flags, start, runtime.processes.world_size)
            seconds, evaluations, model = _train(flags, runtime, run, start, inference)
            total += seconds
        else:
            wanted = flags.training.cuda_graphs, flags.training.fused_kernels
            alone = runtime.processes.is_alone
            prepare_to_score(
                start.model, runtime.device, precision.dtype, inference, *wanted, alone=alone
            )
        for split, times in (("dev", evaluations), ("test", 1)):
            examples = start.features.get(split, []) if split in flags.goals.splits else []
            if examples:
                with precision.context():
                    seconds = sum(
                        _score(flags, runtime, start, inference, model, f) for f in examples
                    )
                count = sum(map(len, examples))
                often = f", {times} times" if times > 1 else ""
                logger.info("  %s: %d examples in %s%s", split, count, _shown(seconds), often)
                total += seconds * times
        memory = runtime.processes.all_reduce_max(runtime.device.peak_memory(), runtime.device)
        seeds = max(1, flags.goals.seeds)
        of_all = f" with {seeds} seeds" if seeds > 1 else ""
        shown = _shown(total * seeds)
        logger.info("  in all%s: %s; checkpoints and the start come on top", of_all, shown)
        logger.info("  memory: %.2f GiB at most in a process", memory / 2**30)


def _train(
    flags: Flags, runtime: Runtime, run: Run, start: Start, inference: Inference
) -> tuple[float, int, AlbertForSequenceClassification]:
    """Measure some steps; return the seconds of all, how often the dev set is scored, and the model.

    That is what the steps made of it, in fp32.
    """
    (examples,) = start.features["train"]
    plan = build_plan(flags.training, examples.lengths, start.max_seq_length, runtime.processes)
    weigh_loss(start.model, flags.training, start.task, examples.labels)
    facts = plan.settings | {
        "truncation": start.model.config.truncation,
        "classes": start.task.labels,
        "checksum of the training data": examples.checksum()[:12],
    }
    state = build_state(flags.training, runtime, start.model, plan.total_steps, facts)
    state.restore(start.saved)
    if start.saved and runtime.is_main:
        check_no_model_is_lost(open_history(run.output_dir), plan.total_steps)
    if state.is_graphed:
        inference.take_graphs(flags.training.cuda_graphs)
    done, total = state.global_step, plan.total_steps
    logger.info(
        "  train: %d examples, %d of a step; %d steps of an epoch, %d in all (%.4g epochs)%s",
        len(examples),
        plan.global_batch * flags.training.gradient_accumulation_steps,
        plan.steps_per_epoch,
        total,
        total / plan.steps_per_epoch,
        f", {done} of them done" if done else "",
    )
    seconds = 0.0
    if done < total:
        with still("measuring steps", runtime.is_main):
            seconds = _measure_steps(flags, runtime, state, plan, examples)
    return seconds, _evaluations(flags, plan, done), state.fp32_model()


def _measure_steps(
    flags: Flags, runtime: Runtime, state: TrainingState, plan: TrainingPlan, examples: Features
) -> float:
    """Train some steps of the epoch that comes next, the widest first; return the seconds of all."""
    epoch, skip = divmod(state.global_step, plan.steps_per_epoch)
    steps = plan.epoch(epoch)[skip:]
    sizes = [sum(batch.examples * batch.width for batch in step) for step in steps]
    widest = max(range(len(steps)), key=lambda i: max(b.examples * b.width for b in steps[i]))
    left = plan.total_steps - state.global_step

    def train(index: int) -> None:
        (step,) = load_steps([steps[index]], examples, runtime.device.torch_device)
        with _fitting(steps[index]):
            loss = state.forward_backward(step)
            state.update()
            if not math.isfinite(float(loss)):
                raise ValueError(
                    f"the loss of a step is {float(loss)}: try a lower --learning_rate, or --bf16 in "
                    "place of --fp16"
                )

    # As before a training's first step: where steps are graphs, they are from there on.
    batches = common_batches(plan, examples, runtime.device.torch_device, state.global_step)
    with _fitting(steps[widest]):
        state.warm_up(batches)
    train(widest)
    processes, device = runtime.processes, runtime.device
    # All processes do the same steps together, and so agree on how long the first one took.
    measured = _measure(
        device, sizes, train, widest, lambda took: processes.all_reduce_max(took, device)
    )
    seconds = measured.seconds_in_all / len(steps) * left
    per_step = seconds / left
    each = plan.global_batch * flags.training.gradient_accumulation_steps / per_step
    logger.info(
        "  training: %s; a step takes %.3g s on average, %.4g samples/s",
        *(_shown(seconds), per_step, each),
    )
    return seconds


def _score(
    flags: Flags,
    runtime: Runtime,
    start: Start,
    inference: Inference,
    model: AlbertForSequenceClassification,
    examples: Features,
) -> float:
    """Run the model over some batches of a set; return the seconds that all would take."""
    processes, device = runtime.processes, runtime.device
    plans = plan_evaluation(
        examples.lengths,
        flags.goals.eval_batch_size,
        start.max_seq_length,
        flags.training.padding,
        processes.rank,
        processes.world_size,
        0 if flags.goals.eval_batch_given else device.evaluation_tokens,
    )
    model.eval()
    forward = inference.of(model)
    forward.begin(plans, examples.lengths)

    @torch.no_grad()
    def score(index: int) -> None:
        for outputs in batch_logits(forward, examples, [plans[index]], device):
            outputs.float().cpu()

    seconds = 0.0
    if plans:  # Of a small set not every process has a batch.
        sizes = [len(batch.rows) * batch.width for batch in plans]
        widest = int(np.argmax(sizes))
        with _fitting([plans[widest]]):
            score(widest)
        # A graph is recorded when its batch comes the second time.
        unmeasured = 2 if inference.has_graphs else 0
        seconds = _measure(device, sizes, score, widest, unmeasured=unmeasured).seconds_in_all
    return processes.all_reduce_max(seconds, device)


def _measure(
    device: Device,
    sizes: Sequence[int],
    work: Callable[[int], None],
    largest: int,
    agreed: Callable[[float], float] = lambda seconds: seconds,
    unmeasured: int = 0,
) -> _Measured:
    """Time pieces of work of all sizes; the largest says for how many there is time.

    Args:
        sizes: of each piece.
        work: does the piece of a number.
        largest: the number of one that has been done before.
        agreed: returns, for how long that took here, how long it took in all processes.
        unmeasured: how often each piece is done before it is timed.
    """

    def timed(index: int) -> float:
        device.synchronize()
        began = time.perf_counter()
        work(index)
        device.synchronize()
        return time.perf_counter() - began

    first = agreed(timed(largest))
    count = min(len(sizes), _MOST_MEASURED, max(1, int(_SECONDS / max(first, 1e-6))))
    order = np.argsort(sizes, kind="stable")
    # The middles of equal shares, so that their mean is like that of all.
    chosen = [int(order[int((i + 0.5) * len(order) / count)]) for i in range(count)]
    for index in chosen * unmeasured:
        work(index)
    seconds = sum(timed(index) for index in chosen)
    return _Measured(seconds, sum(sizes[index] for index in chosen), sum(sizes))


@contextmanager
def _fitting(batches: Sequence[BatchPlan]) -> Iterator[None]:
    """Say what can be done about a step that does not fit into the memory.

    Raises:
        ValueError: it does not.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        widest = max(batches, key=lambda batch: len(batch.rows) * batch.width)
        raise ValueError(
            f"a batch of {len(widest.rows)} examples of {widest.width} tokens does not fit into the "
            "memory: a smaller --batch_size with more --gradient_accumulation_steps takes less, and so do "
            "--gradient_checkpointing and, in evaluation, a smaller --eval_batch_size"
        ) from error


def _evaluations(flags: Flags, plan: TrainingPlan, done: int) -> int:
    """Return how often the dev set is scored after ``done`` steps, the end included."""
    every = flags.records.eval_steps or plan.steps_per_epoch
    return (plan.total_steps - 1) // every - done // every + 1


def _shown(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
