"""The programs that a part starts: each a process of its own, and none outlives the part's time."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf
from pathlib import Path

from tools.check.outcome import StepFailure
from tools.check.processes import end_all
from tools.check.programs import last_line
from tools.cli.paths import ROOT

# So long a program may take to print what it has, and then to be killed.
_PATIENCE = 5.0
_STREAMS = ("out", "err")


@dataclass(frozen=True)
class Ended:
    """What came of a program; ``reason`` says why it failed, and is empty where it did not."""

    output: str
    errors: str
    reason: str

    def check(self) -> Ended:
        """Return this.

        Raises:
            StepFailure: the program failed.
        """
        if self.reason:
            raise StepFailure(self.reason)
        return self


class Programs:
    """Starts programs and keeps what they print in ``folder``.

    Args:
        seconds: after so many, counted from here, whatever runs is ended.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._until = time.monotonic() + seconds
        folder.mkdir(parents=True, exist_ok=True)
        self._names: list[str] = []

    def run(
        self, name: str, words: Sequence[object], at_most: float = inf, **variables: str
    ) -> Ended:
        """Run one program to its end.

        Args:
            name: of the files that get what it prints.
            at_most: so many seconds, if the part has as many left.
            variables: of its environment, beside this process's own.
        """
        return self.run_together({name: words}, at_most, **variables)[name]

    def run_together(
        self, programs: Mapping[str, Sequence[object]], at_most: float = inf, **variables: str
    ) -> dict[str, Ended]:
        """Run programs, by name, at the same time to their ends."""
        until = min(self._until, time.monotonic() + at_most)
        self._names += programs
        processes: dict[str, subprocess.Popen] = {}
        with ExitStack() as files:
            try:
                for name, words in programs.items():
                    output, errors = (
                        files.enter_context(file.open("w", encoding="utf-8"))
                        for file in self._files(name)
                    )
                    processes[name] = subprocess.Popen(
                        [str(word) for word in words],
                        cwd=ROOT,
                        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | variables,
                        start_new_session=True,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=errors,
                    )
                statuses = {name: self._wait(process, until) for name, process in processes.items()}
            finally:
                end_all(*processes.values(), patience=_PATIENCE)
        return {name: self._ended(name, status) for name, status in statuses.items()}

    def last_words(self, lines: int) -> Iterator[str]:
        """Yield the last lines of what each program printed, with a line before them that names it."""
        for name in self._names:
            for file in self._files(name):
                text = file.read_text(encoding="utf-8", errors="replace")
                if text.strip():
                    yield f"--- {file.name}"
                    yield from text.splitlines()[-lines:]

    def _files(self, name: str) -> list[Path]:
        return [self._folder / f"{name}.{stream}.txt" for stream in _STREAMS]

    @staticmethod
    def _wait(process: subprocess.Popen, until: float) -> int | None:
        try:
            return process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None

    def _ended(self, name: str, status: int | None) -> Ended:
        output, errors = (
            file.read_text(encoding="utf-8", errors="replace") for file in self._files(name)
        )
        reason = ""
        if status is None:
            reason = f"{name} had not ended when its time was up"
        elif status:
            said = last_line(errors if errors.strip() else output)
            reason = f"{name} ended with status {status}: {said}"
        return Ended(output, errors, reason)
