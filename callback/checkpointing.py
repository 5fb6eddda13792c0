"""Checkpoints of a training run: written whole or not at all, found, and loaded."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
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
MODEL_FILES = (CONFIG_NAME, *WEIGHTS_NAMES, *TOKENIZER_FILES)


class Stateful(Protocol):
    """Anything whose state goes into a checkpoint."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Settings:
    """The flags that a run must be resumed with unchanged, as a part of its checkpoints."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def state_dict(self) -> dict[str, Any]:
        """Return the settings."""
        return self._values

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Check that a checkpoint's settings are these.

        Raises:
            ValueError: they are not; names the first that differs.
        """
        for name, value in self._values.items():
            if state.get(name) != value:
                raise ValueError(f"{name} was {state.get(name)} there and is {value} now")


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


def save_checkpoint(
    output_dir: Path,
    step: int,
    model: AlbertForSequenceClassification,
    tokenizer: AlbertTokenizer,
    parts: Mapping[str, Stateful],
) -> Path:
    """Write ``output_dir/checkpoint-<step>``: an ALBERT folder with the state of ``parts``.

    It is written under another name, synced to disk, given a manifest and renamed, so a folder of that
    name is whole. Returns its path.
    """
    target = output_dir / f"checkpoint-{step}"
    with temporary_folder(output_dir) as folder:
        save_model(model, folder)
        save_tokenizer(tokenizer, folder)
        state = {name: part.state_dict() for name, part in parts.items()}
        torch.save({"step": step, "parts": state}, folder / STATE_NAME)
        digests = {file.name: digest(file) for file in sorted(folder.iterdir())}
        manifest = json.dumps({"step": step, "sha256": digests}, indent=2) + "\n"
        (folder / MANIFEST_NAME).write_text(manifest, encoding="utf-8")
        for file in (*folder.iterdir(), folder):
            _sync(file)
        if target.exists():
            shutil.rmtree(target)  # only a damaged one can be there: steps do not repeat
        folder.rename(target)
        _sync(output_dir)
    return target


def find_checkpoints(output_dir: Path) -> list[Path]:
    """Return the checkpoints in ``output_dir``, the earliest first; damaged ones are left out."""
    found = []
    for entry in output_dir.iterdir() if output_dir.is_dir() else ():
        match = CHECKPOINT_NAME.fullmatch(entry.name)
        if match and _is_whole(entry):
            found.append((int(match[1]), entry))
    return [entry for _, entry in sorted(found)]


def load_training_state(checkpoint: Path, parts: Mapping[str, Stateful]) -> int:
    """Give ``parts`` their state back and return the number of steps done.

    Raises:
        ValueError: the checkpoint's parts are not these.
    """
    saved = torch.load(checkpoint / STATE_NAME, map_location="cpu", weights_only=True)
    try:
        for name, part in parts.items():
            part.load_state_dict(saved["parts"][name])
    except (KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{checkpoint} is of another run: {reason}") from error
    return saved["step"]


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
