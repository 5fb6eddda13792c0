"""The best model of a training so far: in a folder of its own until it takes the last one's place."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from callback.checkpointing import (
    MANIFEST_NAME,
    is_whole,
    place_model,
    save_with_vocabulary,
    write_manifest,
)
from model.files import remove_folder, sync, temporary_folder, writing
from model.json_files import read_json_object
from model.modeling_albert import AlbertForSequenceClassification
from model.tokenizer import Tokenizer

_NAME = re.compile(r"best-(\d+)")


@dataclass(frozen=True)
class Scored:
    """A model by the step after which it was as it is, and its score: the more the better."""

    step: int
    score: float

    def is_better_than(self, other: Scored | None) -> bool:
        """Return whether this one is to be kept of the two; of equal ones the other is, the earlier."""
        return math.isfinite(self.score) and (other is None or self.score > other.score)


def save_best(
    output_dir: Path,
    model: AlbertForSequenceClassification,
    tokenizer: Tokenizer,
    layout: str,
    scored: Scored,
) -> None:
    """Write ``output_dir/best-<step>``, and then delete the one before: at any time one is whole.

    Raises:
        DiskError: the disk is full; the one before is as it was.
    """
    target = output_dir / f"best-{scored.step}"
    with temporary_folder(output_dir) as folder:
        save_with_vocabulary(model, tokenizer, folder, layout)
        write_manifest(folder, {"step": scored.step, "score": scored.score})
        for file in (*folder.iterdir(), folder):
            sync(file)
        if is_best(target):  # It is damaged, or of a step that was taken again.
            remove_folder(target)
        folder.rename(target)
        sync(output_dir)
    drop_best(output_dir, but=scored)


def find_best(output_dir: Path) -> Scored | None:
    """Return what the best whole model is that :func:`save_best` left; None where there is none."""
    found = None
    for folder in sorted(_folders(output_dir), key=_step):
        if not is_whole(folder):
            continue
        score = read_json_object(folder / MANIFEST_NAME, "list of a model's files").get("score")
        if isinstance(score, int | float):
            scored = Scored(_step(folder), float(score))
            found = scored if scored.is_better_than(found) else found
    return found


def _folders(output_dir: Path) -> list[Path]:
    entries = output_dir.iterdir() if output_dir.is_dir() else ()
    return [entry for entry in entries if is_best(entry)]


def _step(folder: Path) -> int:
    return int(_NAME.fullmatch(folder.name)[1])


def is_best(folder: Path) -> bool:
    """Return whether a folder is what :func:`save_best` writes, and not somebody's own of such a name."""
    return _NAME.fullmatch(folder.name) is not None and (folder / MANIFEST_NAME).is_file()


def take_best(output_dir: Path, scored: Scored) -> None:
    """Have a model that :func:`save_best` left take the place of the trained one, to the last bit.

    Raises:
        DiskError: the disk is full.
    """
    with temporary_folder(output_dir) as folder:
        for file in (output_dir / f"best-{scored.step}").iterdir():
            if file.name != MANIFEST_NAME:
                shutil.copyfile(file, folder / file.name)
        place_model(folder, output_dir)


def drop_best(output_dir: Path, but: Scored | None = None) -> None:
    """Delete what :func:`save_best` left, but for one."""
    with writing(output_dir):
        for folder in _folders(output_dir):
            if but is None or _step(folder) != but.step:
                remove_folder(folder)
