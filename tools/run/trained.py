"""Whether a folder has a trained model, and if not what it has in its place, and what to do."""

from __future__ import annotations

from pathlib import Path

from callback.checkpointing import newest_checkpoint
from model.checkpoint import has_classifier
from model.file_kinds import why_missing, why_no_folder
from model.file_names import CONFIG_NAME
from model.weights_file import find_weights
from tools.cli.errors import UsageError
from tools.run.output_dir import is_run
from tools.run.previous import PREVIOUS


def check_trained(folder: Path, flag: str) -> None:
    """See that ``folder``, which ``flag`` names, holds a trained classifier and its configuration.

    Raises:
        UsageError: it does not; says what it holds, and what to do.
        OSError, ValueError: as :func:`model.checkpoint.has_classifier`.
    """
    if not has_classifier(folder):
        raise UsageError(f"{flag} {folder} holds no trained classifier: {why_untrained(folder)}")
    config = folder / CONFIG_NAME
    if not config.is_file():
        raise UsageError(
            f"{flag} {folder} holds weights, but {why_missing(config) or f'no {CONFIG_NAME}'}: put theirs "
            "beside them"
        )


def why_untrained(folder: Path) -> str:
    """Return what a folder without a trained classifier has in its place, and what to do about it.

    Raises:
        OSError: the folder may not be read.
    """
    if reason := why_no_folder(folder):
        return f"{reason}: name the folder that holds it"
    if not folder.is_dir():
        return why_missing(folder) or f"there is no folder {folder}"
    try:
        weights = find_weights(folder)
    except FileNotFoundError as error:
        return _unfinished(folder) or _elsewhere(folder) or str(error)
    return (
        f"{weights} is of a pretrained model, without a classifier: train one from it first, with "
        f"run_classifier.py --do_train --model_name_or_path {folder}"
    )


def _unfinished(folder: Path) -> str | None:
    """Return what a training left that did not come to its end; None where there is none."""
    if checkpoint := newest_checkpoint(folder):
        return (
            f"its training has not ended, but left checkpoints: name the newest, {checkpoint}, or go on "
            "with --resume"
        )
    if is_run(folder):
        return "its training has not ended, and left no whole checkpoint: wait for it, or start it again"
    return None


def _elsewhere(folder: Path) -> str | None:
    """Return which folders below ``folder`` have the model that it has not; None where none has."""
    earlier = folder / PREVIOUS
    numbers = [entry for entry in _folders(earlier) if entry.name.isdecimal()]
    below = [
        *sorted(numbers, key=lambda entry: int(entry.name))[-1:],
        *(entry for entry in _folders(folder) if entry != earlier),
    ]
    there = [str(entry) for entry in below if _has_weights(entry)]
    if not there:
        return None
    rest = " …" if there[3:] else ""
    return f"what has weights is {', '.join(there[:3])}{rest}: name that"


def _folders(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [entry for entry in entries if entry.is_dir()]


def _has_weights(folder: Path) -> bool:
    try:
        find_weights(folder)
    except FileNotFoundError:
        return False
    return True
