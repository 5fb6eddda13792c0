"""Whether a folder has a trained model, and if not what it has in its place, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from callback.checkpointing import newest_checkpoint
from model.checkpoint import has_classifier
from model.file_kinds import why_missing, why_no_folder
from model.file_names import CONFIG_NAME
from model.vocabulary import find_vocabulary
from model.weights_file import find_weights, in_place_of_weights
from tools.cli.errors import UsageError
from tools.run.output_dir import is_run, open_history
from tools.run.previous import PREVIOUS

NEEDS_VOCABULARY = (
    "put the vocabulary of the model it came from beside them (transformers' save_pretrained of a model "
    "writes none)"
)


def check_trained(folder: Path, flag: str) -> None:
    """See that ``folder``, which ``flag`` names, holds a trained classifier and all that goes with it.

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
    try:
        find_vocabulary(folder)
    except FileNotFoundError as error:
        raise UsageError(
            f"{flag} {folder} holds weights, but {error}: {NEEDS_VOCABULARY}"
        ) from error


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
        return _left_by_training(folder, str(error)) or _elsewhere(folder) or str(error)
    return (
        f"{weights} is of a pretrained model, without a classifier: train one from it first, with "
        f"run_classifier.py --do_train --model_name_or_path {folder}"
    )


def _left_by_training(folder: Path, no_weights: str) -> str | None:
    """Return what a training left in a folder without weights; None where none left anything.

    Args:
        no_weights: what is said of their place.
    """
    checkpoint = newest_checkpoint(folder)
    # The configuration is written when the training is done.
    ended = is_run(folder) and open_history(folder).has_end()
    if ended or (folder / CONFIG_NAME).is_file():
        what = "its training has ended" if ended else "the rest of a model is there"
        ways = []
        if not in_place_of_weights(folder):  # What is there has a remedy of its own.
            ways.append("copy its weights there again")
        if checkpoint:
            ways += [f"name its newest checkpoint, {checkpoint}", "go on with --resume"]
        return f"{no_weights}; {what}: {', or '.join(ways)}" if ways else no_weights
    if checkpoint:
        return (
            f"its training has not ended, but left checkpoints: name the newest, {checkpoint}, or go on "
            "with --resume"
        )
    if is_run(folder):
        return "its training has not ended, and left no whole checkpoint: wait for it, or start it again"
    return None


def _elsewhere(folder: Path) -> str | None:
    """Return which folders below ``folder`` have the model that it has not; None where none has."""
    there = [str(entry) for entry in islice(_models_below(folder), 4)]
    if not there:
        return None
    rest = " …" if there[3:] else ""
    return f"what has a trained model is {', '.join(there[:3])}{rest}: name that"


def _models_below(folder: Path) -> Iterator[Path]:
    """Yield the folders with a whole trained model in ``folder``, and then those one level further down.

    Of the earlier runs in it only the last is looked at.
    """
    earlier = folder / PREVIOUS
    numbers = [entry for entry in _folders(earlier) if entry.name.isdecimal()]
    below = [
        *sorted(numbers, key=lambda entry: int(entry.name))[-1:],
        *(entry for entry in _folders(folder) if entry != earlier),
    ]
    others = []
    for entry in below:
        if _is_whole_model(entry):
            yield entry
        else:
            others.append(entry)
    yield from (inner for entry in others for inner in _folders(entry) if _is_whole_model(inner))


def _folders(folder: Path) -> list[Path]:
    with suppress(OSError):  # What may not be read has nothing to name.
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        return [entry for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    return []


def _is_whole_model(folder: Path) -> bool:
    with suppress(OSError, ValueError):
        find_vocabulary(folder)
        return (folder / CONFIG_NAME).is_file() and has_classifier(folder)
    return False
