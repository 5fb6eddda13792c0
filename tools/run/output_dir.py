"""The folder a run writes to: nothing an earlier run left there is lost."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from callback.checkpointing import CHECKPOINT_NAME, MODEL_FILES
from model.checkpoint import WEIGHTS_NAMES
from model.files import write_whole
from tools.cli.errors import UsageError
from tools.run.flags import Flags
from tools.run.previous import PREVIOUS, hold, next_previous

logger = logging.getLogger(__name__)

_ARGUMENTS = "training_args.json"
_EVAL_RESULTS = "eval_results.txt"
# A run leaves these beside its checkpoints. Nothing else in the folder is ever moved.
_RESULTS = (*MODEL_FILES, "metrics.jsonl", _EVAL_RESULTS, _ARGUMENTS, "predictions")


def check_output_dir(flags: Flags, weights: Path | None, checkpoints: list[Path]) -> None:
    """Make the output folder, and see that nothing an earlier run left there would be written over.

    ``weights`` is the folder of the model that is scored where nothing is trained, ``checkpoints`` what
    --resume can go on from.

    Raises:
        UsageError: the folder holds an earlier run and no flag says what is to become of it, or it holds
            the model to start from, or another model than the one to be scored.
        OSError: the folder cannot be made or written to.
    """
    folder = flags.records.output_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"--output_dir {folder} cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"--output_dir {folder} cannot be written to: choose another")
    if not flags.goals.do_train:
        if _has_weights(folder) and weights is not None and not folder.samefile(weights):
            raise UsageError(
                f"--output_dir {folder} holds the results of another model than {weights}: name a "
                "folder for this one's"
            )
        return
    if flags.records.resume:
        if _has_weights(folder) and not checkpoints:
            raise UsageError(
                f"--resume: {folder} holds a finished run but no whole checkpoint to go on from: "
                "--overwrite_output_dir trains anew and keeps it"
            )
        return
    start = flags.inputs.model_name_or_path.resolve()
    if folder.resolve() in (start, *start.parents):
        raise UsageError(
            f"the model to start from, {flags.inputs.model_name_or_path}, is in --output_dir {folder}: "
            "choose another --output_dir"
        )
    if _results(folder) and not flags.records.overwrite_output_dir:
        raise UsageError(
            f"{folder} holds an earlier run: --overwrite_output_dir moves it to {folder / PREVIOUS}, "
            "--resume goes on from its last checkpoint, another --output_dir leaves it alone"
        )


@contextmanager
def claim_output_dir(folder: Path) -> Iterator[None]:
    """Keep other runs from training into ``folder`` for the block.

    Raises:
        UsageError: another one does.
    """
    with hold(folder) as lock:
        if lock is None:
            raise UsageError(
                f"another run trains into {folder}: wait for it, or choose another --output_dir"
            )
        for unfinished in folder.glob(".writing-*"):  # They are of a run that was killed.
            shutil.rmtree(unfinished, ignore_errors=True)
        yield


def open_training_record(flags: Flags) -> None:
    """Make the output folder ready for a run that trains, and write its flags there.

    An earlier run moves to ``previous/<n>``; one that failed before it left any weights is dropped.
    """
    folder = flags.records.output_dir
    results = [] if flags.records.resume else _results(folder)
    if results and (_has_weights(folder) or any(entry.is_dir() for entry in results)):
        previous = next_previous(folder)
        for entry in results:
            entry.replace(previous / entry.name)
        logger.info("the earlier run in %s is now in %s", folder, previous)
    else:
        for entry in results:
            entry.unlink()
    text = json.dumps(flags.as_dict(), indent=2, sort_keys=True, default=str)
    write_whole(folder / _ARGUMENTS, text + "\n")


def _has_weights(folder: Path) -> bool:
    return any((folder / name).exists() for name in WEIGHTS_NAMES)


def _results(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [
        entry
        for entry in sorted(folder.iterdir())
        if entry.name in _RESULTS or CHECKPOINT_NAME.fullmatch(entry.name)
    ]


def write_eval_results(output_dir: Path, results: dict[str, dict[str, float]]) -> None:
    """Write the metrics of each evaluated model, by the model's name, as ``name = value`` lines."""
    lines = [
        line
        for model, metrics in results.items()
        for line in (f"[{model}]", *(f"{name} = {value}" for name, value in metrics.items()))
    ]
    write_whole(output_dir / _EVAL_RESULTS, "\n".join([*lines, ""]))
