"""What the commands are called: by their files in a checkout, albert-train and the like installed."""

from __future__ import annotations

import re

from tools.cli.paths import INSTALLED

PACKAGE = "albert-pytorch-glue"
_TRAIN = "albert-train"
# What the texts of this project tell to type, and what it is to be once the project is installed.
_TYPED = (
    (r"python3? -m tools\.(\w+)", lambda match: script_of(match[1])),
    (
        r"torchrun --nproc_per_node (\d+) run_classifier\.py",
        lambda match: f"albert-launch --nproc {match[1]} -- {_TRAIN}",
    ),
    (r"(?<![\w/.])(?:python3? )?run_classifier\.py(?![\w:])", lambda match: _TRAIN),
    (
        r"-r requirements-(\w+)\.txt(?: -c constraints\.txt)?",
        lambda match: f'"{PACKAGE}[{match[1]}]"',
    ),
    (r"-r requirements\.txt(?: -c constraints\.txt)?", lambda match: PACKAGE),
)


def script_of(module: str) -> str:
    """Return the console script of a command of tools/: ``check_data`` → ``albert-check-data``."""
    return "albert-" + module.replace("_", "-")


def program_name(name: str) -> str:
    """Return what a program calls itself in its messages.

    Args:
        name: what it does in a checkout: run_classifier.py, or the name of a command in tools/.
    """
    if not INSTALLED:
        return name
    return _TRAIN if name == "run_classifier.py" else script_of(name)


def as_typed(text: str) -> str:
    """Return ``text`` with the commands in it as they are to be typed here."""
    if INSTALLED:
        for pattern, said in _TYPED:
            text = re.sub(pattern, said, text)
    return text
