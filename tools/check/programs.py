"""What a step starts as its user would, and what it reads in what that prints."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.check.outcome import StepFailure
from tools.cli.paths import ROOT


def run_program(words: Sequence[object], log: Path, **variables: str) -> str:
    """Run a program to its end, add what it prints to ``log``, and return that.

    Raises:
        StepFailure: it fails; with its last line.
    """
    result = subprocess.run(
        [str(word) for word in words],
        cwd=ROOT,
        env=os.environ | variables,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with log.open("a", encoding="utf-8") as file:
        file.write(result.stdout)
    if result.returncode:
        raise StepFailure(f"status {result.returncode}: {last_line(result.stdout)}")
    return result.stdout


def last_line(text: str) -> str:
    """Return the last line that tells of an error, or else the last line."""
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error: " in line]
    return (errors or lines or ["it printed nothing"])[-1]


def speed_in(log: str, name: str = " FPS = ") -> float:
    """Return the last samples per second that stand behind ``name``.

    Raises:
        StepFailure: there are none.
    """
    found = re.findall(rf"{re.escape(name)}([0-9.]+)", log)
    if not found:
        raise StepFailure(f"there is no{name.rstrip(' =:')} in its log")
    return float(found[-1])
