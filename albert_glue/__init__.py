"""The project as an installed program: albert-train, albert-predict and its other commands.

In a wheel the packages (model, processors, callback, tools) and run_classifier.py are inside this one, and
clash with nobody's. They know each other by the names of a checkout, so a command puts this folder first
among the places where its own process looks for modules. It is a program: nothing here is made to
be imported by others.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    """Run the command that the script is called after: ``albert-check-data`` is ``tools.check_data``."""
    folder = Path(__file__).resolve().parent
    if not (
        folder / "run_classifier.py"
    ).is_file():  # `pip install -e .` leaves it in the checkout.
        folder = folder.parent
    sys.path.insert(0, str(folder))
    name = Path(sys.argv[0]).stem.removeprefix("albert-").replace("-", "_")
    if name == "train":
        program = importlib.import_module("run_classifier")
        program.end_program(program.run_program(sys.argv[1:]))
    sys.exit(importlib.import_module(f"tools.{name}").main(sys.argv[1:]))
