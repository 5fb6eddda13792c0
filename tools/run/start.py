"""How a run begins: its files found, its output folder claimed, its data and its model loaded."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from callback.checkpointing import (
    SavedState,
    checkpoint_folder,
    checkpoint_step,
    find_checkpoints,
    newest_checkpoint,
)
from callback.heartbeat import still
from callback.history import History
from model.checkpoint import (
    OutputsError,
    build_model,
    check_layout,
    load_for_training,
    load_model,
    outputs,
)
from model.configuration_albert import AlbertConfig
from model.file_names import CONFIG_NAME
from model.modeling_albert import AlbertForSequenceClassification
from model.tokenizer import Tokenizer
from model.vocabulary import Sources, check_vocabulary, load_tokenizer
from processors.custom import CUSTOM
from processors.features import Features, load_features
from processors.glue import Task
from processors.reading import read_index
from tools.cli.errors import UsageError
from tools.cli.waiting import waiting_remark
from tools.machine.runtime import Runtime
from tools.machine.seeds import seed_everything
from tools.run.agreement import check_same_flags, check_same_start
from tools.run.data_check import log_data_check
from tools.run.data_flags import inputs_of, other_inputs
from tools.run.data_shares import divide, warn_of_trained_examples
from tools.run.flags import Flags
from tools.run.hub_inputs import with_folders
from tools.run.inputs import ModelFiles, check_sizes, find_inputs, resolve_task
from tools.run.loss import check_class_weights
from tools.run.output_dir import (
    check_output_dir,
    has_changed_since,
    look_at_output_dir,
    open_history,
    open_output_dir,
    tidy_output_dir,
    training_arguments,
)
from tools.run.resume import resuming
from tools.run.run_record import RunRecord
from tools.run.starting_head import FileHead
from tools.run.trackers import check_trackers, reporting

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """Where a run reads and writes.

    Attributes:
        files: of the model to start from, or to score.
        output_dir: claimed for this run, if it trains.
        resume_from: the checkpoint to go on from; None for a run that starts.
        history: its records, which the main process keeps.
        record: what the run is and came to, which the main process keeps.
    """

    files: ModelFiles
    output_dir: Path
    resume_from: Path | None
    history: History
    record: RunRecord


@dataclass(frozen=True)
class Start:
    """What a run begins with.

    Attributes:
        features: a split's examples, file by file.
        test_index: for each test file, what it calls its rows (:func:`processors.reading.read_index`).
        saved: what the checkpoint to go on from holds beside the model; None for a run that starts.
        dev_rows: the rows of the training file that the dev set is; None where it has files of its own.
    """

    task: Task
    tokenizer: Tokenizer
    features: dict[str, list[Features]]
    model: AlbertForSequenceClassification
    test_index: Sequence[list[str] | None] = ()
    saved: SavedState | None = None
    dev_rows: np.ndarray | None = None

    @property
    def max_seq_length(self) -> int:
        """How many tokens an input has at most."""
        return self.model.config.max_seq_length


@contextmanager
def open_run(flags: Flags, runtime: Runtime) -> Iterator[Run]:
    """Find the run's files, and claim its output folder for the block, if the run trains.

    Its records are on the disk when the block ends well.

    Raises:
        UsageError, FileNotFoundError, OSError: as :func:`find_inputs`, :func:`check_output_dir` and
            :func:`open_output_dir`; or a process does not see the checkpoint that the main one chose,
            or has other flags.
    """
    check_same_flags(flags, runtime)
    output_dir, trains = flags.records.output_dir, flags.goals.do_train
    writes = runtime.is_main and not flags.goals.dry_run
    if not trains:  # The model to score may be what a killed run left.
        if writes:
            tidy_output_dir(output_dir)
        runtime.processes.barrier()
    with runtime.processes.main_process_first():
        found = with_folders(flags)  # What one process fetched, the others find.
    files = find_inputs(found)
    logger.info("device: %s, processes: %d", runtime.device, runtime.processes.world_size)
    if runtime.device.is_shared and (remark := waiting_remark(os.environ)):
        logger.info("%s", remark)
    for remark in found.ignored.remarks:
        logger.info("%s", remark)
    checkpoint = None
    with ExitStack() as stack:
        if runtime.is_main:
            check_trackers(flags.records.report_to)
            if writes:
                stack.enter_context(open_output_dir(flags))
            else:
                look_at_output_dir(flags)
            checkpoint = newest_checkpoint(output_dir) if flags.records.resume else None
            check_output_dir(found, files.weights, resumes=checkpoint is not None)
        resume_from = _share_checkpoint(checkpoint, output_dir, runtime)
        history = open_history(output_dir) if writes else History(None)
        if writes:
            arguments = partial(training_arguments, output_dir) if trains else flags.as_dict
            stack.enter_context(reporting(flags.records.report_to, output_dir, arguments, history))
        record = RunRecord(output_dir if writes else None)
        with record.closing():
            yield Run(files, output_dir, resume_from, history, record)
            history.sync()


def _share_checkpoint(checkpoint: Path | None, output_dir: Path, runtime: Runtime) -> Path | None:
    """Return the checkpoint that the main process chose; it alone has read it, to see that it is whole."""
    steps = [checkpoint_step(checkpoint)] if checkpoint else []
    shared = _share("checkpoint", steps, runtime)
    return _seen(output_dir, shared[0], "--resume") if shared else None


def share_checkpoints(output_dir: Path, runtime: Runtime) -> list[Path]:
    """Return the whole checkpoints in ``output_dir``, the earliest first, in all processes the same.

    Raises:
        UsageError: this process does not see one that the main process sees.
    """
    steps = [checkpoint_step(c) for c in find_checkpoints(output_dir)] if runtime.is_main else []
    steps = _share("checkpoints", steps, runtime)
    return [_seen(output_dir, step, "--eval_all_checkpoints") for step in steps]


def _share(name: str, numbers: list[int], runtime: Runtime) -> list[int]:
    """Return the main process's numbers, in all processes."""
    said, *_ = runtime.processes.exchange(name, {"numbers": " ".join(map(str, numbers))})
    return [int(number) for number in said["numbers"].split()]


def _seen(output_dir: Path, global_step: int, flag: str) -> Path:
    checkpoint = checkpoint_folder(output_dir, global_step)
    if not checkpoint.is_dir():
        raise UsageError(
            f"{flag}: this process does not see the checkpoint that others see: --output_dir "
            f"{output_dir} must be on a disk that all machines share"
        )
    return checkpoint


def load_start(flags: Flags, runtime: Runtime, run: Run) -> Start:
    """Load the tokenizer, the features of the splits that the flags call for, and the model.

    Raises:
        UsageError, FileNotFoundError, ValueError: a file is missing or broken, or two do not go together,
            or the processes read different ones.
    """
    inputs = flags.inputs
    trains = flags.goals.do_train
    config = AlbertConfig.from_file(run.resume_from or run.files.config, is_scored=not trains)
    with still("reading what classes there are", runtime.is_main):
        task = resolve_task(flags.task, config, trains, inputs.data_dir, inputs.label_order)
    if trains and flags.training.class_weights:
        check_class_weights(flags.training.class_weights, task.labels)
    named = config.num_labels if config.id2label else None
    head = FileHead.of(config)
    config.set_task(task.labels, task.has_pairs, task.label_separator)
    config.set_text_columns(task.texts)
    tokenizer = load_tokenizer(run.files.vocabulary, inputs.do_lower_case)
    max_seq_length, truncation = inputs_of(config, inputs.max_seq_length, inputs.truncation)
    check_sizes(config, task, max_seq_length)
    if not trains and runtime.is_main:
        remarks = other_inputs(config, max_seq_length, truncation)
        for remark in remarks:
            logger.warning("%s", remark)
        if flags.shares.dev_share:
            file, weights = flags.custom.train_file, run.files.weights
            warn_of_trained_examples(
                *(flags.shares, file, training_arguments(weights)),
                other_inputs=bool(remarks),
                has_changed=has_changed_since(weights, Path(file)),
            )
    config.set_inputs(max_seq_length, truncation)
    if not run.resume_from and not run.files.weights:
        config.set_vocabulary(None)  # Random weights learn any.
    source, flag = run.files.config, run.files.config_flag
    if run.resume_from:
        source, flag = run.resume_from / CONFIG_NAME, None
    check_vocabulary(config, tokenizer, Sources(source, flag, run.files.vocabulary_flag))
    seed_everything(flags.training.seed)  # A new classifier starts from random weights.
    # The model comes before the data, which take minutes to tokenize.
    if run.resume_from or not trains:
        model = _load_trained(run.resume_from or run.files.weights, run, config, task, named)
    elif run.files.weights is None:
        model = build_model(config, flags.records.save_format)
    else:
        model = load_for_training(
            run.files.weights,
            config,
            lambda w: head.take(w, task, inputs.keep_head),
            zero_head=task.name == CUSTOM and not task.is_regression,
        )
    try:
        check_layout(model, flags.records.save_format)
    except ValueError as error:
        raise UsageError(
            f"--save_format {flags.records.save_format}: {error}: leave it out"
        ) from error
    saved = None
    if run.resume_from:
        with resuming():
            saved = SavedState(run.resume_from)
            saved.give_classifier(model)
    features = {
        split: _read_features(flags, runtime, task, tokenizer, config, split)
        for split in flags.splits_read
    }
    features, dev_rows = divide(features, flags.goals.splits, flags.shares, task)
    with still("comparing the inputs with each other", runtime.is_main):
        run.record.add("data_check", log_data_check(task, tokenizer, features))
    check_same_start(task, tokenizer, features, model, run.resume_from, runtime)
    test_files = task.paths(inputs.data_dir, "test") if flags.goals.do_predict else []
    test_index = [read_index(task, path) for path in test_files]
    model = runtime.device.place(model)
    return Start(task, tokenizer, features, model, test_index, saved, dev_rows)


def _load_trained(
    weights: Path, run: Run, config: AlbertConfig, task: Task, named: int | None
) -> AlbertForSequenceClassification:
    """Load a model with the task's outputs; ``named`` are the classes that its file names.

    Raises:
        UsageError: its classifier is another task's.
        FileNotFoundError, ValueError: as :func:`model.checkpoint.load_model`.
    """
    try:
        return load_model(weights, config)
    except OutputsError as error:
        if named == error.wanted:
            raise ValueError(
                f"{error.path} holds a classifier {outputs(error.found)}, but the configuration "
                f"{run.resume_from or run.files.config} names {named} classes: they are not of one model"
            ) from error
        asked = f"--task_name {task.name} needs one {outputs(error.wanted)}"
        remedy = "name the task that it was trained for, or train it for this one with --do_train"
        if run.resume_from:
            asked = f"--resume: {asked}"
            remedy = "resume it with the task it had, or train anew with --overwrite_output_dir"
        raise UsageError(
            f"{asked}, but {error.path} holds a classifier {outputs(error.found)}: {remedy}"
        ) from error


def _read_features(
    flags: Flags,
    runtime: Runtime,
    task: Task,
    tokenizer: Tokenizer,
    config: AlbertConfig,
    split: str,
) -> list[Features]:
    """Return a split's token ids, file by file; one process builds them, the others read its cache."""
    with runtime.processes.main_process_first():
        rebuild = flags.inputs.overwrite_cache and runtime.is_main
        how = (config.max_seq_length, rebuild, config.truncation, not flags.goals.dry_run)
        features = []
        for path in task.paths(flags.inputs.data_dir, split):
            with still(f"reading {path}", runtime.is_main):
                features.append(load_features(task, path, split, tokenizer, *how))
        return features
