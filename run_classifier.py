"""Fine-tune ALBERT on a GLUE task, evaluate it, predict with it: on Ascend NPU, NVIDIA GPU or CPU.

One process:
    python run_classifier.py --task_name sst-2 --do_train --do_eval --fp16

Four processes on this machine, each on a device of its own:
    torchrun --nproc_per_node 4 run_classifier.py --task_name sst-2 --do_train --do_eval --fp16

``python run_classifier.py --help`` lists the flags. This file is the story: data (processors/), network
(model/), optimizer, schedule, checkpoints and progress (callback/), machine (tools/).
"""

from __future__ import annotations

import logging
import math
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import tools.packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
import numpy as np
import torch
from torch import Tensor, nn

from callback.checkpointing import (
    Settings,
    Stateful,
    find_checkpoints,
    load_training_state,
    save_checkpoint,
    save_final,
)
from callback.history import History
from callback.lr_scheduler import build_schedule
from callback.optimization import Lamb, build_optimizer
from callback.progressbar import ProgressBar
from model.checkpoint import build_model, load_model
from model.configuration_albert import AlbertConfig
from model.modeling_albert import AlbertForSequenceClassification
from model.tokenization_albert import AlbertTokenizer
from processors.batching import TrainingPlan
from processors.features import Features, load_features
from processors.loading import TrainingStep, training_steps
from processors.metrics import compute, predicted
from processors.submission import write_submission
from tools.arguments import parse_arguments
from tools.common import seed_everything, seed_step
from tools.compilation import Compilation
from tools.errors import UsageError, end_program, run_program
from tools.fps_counter import FpsCounter, Stopwatch, Throughput
from tools.full_precision import FullPrecision
from tools.inference import compute_logits
from tools.model_files import check_sizes, check_vocabulary, find_inputs, settle_task
from tools.output_dir import (
    check_output_dir,
    claim_output_dir,
    open_training_record,
    write_eval_results,
)
from tools.precision import build_precision, uses_apex
from tools.runtime import Runtime, start_runtime

logger = logging.getLogger("run_classifier")


def main(args: Namespace) -> None:
    """Do what the flags ask for, in this order: train, evaluate, predict."""
    with start_runtime(args) as runtime:
        files = find_inputs(args)
        logger.info("device: %s, processes: %d", runtime.device, runtime.processes.world_size)
        checkpoints = find_checkpoints(args.output_dir) if args.resume else []
        if runtime.is_main:
            check_output_dir(args, files.weights, checkpoints)
            claim_output_dir(args)
        history = History(args.output_dir / "metrics.jsonl" if runtime.is_main else None)

        resume_from = checkpoints[-1] if checkpoints else None
        weights = resume_from or files.weights
        config = AlbertConfig.from_file(resume_from or files.config)
        args.task = settle_task(args, config)
        config.set_task(args.task.labels)
        tokenizer = AlbertTokenizer(files.vocabulary, args.do_lower_case)
        check_sizes(config, args.task, args.max_seq_length)
        check_vocabulary(config, tokenizer)
        features = {split: read_features(args, runtime, tokenizer, split) for split in args.splits}

        seed_everything(args.seed)  # before the model: a new classifier starts from random weights
        model = load_model(weights, config) if weights else build_model(config)
        model.to(runtime.device.torch_device)

        if args.do_train:
            model = train(args, runtime, model, tokenizer, features, history, resume_from)
            if runtime.is_main:
                # What is scored is what was saved, so that loading it later gives the same figures.
                model = load_model(args.output_dir, AlbertConfig.from_file(args.output_dir))
                model.to(runtime.device.torch_device)
            runtime.processes.share(model)
        if args.do_eval:
            evaluate_all(args, runtime, model, features["dev"], history)
        if args.do_predict:
            predict(args, runtime, model, features["test"])


def read_features(
    args: Namespace, runtime: Runtime, tokenizer: AlbertTokenizer, split: str
) -> list[Features]:
    """Return a split's token ids, file by file; one process builds them, the others read its cache."""
    with runtime.processes.writer_first():
        rebuild = args.overwrite_cache and runtime.is_main
        return [
            load_features(args.task, path, split, tokenizer, args.max_seq_length, rebuild)
            for path in args.task.paths(args.data_dir, split)
        ]


def train(
    args: Namespace,
    runtime: Runtime,
    model: AlbertForSequenceClassification,
    tokenizer: AlbertTokenizer,
    features: dict[str, list[Features]],
    history: History,
    resume_from: Path | None,
) -> AlbertForSequenceClassification:
    """Train ``model`` and save it; return it in fp32. Each checkpoint has the state of every part."""
    device, processes = runtime.device, runtime.processes
    (examples,) = features["train"]
    plan = TrainingPlan(
        examples.lengths,
        batch_size=args.batch_size,
        accumulation=args.gradient_accumulation_steps,
        epochs=args.num_train_epochs,
        max_steps=args.max_steps,
        seed=args.seed,
        max_length=args.max_seq_length,
        policy=args.padding,
        drop_last=args.drop_last,
        rank=processes.rank,
        world_size=processes.world_size,
    )
    model.albert.encoder.gradient_checkpointing = args.gradient_checkpointing
    go_on_from(resume_from, {"classifier": model.classifier})  # before its precision rounds it
    optimizer = build_optimizer(
        args.optimizer,
        model,
        args.learning_rate,
        args.adam_epsilon,
        args.weight_decay,
        lamb=device.fused_lamb if uses_apex(args, device) and device.fused_lamb else Lamb,
    )
    warmup_steps = int(plan.total_steps * args.warmup_proportion)
    schedule = build_schedule(args.lr_schedule, optimizer, warmup_steps, plan.total_steps)
    precision = build_precision(args, model, optimizer, device, processes)
    compilation = Compilation(device) if args.torch_compile else None
    network = compilation.compile(precision.model) if compilation else precision.model
    network = processes.wrap(network)
    recipe = ("optimizer", "learning_rate", "lr_schedule", "warmup_proportion", "weight_decay",
              "adam_epsilon", "max_grad_norm", "fp16", "fp16_opt_level", "bf16",
              "torch_compile")  # fmt: skip
    parts = {
        "settings": Settings(
            {
                **plan.settings,
                **{name: getattr(args, name) for name in recipe},
                "classes": args.task.labels,
                "checksum of the training data": examples.checksum()[:12],
                "precision in use": type(precision).__name__,
            }
        ),
        "optimizer": optimizer,
        "schedule": schedule,
        "precision": precision,
    }
    step = go_on_from(resume_from, parts)
    if step < processes.largest(step, device):
        raise UsageError(
            "--resume: this process does not see the checkpoint that others see: --output_dir "
            f"{args.output_dir} must be on a disk that all machines share"
        )
    if runtime.is_main:
        open_training_record(args)
        history.drop_after(step)
    logger.info("***** Running training *****")
    logger.info("  examples = %d, batch = %d", len(examples), plan.global_batch)
    logger.info("  optimizer steps = %d, done = %d", plan.total_steps, step)
    logger.info("  precision = %s, padding = %s", precision.description, args.padding)

    device.reset_peak_memory()
    stopwatch = Stopwatch()
    progress = ProgressBar("Training", plan.total_steps, step, runtime.is_main)
    losses: list[Tensor] = []  # of the steps since the last log line, still on the device
    network.train()
    for now in training_steps(plan, examples, device.torch_device, step, args.workers):
        if now.opens_epoch:
            fps = FpsCounter(device, now.steps_left, compilation)
        seed_step(args.seed, step, processes.rank)
        rate = schedule.get_last_lr()[0]
        losses.append(accumulate(runtime, network, precision, now))
        if precision.step(args.max_grad_norm):
            schedule.step()
        step += 1
        fps.count(now.examples)
        stopwatch.count(now.examples, now.tokens, now.padded_tokens)
        progress.advance()

        last, reached = step == plan.total_steps, False
        saves = args.save_steps > 0 and step % args.save_steps == 0
        scores = args.do_eval and not last and evaluation_is_due(args, step, now)
        if step == 1 or last or saves or scores or step % args.logging_steps == 0:
            with fps.paused():
                log_losses(runtime, progress, history, losses, step, rate, precision)
        if saves and runtime.is_main:
            with fps.paused():
                full = precision.full_model()
                # The classifier's bias as trained, to the last bit: the model file has the one that
                # Hugging Face needs.
                exact = {"classifier": full.classifier}
                save_checkpoint(args.output_dir, step, full, tokenizer, parts | exact)
        if scores:
            with fps.paused():
                full = precision.full_model()
                metrics = evaluate(args, runtime, full, features["dev"], history, step)
                network.train()
            reached = metrics[args.task.metrics[0]] >= args.stop_point < 1
        if reached or now.steps_left == 1:
            logger.info(" FPS = %.2f", samples_per_second := fps.result())
            history.write("epoch", epoch=now.epoch, step=step, fps=samples_per_second)
        if reached:
            logger.info("--stop_point %s is reached after %d steps", args.stop_point, step)
            break
    progress.close()
    log_throughput(runtime, history, stopwatch.result(), compilation)
    full = precision.full_model()
    if runtime.is_main:
        save_final(args.output_dir, full, tokenizer, args.save_format)
        logger.info("model: %s", args.output_dir)
    return full


def go_on_from(checkpoint: Path | None, parts: Mapping[str, Stateful]) -> int:
    """Give ``parts`` the state that they have in ``checkpoint``, if there is one; return the steps done.

    Raises:
        UsageError: the checkpoint is of a run with other flags or data.
    """
    if checkpoint is None:
        return 0
    try:
        return load_training_state(checkpoint, parts)
    except ValueError as error:
        raise UsageError(
            f"--resume: {error}: resume it with what it had, or train anew with --overwrite_output_dir"
        ) from error


def accumulate(
    runtime: Runtime, network: nn.Module, precision: FullPrecision, now: TrainingStep
) -> Tensor:
    """Add up the gradients of one optimizer step; return its mean loss, a scalar on the device."""
    total = torch.zeros((), device=runtime.device.torch_device)
    weighted = zip(now.batches, now.weights, strict=True)
    for index, (batch, weight) in enumerate(weighted, start=1):
        last = index == len(now.weights)
        with runtime.processes.local_gradients(network, last):
            with precision.forward():
                loss = network(**batch).loss * weight
            precision.backward(loss, last)
        total += loss.detach()
    return total


def log_losses(
    runtime: Runtime,
    progress: ProgressBar,
    history: History,
    losses: list[Tensor],
    step: int,
    rate: float,
    precision: FullPrecision,
) -> None:
    """Read the gathered losses from the device, averaged over the processes, and record them."""
    values = runtime.processes.sum(torch.stack(losses)) / runtime.processes.world_size
    losses.clear()
    for number, loss in enumerate(values.tolist(), start=step - len(values) + 1):
        history.write("step", step=number, loss=loss)
        if not math.isfinite(loss):
            raise ValueError(f"the loss is {loss} at step {number}: try a lower --learning_rate")
    scale = precision.loss_scale()
    if scale is not None:
        history.write("scale", step=step, scale=scale, skipped_steps=precision.skipped_steps)
    progress.report(loss, rate, scale, precision.skipped_steps)


def log_throughput(
    runtime: Runtime, history: History, speed: Throughput, compilation: Compilation | None
) -> None:
    """Log and record how fast the training was from end to end, and the memory that it took."""
    memory = runtime.processes.largest(runtime.device.peak_memory(), runtime.device)
    logger.info(
        "training took %.1f s: %.1f samples/s and %.0f tokens/s from end to end",
        speed.seconds,
        speed.samples_per_second,
        speed.tokens_per_second,
    )
    logger.info("%.1f %% of the computed tokens were no padding", 100 * speed.padding_efficiency)
    logger.info("peak memory of a process: %.2f GiB", memory / 2**30)
    if compilation:
        seconds, graphs = compilation.seconds, compilation.graphs
        logger.info("torch compiled %d graphs in %.1f s of this", graphs, seconds)
        history.write("compilation", graphs=graphs, seconds=seconds)
    history.write("training", peak_memory_bytes=int(memory), **speed._asdict())


def evaluation_is_due(args: Namespace, step: int, now: TrainingStep) -> bool:
    """Return whether the dev set is to be scored after ``step`` steps of a training run."""
    return step % args.eval_steps == 0 if args.eval_steps else now.steps_left == 1


def evaluate(
    args: Namespace,
    runtime: Runtime,
    model: AlbertForSequenceClassification,
    features: list[Features],
    history: History,
    step: int | None = None,
) -> dict[str, float]:
    """Score every example of the dev set, file by file, and log the metrics."""
    metrics = {}
    for suffix, examples in zip(args.task.suffixes, features, strict=True):
        logits = score(args, runtime, model, examples)
        values = compute(args.task.metrics, predicted(logits), examples.labels)
        metrics |= {name + suffix: value for name, value in values.items()}
    logger.info("***** Eval results *****")
    for name, value in metrics.items():
        logger.info("  %s = %s", name, value)
    history.write("eval", step=step, examples=sum(map(len, features)), **metrics)
    return metrics


def score(
    args: Namespace, runtime: Runtime, model: AlbertForSequenceClassification, examples: Features
) -> np.ndarray:
    """Return the logits of every example, in the order of the file: [N, num_labels]."""
    return compute_logits(
        model,
        examples,
        runtime.device,
        args.batch_size,
        args.max_seq_length,
        policy=args.padding,
        processes=runtime.processes,
        workers=args.workers,
    )


def evaluate_all(
    args: Namespace,
    runtime: Runtime,
    model: AlbertForSequenceClassification,
    features: list[Features],
    history: History,
) -> None:
    """Score the model, after every checkpoint of it with --eval_all_checkpoints; keep the results."""
    results = {}
    for checkpoint in find_checkpoints(args.output_dir) if args.eval_all_checkpoints else []:
        logger.info("checkpoint: %s", checkpoint)
        earlier = load_model(checkpoint, AlbertConfig.from_file(checkpoint))
        earlier.to(runtime.device.torch_device)
        results[checkpoint.name] = evaluate(args, runtime, earlier, features, history)
    results["model"] = evaluate(args, runtime, model, features, history)
    if runtime.is_main:
        write_eval_results(args.output_dir, results)


def predict(
    args: Namespace,
    runtime: Runtime,
    model: AlbertForSequenceClassification,
    features: list[Features],
) -> None:
    """Write the submission of every test file."""
    for name, examples in zip(args.task.submission_names, features, strict=True):
        logits = score(args, runtime, model, examples)
        if runtime.is_main:
            path = write_submission(args.output_dir / "predictions", name, args.task, logits)
            logger.info("predictions: %s", path)


if __name__ == "__main__":
    arguments = parse_arguments(sys.argv[1:])
    end_program(run_program(lambda: main(arguments), "run_classifier.py", arguments.debug))
