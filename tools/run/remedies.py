"""The one command that gets all that a run lacks. Needs nothing but Python."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from tools.cli.naming import script_of
from tools.cli.paths import DEFAULT_MODEL, HOME, INSTALLED, ROOT

PUBLISHED_MODEL = Path(DEFAULT_MODEL).name


def download_command(
    assets: Sequence[str], data_path: Path | None = None, model_path: Path | None = None
) -> str:
    """Return the command line that fetches ``assets``, to be typed where the user is now.

    Args:
        data_path: the folder of the tasks' folders, if a task is among them.
        model_path: the folder of the models' folders, if a model is.
    """
    words = ["python", "-m", "tools.download"]
    if INSTALLED:
        words = [script_of("download")]
    elif Path.cwd() != ROOT:  # There is no module of that name.
        words = ["python", str(ROOT / "tools" / "download.py")]
    words += assets
    for flag, folder, default in (
        ("--data_path", data_path, HOME / "dataset"),
        ("--model_path", model_path, HOME / "prev_trained_model"),
    ):
        if folder is not None and folder.absolute() != default.absolute():
            words += [flag, short(folder)]
    return shlex.join(words)


def short(path: Path) -> str:
    """Return a path as it is seen from where the user is, if it is below that."""
    path = Path(os.path.normpath(path.absolute()))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them: ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
