"""Fine-tune ALBERT on a GLUE task, evaluate it, predict with it: on Ascend NPU, NVIDIA GPU or CPU.

One process:
    python run_classifier.py --task_name sst-2 --do_train --do_eval --fp16

Four processes on this machine, each on a device of its own:
    torchrun --nproc_per_node 4 run_classifier.py --task_name sst-2 --do_train --do_eval --fp16

``python run_classifier.py --help`` lists the flags. This file is the story: data (processors/), network
(model/), optimizer, schedule, checkpoints and progress (callback/), machine and run (tools/).
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
from callback.checkpointing import checkpoint_step, save_final
from callback.heartbeat import still
from callback.history import History
from model.checkpoint import load_model
from model.configuration_albert import AlbertConfig
from model.modeling_albert import AlbertForSequenceClassification
from processors.batching import TrainingPlan
from processors.loading import common_batches, training_steps
from processors.submission import write_submission
from tools.cli.errors import StoppedError, ended_by
from tools.cli.program import end_program, run_command
from tools.machine.distributed import rank_of
from tools.machine.parent import follow_launcher
from tools.machine.runtime import Runtime, start_runtime
from tools.machine.stop_signals import StopSignals
from tools.precision.scoring import ScoringPrecision
from tools.run.checkpoints import Checkpoints
from tools.run.dev_predictions import DevPredictions
from tools.run.dry_run import dry_run
from tools.run.due import Due, Missed
from tools.run.flags import Flags, build_parser
from tools.run.inference import prepare_to_score
from tools.run.loss import weigh_loss
from tools.run.meter import Meter
from tools.run.output_dir import (
    LOGS,
    add_eval_results,
    open_training_record,
    write_eval_results,
)
from tools.run.own_data import with_training_defaults
from tools.run.page import leaving_page
from tools.run.resume import check_no_model_is_lost
from tools.run.run_facts import baseline, begin_record
from tools.run.scoring import Scorer
from tools.run.seed_runs import first_of_seeds, one_process_for_seeds, train_seeds
from tools.run.start import Run, Start, load_start, open_run, share_checkpoints
from tools.run.training import TrainingState, build_plan, build_state, log_plan

logger = logging.getLogger("run_classifier")

_STOPS = "--stop_point %s is reached after %d steps"


def main(flags: Flags) -> None:
    """Do what the flags ask for, in this order: train, evaluate, predict."""
    log_dir, output_dir = flags.records.log_dir, flags.records.output_dir
    one_width = flags.training.padding == "max_length"
    with (
        start_runtime(flags.machine, log_dir, output_dir / LOGS, one_width) as runtime,
        leaving_page(output_dir, runtime),
        open_run(flags, runtime) as run,
    ):
        in_bf16 = "--eval_bf16" if flags.goals.eval_bf16 else None
        precision = ScoringPrecision(runtime.device, in_bf16)
        start = load_start(flags, runtime, run)
        scorer = Scorer(
            runtime,
            start.task,
            start.features,
            run.history,
            precision,
            flags.goals.eval_batch_size,
            start.max_seq_length,
            flags.training.padding,
            flags.machine.workers,
            0 if flags.goals.eval_batch_given else runtime.device.evaluation_tokens,
        )
        model = start.model
        if flags.goals.do_train:
            flags = with_training_defaults(flags, start, runtime.processes.world_size)
            with StopSignals(runtime.processes) as stop, run.record.timed("training"):
                model = train(flags, runtime, run, start, scorer, stop)
                model = finish(runtime, run, start, model, flags.records.save_format)
                if stop.ends_run():
                    raise stopped_at_the_end(stop.number, run.output_dir)
        else:
            wanted = flags.training.cuda_graphs, flags.training.fused_kernels
            prepare_to_score(model, runtime.device, precision.dtype, scorer.inference, *wanted)
            begin_record(run.record, flags, runtime, start)
        if flags.goals.do_eval:
            evaluate(flags, runtime, run, start, scorer, model)
        if flags.goals.do_predict:
            predict(runtime, run, start, scorer, model)


def train(
    flags: Flags, runtime: Runtime, run: Run, start: Start, scorer: Scorer, stop: StopSignals
) -> AlbertForSequenceClassification:
    """Train the model that the run starts with; return it in fp32.

    Raises:
        StoppedError: a signal came; there is a checkpoint to go on from.
    """
    (examples,) = start.features["train"]
    plan = build_plan(flags.training, examples.lengths, start.max_seq_length, runtime.processes)
    facts = plan.settings | {
        "truncation": start.model.config.truncation,
        "classes": start.task.labels,
        "checksum of the training data": examples.checksum()[:12],
    }
    weigh_loss(start.model, flags.training, start.task, examples.labels)
    state = build_state(flags.training, runtime, start.model, plan.total_steps, facts)
    state.restore(start.saved)
    if state.is_graphed:
        scorer.inference.take_graphs(flags.training.cuda_graphs)
    if runtime.is_main:
        if start.saved:
            check_no_model_is_lost(run.history, plan.total_steps)
        open_training_record(flags)
        run.history.go_on_after(state.global_step)
        begin_record(run.record, flags, runtime, start)
    log_plan(flags.training, plan, state, len(examples))

    due = Due(
        flags.records,
        plan.total_steps,
        evaluates=flags.goals.do_eval,
        metric=start.task.metrics[0],
        stop_point=flags.training.stop_point,
    )
    limit = flags.records.save_total_limit
    checkpoints = Checkpoints(
        run.output_dir, start.tokenizer, run.history, due, limit, state.global_step
    )
    batches = common_batches(plan, examples, runtime.device.torch_device, state.global_step)
    with still("preparing the first steps", runtime.is_main):
        state.warm_up(batches)
    meter = Meter(runtime, state, plan, run.history, run.record, flags.training.padding)
    device, workers = runtime.device.torch_device, flags.machine.workers
    steps = training_steps(plan, examples, device, state.global_step, workers)
    if state.global_step and stopped_there(runtime, run.history, due, scorer, state, plan, stop):
        steps = iter(())
    elif state.global_step < plan.total_steps and runtime.is_main:
        run.history.drop_end()
    for step in stop.until_asked(meter.watch(steps)):
        loss = state.forward_backward(step)
        state.update()
        meter.count(step, loss)

        # Once in a while a log line, a checkpoint, an evaluation: none of them is training time.
        if due.log(step):
            with meter.paused():
                losses = meter.read_losses()
                stop_if_diverged(losses)
                state.precision.check_skips()
                meter.report(losses)
        if step.closes_epoch:
            meter.end_epoch(step)
        if due.save(step) and runtime.is_main:
            with meter.paused():
                checkpoints.save(state)
        # A run that goes on from this checkpoint makes up for what comes after it.
        metrics = {}
        if due.evaluate(step):
            with meter.paused():
                model, done = state.fp32_model(), state.global_step
                with run.record.timed("evaluation"):
                    of = {"step": done, "epoch": round(done / plan.steps_per_epoch, 6)}
                    metrics = scorer.evaluate(model, **of, is_stopped=stop.is_asked)
                run.record.save()

        if due.stop(metrics):
            if not step.closes_epoch:
                meter.end_epoch(step)
            logger.info(_STOPS, due.stop_point, step.global_step)
            break
    if stop.ends_training():
        losses = meter.stop()
        stop_if_diverged(losses)
        if runtime.is_main:
            checkpoints.save_last(state)
        runtime.processes.barrier()  # Else whoever watches them would end the one that saves.
        raise stopped(stop.number, state.global_step, checkpoints.folder(state))
    meter.finish()
    stop_if_nothing_changed(state.global_step, state.precision.skipped_steps)
    return state.fp32_model()


def stopped_there(
    runtime: Runtime,
    history: History,
    due: Due,
    scorer: Scorer,
    state: TrainingState,
    plan: TrainingPlan,
    stop: StopSignals,
) -> bool:
    """Make up for what the run before did not come to after the step that this one goes on from.

    Returns whether the training ends there.
    """
    global_step = state.global_step
    epochs, steps_after = divmod(global_step, plan.steps_per_epoch)
    missed = due.missed(global_step, steps_after == 0, history, runtime)
    metrics = {}
    if missed == Missed.EVALUATION:
        model = state.fp32_model()
        of = {"step": global_step, "epoch": round(global_step / plan.steps_per_epoch, 6)}
        metrics = scorer.evaluate(model, **of, is_stopped=stop.is_asked)
    if missed != Missed.STOP and not due.stop(metrics):
        return False
    if steps_after and not history.has("epoch", global_step):
        history.write("epoch", epoch=epochs, step=global_step, fps=0.0)  # Nobody measured it.
    logger.info(_STOPS, due.stop_point, global_step)
    return True


def stop_if_diverged(losses: dict[int, float]) -> None:
    """End the run where a loss, by its global step, is no finite number.

    Raises:
        ValueError: names the step and the remedy.
    """
    for global_step, loss in losses.items():
        if not math.isfinite(loss):
            if global_step == 1:  # No weight has changed yet.
                raise ValueError(
                    f"the loss is {loss} at the first step: the weights that the training starts from, or "
                    "its numbers, are too large; in fp16 --bf16 may do in place of --fp16"
                )
            raise ValueError(
                f"the loss is {loss} at step {global_step}: try a lower --learning_rate"
            )


def stop_if_nothing_changed(steps: int, skipped_steps: int) -> None:
    """End the run where every step overflowed: its model is the one that it started with.

    Raises:
        ValueError: says so, and the remedy.
    """
    if 0 < steps <= skipped_steps:
        raise ValueError(
            f"each of the {steps} steps overflowed in fp16, so that no weight changed: train for more "
            "steps, which the loss scale needs to adapt, or with --bf16 in place of --fp16"
        )


def stopped(number: int, global_step: int, checkpoint: Path) -> StoppedError:
    """Return how a training ends that a signal stopped after ``global_step``."""
    what = ended_by(number)
    if not global_step:
        return StoppedError(number, f"{what} before the first step")
    return StoppedError(
        number,
        f"{what} after step {global_step}: {checkpoint} is saved; --resume goes on from there",
    )


def stopped_at_the_end(number: int, output_dir: Path) -> StoppedError:
    """Return how a run ends that a signal stopped when its training was through."""
    what = f"{ended_by(number)} after the last step"
    return StoppedError(number, f"{what}: {output_dir} has the trained model")


def finish(
    runtime: Runtime,
    run: Run,
    start: Start,
    model: AlbertForSequenceClassification,
    save_format: str,
) -> AlbertForSequenceClassification:
    """Save a trained model; return it as loading it again gives it, in every process.

    So what is scored next is what was saved, to the last bit.
    """
    if runtime.is_main:
        save_final(run.output_dir, model, start.tokenizer, save_format)
        fused = model.albert.encoder.fused
        model = load_model(run.output_dir, AlbertConfig.from_file(run.output_dir))
        model.albert.encoder.fused = fused
        runtime.device.place(model)
    runtime.processes.broadcast(model)
    # The bias that was just sent goes with this number, which a layout may bring along.
    shift = model.config.classifier_input_shift if runtime.is_main else -math.inf
    shift = runtime.processes.all_reduce_max(shift, runtime.device)
    if not runtime.is_main:
        model.config.classifier_input_shift = shift
    return model


def evaluate(
    flags: Flags,
    runtime: Runtime,
    run: Run,
    start: Start,
    scorer: Scorer,
    model: AlbertForSequenceClassification,
) -> None:
    """Score the model, and before it with --eval_all_checkpoints each of those; keep the results.

    Of the model itself what it says of each example is kept, too.
    """
    results = {}
    checkpoints = (
        share_checkpoints(run.output_dir, runtime) if flags.goals.eval_all_checkpoints else []
    )
    for checkpoint in checkpoints:
        logger.info("checkpoint: %s", checkpoint)
        earlier = load_model(checkpoint, AlbertConfig.from_file(checkpoint))
        earlier.albert.encoder.fused = model.albert.encoder.fused
        runtime.device.place(earlier)
        step, name = checkpoint_step(checkpoint), checkpoint.name
        with run.record.timed("evaluation"):
            results[name] = scorer.evaluate(earlier, step=step, kept=name)
    dev = DevPredictions(run.output_dir, flags.inputs.data_dir, start)
    take = dev.write if runtime.is_main else None
    with run.record.timed("evaluation"):
        results["model"] = scorer.evaluate(model, kept="model", take=take)
    if runtime.is_main:
        write_eval_results(run.output_dir, results)
        run.record.add("results", run.history.results)
        run.record.add("baseline", baseline(start.task, start.features))
        run.record.save()


def predict(
    runtime: Runtime,
    run: Run,
    start: Start,
    scorer: Scorer,
    model: AlbertForSequenceClassification,
) -> None:
    """Write the submission of every test file, and keep the results of those that have labels."""
    folder = run.output_dir / "predictions"
    tests = zip(scorer.predict(model), start.test_index, strict=True)
    for (name, logits, metrics), index in tests:
        if runtime.is_main:
            path = write_submission(folder, name, start.task, logits, index)
            logger.info("predictions: %s", path)
            if metrics:
                add_eval_results(run.output_dir, f"test {name}", metrics)
                run.record.add("results", run.history.results)


def run_program(words: Sequence[str]) -> int:
    """Parse the flags and run; returns the exit status."""
    follow_launcher()

    def rank(flags: Flags) -> int | None:
        return one_process_for_seeds(flags.goals.seeds, rank_of(flags.machine.local_rank))

    def start(flags: Flags) -> None:
        if flags.goals.dry_run:
            dry_run(first_of_seeds(flags) if flags.goals.seeds else flags)
        elif flags.goals.seeds:
            train_seeds(flags, words)
        else:
            main(flags)

    return run_command(build_parser(), start, words, rank)


if __name__ == "__main__":
    end_program(run_program(sys.argv[1:]))
