"""Checkpoints of a training run: written whole or not at all, found, and loaded."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any, Protocol

import torch

from model.checkpoint import WEIGHTS_NAMES, save_model
from model.configuration_albert import CONFIG_NAME
from model.files import digest, move_files, temporary_folder
from model.modeling_albert import AlbertForSequenceClassification
from model.tokenization_albert import AlbertTokenizer
from model.tokenizer_export import TOKENIZER_FILES, save_tokenizer

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
    tokenizer: AlbertTokenizer,
    layout: str = "huggingface",
) -> None:
    """Write the trained model to ``output_dir``, each file whole or not at all."""
    with temporary_folder(output_dir) as folder:
        save_model(model, folder, layout)
        save_tokenizer(tokenizer, folder)
        move_files(folder, output_dir)
    logger.info(_SAVING, output_dir)


def save_checkpoint(
    output_dir: Path,
    global_step: int,
    model: AlbertForSequenceClassification,
    tokenizer: AlbertTokenizer,
    stateful: Stateful,
) -> Path:
    """Write ``output_dir/checkpoint-<step>``: an ALBERT folder with the state of a training.

    Beside it the classifier as trained, to the last bit: the model file has the bias that Hugging Face
    needs (:func:`model.checkpoint.save_model`). The folder is written under another name, synced to disk,
    given a manifest and renamed, so a folder of that name is whole. Returns its path.
    """
    target = output_dir / f"checkpoint-{global_step}"
    with temporary_folder(output_dir) as folder:
        save_model(model, folder)
        save_tokenizer(tokenizer, folder)
        state = {"classifier": model.classifier.state_dict(), "training": stateful.state_dict()}
        torch.save(state, folder / STATE_NAME)
        digests = {file.name: digest(file) for file in sorted(folder.iterdir())}
        manifest = json.dumps({"step": global_step, "sha256": digests}, indent=2) + "\n"
        (folder / MANIFEST_NAME).write_text(manifest, encoding="utf-8")
        for file in (*folder.iterdir(), folder):
            _sync(file)
        if target.exists():
            shutil.rmtree(target)  # Only a damaged one can be there: steps do not repeat.
        folder.rename(target)
        _sync(output_dir)
    logger.info(_SAVING, target)
    return target


def find_checkpoints(output_dir: Path) -> list[Path]:
    """Return the checkpoints in ``output_dir``, the earliest first; damaged ones are left out."""
    found = []
    for entry in output_dir.iterdir() if output_dir.is_dir() else ():
        if CHECKPOINT_NAME.fullmatch(entry.name) and _is_whole(entry):
            found.append(entry)
    return sorted(found, key=checkpoint_step)


def checkpoint_step(checkpoint: Path) -> int:
    """Return how many steps were done when a checkpoint was written."""
    return int(CHECKPOINT_NAME.fullmatch(checkpoint.name)[1])


def load_trained_classifier(checkpoint: Path, model: AlbertForSequenceClassification) -> None:
    """Give a checkpoint's model, loaded from its model file, its classifier as trained, to the last bit.

    Raises:
        ValueError: the checkpoint is of another run, or of another version of this project.
    """
    _load_state(checkpoint, "classifier", model.classifier)


def load_training_state(checkpoint: Path, stateful: Stateful) -> None:
    """Give ``stateful`` the state that it had when the checkpoint was written.

    Raises:
        ValueError: the checkpoint is of another run, or of another version of this project.
    """
    _load_state(checkpoint, "training", stateful)


def _load_state(checkpoint: Path, name: str, stateful: Stateful) -> None:
    state = torch.load(checkpoint / STATE_NAME, map_location="cpu", weights_only=True)
    if name not in state:
        raise ValueError(f"{checkpoint} was written by another version of this project")
    try:
        stateful.load_state_dict(state[name])
    except (KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{checkpoint} is of another run: {reason}") from error


def _is_whole(checkpoint: Path) -> bool:
    try:
        manifest = json.loads((checkpoint / MANIFEST_NAME).read_text(encoding="utf-8"))
        damaged = [n for n, d in manifest["sha256"].items() if digest(checkpoint / n) != d]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s is not a whole checkpoint and is left out: %s", checkpoint, error)
        return False
    if damaged:
        logger.warning("%s is left out: %s changed", checkpoint, ", ".join(damaged))
    return not damaged


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
