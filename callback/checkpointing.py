"""Checkpoints of a training run: written whole or not at all, found, and loaded."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from model.checkpoint import WEIGHTS_NAMES, find_weights, save_model
from model.configuration_albert import CONFIG_NAME
from model.file_kinds import why_missing
from model.file_names import TOKENIZER_FILES
from model.files import digest, move_files, remove_folder, sync, temporary_folder, writing
from model.json_files import read_json_object
from model.modeling_albert import AlbertForSequenceClassification
from model.tokenizer import Tokenizer
from model.tokenizer_export import save_tokenizer

logger = logging.getLogger(__name__)

STATE_NAME = "training_state.pt"
MANIFEST_NAME = "manifest.json"
CHECKPOINT_NAME = re.compile(r"checkpoint-(\d+)")
# These are the references' words, which other tools look for.
_SAVING = "Saving model checkpoint to %s"
MODEL_FILES = (CONFIG_NAME, *WEIGHTS_NAMES, *TOKENIZER_FILES)


class Stateful(Protocol):
    """Anything whose state goes into a checkpoint."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


def save_final(
    output_dir: Path,
    model: AlbertForSequenceClassification,
    tokenizer: Tokenizer,
    layout: str = "huggingface",
) -> None:
    """Write the trained model to ``output_dir``; it is on the disk when this returns.

    Raises:
        DiskError: the disk is full.
    """
    with temporary_folder(output_dir) as folder:
        save_with_vocabulary(model, tokenizer, folder, layout)
        place_model(folder, output_dir)


def place_model(folder: Path, output_dir: Path) -> None:
    """Move a model's files from a folder on the same disk; all are on the disk when this returns.

    Where a model is there already, no mixture of the two is ever found: if other files than the weights
    change, the old weights go first, and the new ones come last.
    """
    names = {file.name for file in folder.iterdir()}
    for file in folder.iterdir():
        there = output_dir / file.name
        if file.name not in WEIGHTS_NAMES and there.is_file() and digest(file) == digest(there):
            sync(there)
            file.unlink()
    weights = find_weights(folder).name
    # A vocabulary of another kind would be found in the place of this one.
    old = [name for name in set(TOKENIZER_FILES) - names if (output_dir / name).exists()]
    if old or len(list(folder.iterdir())) > 1:
        _remove(output_dir, *WEIGHTS_NAMES)
        _remove(output_dir, *old)
    move_files(folder, output_dir, last=[weights])
    _remove(output_dir, *(name for name in WEIGHTS_NAMES if name != weights))
    logger.info(_SAVING, output_dir)


def save_with_vocabulary(
    model: AlbertForSequenceClassification, tokenizer: Tokenizer, folder: Path, layout: str
) -> None:
    """Write both; the model's configuration says which vocabulary it is."""
    model.config.set_vocabulary(tokenizer.digest, tokenizer.json_digest)
    save_model(model, folder, layout)
    save_tokenizer(tokenizer, folder, model.config.max_position_embeddings)


def _remove(folder: Path, *names: str) -> None:
    if there := [folder / name for name in names if (folder / name).exists()]:
        for file in there:
            file.unlink()
        sync(folder)


def save_checkpoint(
    output_dir: Path,
    global_step: int,
    model: AlbertForSequenceClassification,
    tokenizer: Tokenizer,
    stateful: Stateful,
) -> Path:
    """Write ``output_dir/checkpoint-<step>``: an ALBERT folder with the state of a training.

    Beside it the classifier as trained, to the last bit: the model file has the bias that Hugging Face
    needs (:func:`model.checkpoint.save_model`). The folder is written under another name, synced to disk,
    given a manifest and renamed, so a folder of that name is whole. Returns its path.

    Raises:
        DiskError: the disk is full; earlier checkpoints are as they were.
    """
    target = checkpoint_folder(output_dir, global_step)
    with temporary_folder(output_dir) as folder:
        save_with_vocabulary(model, tokenizer, folder, "huggingface")
        state = {"classifier": model.classifier.state_dict(), "training": stateful.state_dict()}
        # Into a path torch writes by itself, and does not say what went wrong.
        with (folder / STATE_NAME).open("wb") as file:
            torch.save(state, file)
        write_manifest(folder, {"step": global_step})
        for file in (*folder.iterdir(), folder):
            sync(file)
        if target.exists():
            remove_folder(target)  # Only a damaged one can be there: steps do not repeat.
        folder.rename(target)
        sync(output_dir)
    logger.info(_SAVING, target)
    return target


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write what a folder is, and the digests of its files: by them :func:`is_whole` tells."""
    digests = {file.name: digest(file) for file in sorted(folder.iterdir())}
    text = json.dumps({**facts, "sha256": digests}, indent=2) + "\n"
    (folder / MANIFEST_NAME).write_text(text, encoding="utf-8")


def drop_checkpoints(
    output_dir: Path, global_step: int, limit: int, scores: Mapping[int, float]
) -> None:
    """Delete the checkpoints before ``global_step`` but the newest and the best.

    Args:
        global_step: of a checkpoint that is whole; it counts among the ``limit`` newest.
        limit: how many stay beside the best; 0: all.
        scores: by step, the more the better. Of equal ones the first is the best.
    """
    steps = [checkpoint_step(entry) for entry in _checkpoint_folders(output_dir)]
    steps = [step for step in steps if step <= global_step]
    scored = [step for step in steps if math.isfinite(scores.get(step, math.nan))]
    best = max(scored, key=lambda step: (scores[step], -step), default=None)
    with writing(output_dir):
        for step in steps[:-limit] if limit else []:
            if step != best:
                remove_folder(checkpoint_folder(output_dir, step))


def find_checkpoints(output_dir: Path) -> list[Path]:
    """Return the checkpoints in ``output_dir``, the earliest first; damaged ones are left out."""
    return [entry for entry in _checkpoint_folders(output_dir) if is_whole(entry)]


def newest_checkpoint(output_dir: Path) -> Path | None:
    """Return the last checkpoint in ``output_dir`` that is whole, without a look into those before it."""
    return next(filter(is_whole, reversed(_checkpoint_folders(output_dir))), None)


def checkpoint_folder(output_dir: Path, global_step: int) -> Path:
    """Return where the checkpoint of a step is."""
    return output_dir / f"checkpoint-{global_step}"


def _checkpoint_folders(output_dir: Path) -> list[Path]:
    entries = output_dir.iterdir() if output_dir.is_dir() else ()
    found = [entry for entry in entries if CHECKPOINT_NAME.fullmatch(entry.name)]
    return sorted(found, key=checkpoint_step)


def checkpoint_step(checkpoint: Path) -> int:
    """Return how many steps were done when a checkpoint was written."""
    return int(CHECKPOINT_NAME.fullmatch(checkpoint.name)[1])


class SavedState:
    """What a checkpoint holds beside its model, read once.

    Raises:
        ValueError: it cannot be read.
    """

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint
        try:
            self._parts = torch.load(checkpoint / STATE_NAME, map_location="cpu", weights_only=True)
        except Exception as error:  # A damaged file makes torch stumble in any way.
            reason = str(error).partition("\n")[0]
            raise ValueError(f"{checkpoint / STATE_NAME} cannot be read: {reason}") from error

    @property
    def settings(self) -> dict[str, Any]:
        """What the training that wrote it was asked for, by name; empty where it does not say."""
        parts = self._parts if isinstance(self._parts, dict) else {}
        training = parts.get("training")
        return training.get("settings", {}) if isinstance(training, dict) else {}

    def give_classifier(self, model: AlbertForSequenceClassification) -> None:
        """Give the checkpoint's model, loaded from its model file, its classifier to the last bit.

        Raises:
            ValueError: the checkpoint is of another run, or of another version of this project.
        """
        self._give("classifier", model.classifier)

    def give_training(self, stateful: Stateful) -> None:
        """Give ``stateful`` the state that it had when the checkpoint was written.

        Raises:
            ValueError: the checkpoint is of another run, or of another version of this project.
        """
        self._give("training", stateful)

    def _give(self, name: str, stateful: Stateful) -> None:
        if not isinstance(self._parts, dict) or name not in self._parts:
            raise ValueError(f"{self._checkpoint} was written by another version of this project")
        try:
            stateful.load_state_dict(self._parts[name])
        except (KeyError, ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            if isinstance(error, KeyError):
                reason = f"it has no {reason}"
            raise ValueError(f"{self._checkpoint} is of another run: {reason}") from error


def is_whole(checkpoint: Path) -> bool:
    """Return whether all files that a folder's manifest lists are as they were written; warn if not."""
    try:
        problems = _problems(checkpoint)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        problems = [f"{error.filename}: {reason}" if reason else str(error)]
    if problems:
        rest = f" and {len(problems) - 3} more" if problems[3:] else ""
        named = ", ".join(problems[:3])
        logger.warning("%s is left out: %s%s", checkpoint, named, rest)
    return not problems


def _problems(checkpoint: Path) -> list[str]:
    """Return what is wrong with each file that a checkpoint's manifest lists.

    Raises:
        OSError, ValueError: the manifest or a file cannot be read; says which.
    """
    manifest = checkpoint / MANIFEST_NAME
    digests = read_json_object(manifest, "list of a checkpoint's files").get("sha256")
    if not isinstance(digests, dict) or not digests:
        raise ValueError(f"{MANIFEST_NAME} lists no files: it was changed")
    problems = []
    for name, expected in digests.items():
        file = checkpoint / name
        if not file.is_file():
            problems.append(why_missing(file) or f"{name} is missing")
        elif digest(file) != expected:
            problems.append(f"{name} changed since it was written")
    return problems
