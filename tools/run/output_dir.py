"""The folder a run writes to: nothing an earlier run left there is lost."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from callback.best_model import is_best
from callback.checkpointing import CHECKPOINT_NAME, MODEL_FILES
from callback.history import METRICS_FILE, History, is_torn
from callback.trackers.base import TENSORBOARD, TRACKERS
from model.file_names import INDEX_NAMES, WEIGHTS_NAMES
from model.files import digest, remove_temporary_files, temporary_files, write_whole
from tools.cli.errors import UsageError
from tools.machine.folders import check_named_folder, make_named_folder
from tools.results.run_folder import (
    PAGE_FILE,
    PICTURE_FILE,
    PREDICTIONS,
    RUN_FILE,
    RunFolder,
    has_run,
    is_record,
)
from tools.run.flags import Flags
from tools.run.previous import (
    LOCK,
    PREVIOUS,
    finish_moving,
    hold,
    is_half_moved,
    is_held,
    move_to_previous,
    remove_lock,
)

logger = logging.getLogger(__name__)

LOGS = "logs"
_ARGUMENTS = "training_args.json"
_EVAL_RESULTS = "eval_results.txt"
_FOLDERS = (PREDICTIONS, TRACKERS, TENSORBOARD)
# A run leaves these beside its checkpoints. Nothing else in the folder is ever moved.
_RESULTS = (
    *MODEL_FILES,
    *INDEX_NAMES,
    METRICS_FILE,
    _EVAL_RESULTS,
    _ARGUMENTS,
    RUN_FILE,
    PAGE_FILE,
    PICTURE_FILE,
    *_FOLDERS,
)
# Weights in several files, as others leave them.
_SHARD = re.compile(r"(pytorch_)?model-\d+-of-\d+\.(safetensors|bin)")


@contextmanager
def open_output_dir(flags: Flags) -> Iterator[None]:
    """Make the output folder, if it is not there, and claim it for the block, if the run trains into it.

    Of a block that writes nothing there, as one that ends with an error may, nothing stays: no lock and no
    folder that was not there before.

    Raises:
        UsageError: it cannot be made or written to, or something in it is no file or no folder where this
            run needs one; or as :func:`claim_output_dir`.
        DiskError: the disk is full, or can only be read.
    """
    folder, trains = flags.records.output_dir, flags.goals.do_train
    with _taken_back_if_unused(folder):
        make_named_folder("--output_dir", folder)
        _check_kinds(folder, flags)
        with claim_output_dir(folder) if trains else nullcontext():
            yield


def look_at_output_dir(flags: Flags) -> None:
    """See that :func:`open_output_dir` would open the output folder, and leave all as it is.

    Raises:
        UsageError: it would not.
    """
    folder = flags.records.output_dir
    check_named_folder("--output_dir", folder)
    _check_kinds(folder, flags)
    if flags.goals.do_train and is_held(folder):
        raise _held(folder)


@contextmanager
def _taken_back_if_unused(folder: Path) -> Iterator[None]:
    new = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    before = _names(folder)
    try:
        yield
    finally:
        with suppress(OSError):
            if LOCK not in before and _names(folder) == before | {LOCK}:
                remove_lock(folder)
            for path in new:  # Those below come first. One that holds something stays.
                path.rmdir()


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def _check_kinds(folder: Path, flags: Flags) -> None:
    """See that each place that a run of these flags writes to is free, or of the kind that it is to be."""
    goals = flags.goals
    folders = {
        PREVIOUS: goals.do_train and flags.records.overwrite_output_dir,
        PREDICTIONS: goals.do_eval or goals.do_predict,
    }
    files = {
        **dict.fromkeys((LOCK, *MODEL_FILES, *INDEX_NAMES, _ARGUMENTS), goals.do_train),
        # A test file with labels is scored, too.
        METRICS_FILE: goals.do_train or goals.do_eval or goals.do_predict,
        RUN_FILE: goals.do_train or goals.do_eval or goals.do_predict,
        _EVAL_RESULTS: goals.do_eval or goals.do_predict,
    }
    for name, is_written in folders.items():
        path = folder / name
        if is_written and os.path.lexists(path) and not path.is_dir():
            raise _wrong_kind(path, "no folder, and a run needs one of that name")
    for name, is_written in files.items():
        if is_written and (path := folder / name).is_dir():
            raise _wrong_kind(path, "a folder, and a run needs a file of that name")
    if files[RUN_FILE] and not goals.do_train:  # A training moves what is there, or is refused.
        check_record_place(folder)
        predictions = folder / PREDICTIONS
        if not has_run(folder) and predictions.is_dir() and any(predictions.iterdir()):
            raise _wrong_kind(predictions, "of no run, which needs a folder of that name")


def check_record_place(folder: Path) -> None:
    """See that what is called run.json in ``folder`` is the record of a run, and no other program's file.

    Raises:
        UsageError: it is not.
    """
    if (folder / RUN_FILE).exists() and not is_record(folder):
        raise _wrong_kind(folder / RUN_FILE, "no record of a run, which needs that name")


def _held(folder: Path) -> UsageError:
    return UsageError(
        f"another run trains into {folder}: wait for it, or choose another --output_dir"
    )


def _wrong_kind(path: Path, what: str) -> UsageError:
    return UsageError(f"{path} is {what}: move it away, or name another --output_dir")


def check_output_dir(flags: Flags, weights: Path | None, resumes: bool) -> None:
    """See that nothing an earlier run left in the output folder would be written over.

    Args:
        weights: the folder of the model that is scored where nothing is trained.
        resumes: whether there is a checkpoint for --resume to go on from.

    Raises:
        UsageError: the folder holds an earlier run and no flag says what is to become of it, or it holds
            the model to start from, or another model than the one to be scored.
    """
    folder = flags.records.output_dir
    if not flags.goals.do_train:
        if has_weights(folder) and weights is not None and not folder.samefile(weights):
            raise UsageError(
                f"--output_dir {folder} holds the results of another model than {weights}: name a "
                "folder for this one's"
            )
        return
    if flags.records.resume:
        if has_weights(folder) and not resumes:
            raise UsageError(
                f"--resume: {folder} holds a finished run but no whole checkpoint to go on from: "
                f"--overwrite_output_dir trains anew and keeps it; {_trains_further(folder)}"
            )
        return
    if _is_of_runs(flags.inputs.model_name_or_path.resolve(), folder.resolve()):
        raise UsageError(
            f"the model to start from, {flags.inputs.model_name_or_path}, is in --output_dir {folder}: "
            "choose another --output_dir"
        )
    if _results(folder) and not flags.records.overwrite_output_dir:
        raise UsageError(
            f"{folder} holds an earlier run: --overwrite_output_dir moves it to {folder / PREVIOUS}, "
            "--resume goes on from its last checkpoint, another --output_dir leaves it alone"
            + (f"; {_trains_further(folder)}" if has_weights(folder) else "")
        )


@contextmanager
def claim_output_dir(folder: Path) -> Iterator[None]:
    """Keep other runs from training into ``folder`` for the block; see to what a killed one left there.

    Raises:
        UsageError: another one does.
        DiskError: the disk is full, or can only be read.
    """
    with hold(folder) as lock:
        if lock is None:
            raise _held(folder)
        _tidy(folder)
        yield


def tidy_output_dir(folder: Path) -> None:
    """See to what a killed run left in ``folder``, if there is one and no run trains into it."""
    strays = temporary_files(folder) or temporary_files(folder / PREDICTIONS)
    if strays or is_half_moved(folder) or is_torn(folder / METRICS_FILE):
        with hold(folder) as lock:
            if lock is not None:
                _tidy(folder)


def _tidy(folder: Path) -> None:
    for place in (folder, folder / PREDICTIONS, folder / TRACKERS):
        remove_temporary_files(place)
    if is_half_moved(folder):
        previous = finish_moving(folder, _results(folder))
        logger.info("an earlier run in %s, which was being moved, is now in %s", folder, previous)
    open_history(folder).repair()


def is_run(folder: Path) -> bool:
    """Return whether a run that trains wrote its flags or records to ``folder``."""
    return any((folder / name).exists() for name in (_ARGUMENTS, METRICS_FILE))


def open_history(folder: Path) -> History:
    """Return the records of the run in ``folder``."""
    return History(folder / METRICS_FILE)


def open_training_record(flags: Flags) -> None:
    """Make the output folder ready for a run that trains, and write its flags there.

    What an earlier run left moves to ``previous/<n>``.
    """
    folder = flags.records.output_dir
    if not flags.records.resume and (results := _results(folder)):
        previous = move_to_previous(folder, results)
        logger.info("the earlier run in %s is now in %s", folder, previous)
    text = json.dumps(flags.as_dict(), indent=2, sort_keys=True, default=str)
    write_whole(folder / _ARGUMENTS, text + "\n")


def training_arguments(folder: Path) -> dict[str, Any]:
    """Return the flags of the training that left a model in ``folder``; none where nothing tells them."""
    try:
        found = json.loads((output_folder_of(folder) / _ARGUMENTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def has_changed_since(folder: Path, train_file: Path) -> bool:
    """Return whether a file is known to be another than the training of the model in ``folder`` read."""
    data = RunFolder(output_folder_of(folder)).run.get("data", {})
    then = data.get("train", {}).get("sha256")
    return isinstance(then, str) and train_file.is_file() and then != digest(train_file)


def output_folder_of(folder: Path) -> Path:
    """Return the output folder of the run that left a model in ``folder``, which may be a checkpoint's."""
    whole = folder.resolve()
    return whole.parent if CHECKPOINT_NAME.fullmatch(whole.name) else whole


def _trains_further(folder: Path) -> str:
    return (
        f"--model_name_or_path {folder} with another --output_dir trains its model further, with other "
        "settings"
    )


def has_weights(folder: Path) -> bool:
    """Return whether a model is in ``folder``."""
    return any((folder / name).exists() for name in (*WEIGHTS_NAMES, *INDEX_NAMES))


def _is_of_runs(model: Path, folder: Path) -> bool:
    """Return whether ``model`` is where runs into ``folder`` write to, and not only a folder below it."""
    if not model.is_relative_to(folder):
        return False
    first, *_ = (*model.relative_to(folder).parts, PREVIOUS)
    return first == PREVIOUS or bool(CHECKPOINT_NAME.fullmatch(first)) or is_best(folder / first)


def _results(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [entry for entry in sorted(folder.iterdir()) if _is_result(entry)]


def _is_result(entry: Path) -> bool:
    if CHECKPOINT_NAME.fullmatch(entry.name) or is_best(entry):
        return True
    is_named_so = entry.name in _RESULTS or _SHARD.fullmatch(entry.name) is not None
    # What is of another kind is no run's.
    return is_named_so and entry.is_dir() == (entry.name in _FOLDERS)


def write_eval_results(output_dir: Path, results: dict[str, dict[str, float]]) -> None:
    """Write the metrics of each evaluated model, by the model's name, as ``name = value`` lines."""
    sections = (_section(model, metrics) for model, metrics in results.items())
    write_whole(output_dir / _EVAL_RESULTS, "".join(sections))


def add_eval_results(output_dir: Path, name: str, metrics: dict[str, float]) -> None:
    """Write metrics beside those that are there, in the place of earlier ones of the same name."""
    file = output_dir / _EVAL_RESULTS
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    sections = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    others = [section for section in sections if not section.startswith(f"[{name}]\n")]
    write_whole(file, "".join([*others, _section(name, metrics)]))


def _section(name: str, metrics: dict[str, float]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in metrics.items()), ""])
