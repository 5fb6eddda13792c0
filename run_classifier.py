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

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
from callback.checkpointing import checkpoint_step
from callback.heartbeat import still
from model.checkpoint import load_model
from model.configuration_albert import AlbertConfig
from model.modeling_albert import AlbertForSequenceClassification
from processors.batching import TrainingPlan
from processors.loading import common_batches, training_steps
from processors.submission import write_submission
from tools.cli.program import end_program, run_command
from tools.machine.distributed import rank_of
from tools.machine.parent import follow_launcher
from tools.machine.runtime import Runtime, start_runtime
from tools.machine.stop_signals import StopSignals
from tools.precision.scoring import ScoringPrecision
from tools.run.best import Best
from tools.run.checkpoints import Checkpoints
from tools.run.dev_predictions import DevPredictions
from tools.run.dry_run import dry_run
from tools.run.due import Due, Missed
from tools.run.endings import (
    stop_if_diverged,
    stop_if_nothing_changed,
    stopped,
    stopped_at_the_end,
)
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
                model, best = train(flags, runtime, run, start, scorer, stop)
                model = finish(runtime, run, model, best)
                if stop.ends_run():
                    raise stopped_at_the_end(stop.number, run.output_dir)
        else:
            wanted = flags.training.cuda_graphs, flags.training.fused_kernels
            alone = runtime.processes.is_alone
            prepare_to_score(
                model, runtime.device, precision.dtype, scorer.inference, *wanted, alone=alone
            )
            begin_record(run.record, flags, runtime, start)
        if flags.goals.do_eval:
            checkpoints = flags.goals.eval_all_checkpoints
            dev = DevPredictions(output_dir, flags.inputs.data_dir, start)
            evaluate(runtime, run, start, scorer, model, dev, checkpoints)
        if flags.goals.do_predict:
            predict(runtime, run, start, scorer, model)


def train(
    flags: Flags, runtime: Runtime, run: Run, start: Start, scorer: Scorer, stop: StopSignals
) -> tuple[AlbertForSequenceClassification, Best]:
    """Train the model that the run starts with; return it in fp32, and which one is kept.

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
    best = Best(flags.records, due, start.tokenizer, run.record, runtime.processes)
    if start.saved:
        best.restore(run.history, state.global_step, state.fp32_model())
    batches = common_batches(plan, examples, runtime.device.torch_device, state.global_step)
    with still("preparing the first steps", runtime.is_main):
        state.warm_up(batches)
    meter = Meter(runtime, state, plan, run.history, run.record, flags.training.padding)
    device, workers = runtime.device.torch_device, flags.machine.workers
    steps = training_steps(plan, examples, device, state.global_step, workers)
    if state.global_step and stopped_there(runtime, run, due, best, scorer, state, plan, stop):
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
                metrics = score_step(run, scorer, best, state, plan, stop)

        if due.stop(metrics) or best.is_exhausted:
            if not step.closes_epoch:
                meter.end_epoch(step)
            logger.info(*why_it_ends(due, best, due.stop(metrics), step.global_step))
            break
    if state.global_step == plan.total_steps and best.lacks_last(state.global_step):
        score_step(run, scorer, best, state, plan, stop)
    if stop.ends_training():
        losses = meter.stop()
        stop_if_diverged(losses)
        if runtime.is_main:
            checkpoints.save_last(state)
        runtime.processes.barrier()  # Else whoever watches them would end the one that saves.
        raise stopped(stop.number, state.global_step, checkpoints.folder(state))
    meter.finish()
    stop_if_nothing_changed(state.global_step, state.precision.skipped_steps)
    return state.fp32_model(), best


def score_step(
    run: Run,
    scorer: Scorer,
    best: Best,
    state: TrainingState,
    plan: TrainingPlan,
    stop: StopSignals,
) -> dict[str, float]:
    """Score the model as it is; keep it if it is the best so far. A signal makes it no metrics: {}."""
    model, done = state.fp32_model(), state.global_step
    epoch = round(done / plan.steps_per_epoch, 6)
    with run.record.timed("evaluation"):
        metrics = scorer.evaluate(model, done, epoch, is_stopped=stop.is_asked)
    best.consider(metrics, done, model)
    run.record.save()
    return metrics


def why_it_ends(due: Due, best: Best, at_stop_point: bool, step: int) -> tuple[str, float, int]:
    """Return the words, and what stands in them, of a training that ends before its last step."""
    if at_stop_point:
        return "--stop_point %s is reached after %d steps", due.stop_point, step
    return "--patience %d is at its end after %d steps", best.patience, step


def stopped_there(
    runtime: Runtime,
    run: Run,
    due: Due,
    best: Best,
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
    missed = due.missed(global_step, steps_after == 0, run.history, runtime)
    metrics = {}
    if missed == Missed.EVALUATION:
        metrics = score_step(run, scorer, best, state, plan, stop)
    at_stop_point = missed == Missed.STOP or due.stop(metrics)
    if not (at_stop_point or best.is_exhausted):
        return False
    if steps_after and not run.history.has("epoch", global_step):
        run.history.write("epoch", epoch=epochs, step=global_step, fps=0.0)  # Nobody measured it.
    logger.info(*why_it_ends(due, best, at_stop_point, global_step))
    return True


def finish(
    runtime: Runtime, run: Run, model: AlbertForSequenceClassification, best: Best
) -> AlbertForSequenceClassification:
    """Save the trained model, or the best one; return it as loading it again gives it, in every process.

    So what is scored next is what was saved, to the last bit.
    """
    if runtime.is_main:
        best.save(model)
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
    runtime: Runtime,
    run: Run,
    start: Start,
    scorer: Scorer,
    model: AlbertForSequenceClassification,
    dev: DevPredictions,
    all_checkpoints: bool,
) -> None:
    """Score the model, and before it with ``all_checkpoints`` each of those; keep the results.

    Of the model itself what it says of each example is kept, too.
    """
    results = {}
    for checkpoint in share_checkpoints(run.output_dir, runtime) if all_checkpoints else []:
        logger.info("checkpoint: %s", checkpoint)
        earlier = load_model(checkpoint, AlbertConfig.from_file(checkpoint))
        earlier.albert.encoder.fused = model.albert.encoder.fused
        runtime.device.place(earlier)
        step, name = checkpoint_step(checkpoint), checkpoint.name
        with run.record.timed("evaluation"):
            results[name] = scorer.evaluate(earlier, step=step, kept=name)
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
