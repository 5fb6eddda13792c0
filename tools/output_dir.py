"""The folder a run writes to: nothing an earlier run left there is lost."""

from __future__ import annotations

import json
import logging
import os
import shutil
from argparse import Namespace
from pathlib import Path

from callback.checkpointing import CHECKPOINT_NAME, MODEL_FILES
from tools.errors import UsageError

logger = logging.getLogger(__name__)

PREVIOUS = "previous"
_ARGUMENTS = "training_args.json"
_EVAL_RESULTS = "eval_results.txt"
# What a run leaves beside its checkpoints. Nothing else in the folder is ever moved.
_RESULTS = (*MODEL_FILES, "metrics.jsonl", _EVAL_RESULTS, _ARGUMENTS, "predictions")


def prepare_output_dir(args: Namespace, is_main: bool) -> None:
    """Make the output folder, and see that training does not write over an earlier run.

    Raises:
        UsageError: the folder holds an earlier run and no flag says what is to become of it, or it is
            the folder of the model to start from.
        OSError: the folder cannot be made or written to.
    """
    folder = args.output_dir
    if not is_main:
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written to: choose another --output_dir")
    if not args.do_train or args.resume:
        return
    if folder.resolve() == args.model_name_or_path.resolve():
        raise UsageError(f"--output_dir {folder} is the folder of the model to start from")
    if not _results(folder):
        return
    if not args.overwrite_output_dir:
        raise UsageError(
            f"{folder} holds an earlier run: --overwrite_output_dir moves it to {folder / PREVIOUS}, "
            "--resume goes on from its last checkpoint, another --output_dir leaves it alone"
        )
    _set_aside(folder)


def _set_aside(folder: Path) -> None:
    """Move the results in ``folder`` to its ``previous``, in place of those that were there."""
    previous = folder / PREVIOUS
    for entry in _results(previous):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    previous.mkdir(exist_ok=True)
    for entry in _results(folder):
        entry.replace(previous / entry.name)
    logger.info("the earlier run in %s is now in %s", folder, previous)


def _results(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [
        entry
        for entry in sorted(folder.iterdir())
        if entry.name in _RESULTS or CHECKPOINT_NAME.fullmatch(entry.name)
    ]


def write_arguments(args: Namespace) -> None:
    """Record the flags of a training run in its output folder."""
    values = {name: value for name, value in vars(args).items() if name != "task"}
    text = json.dumps(values, indent=2, sort_keys=True, default=str)
    (args.output_dir / _ARGUMENTS).write_text(text + "\n", encoding="utf-8")


def write_eval_results(output_dir: Path, results: dict[str, dict[str, float]]) -> None:
    """Write the metrics of each evaluated model, by the model's name, as ``name = value`` lines."""
    lines = [
        line
        for model, metrics in results.items()
        for line in (f"[{model}]", *(f"{name} = {value}" for name, value in metrics.items()))
    ]
    (output_dir / _EVAL_RESULTS).write_text("\n".join(lines) + "\n", encoding="utf-8")
