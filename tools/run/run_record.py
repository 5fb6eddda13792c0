"""run.json: what a run is, what it came to, and how it ended; whole at any time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from model.files import write_whole
from tools.cli.program import how_it_ended
from tools.results.run_folder import RUN_FILE, RunFolder

FORMAT = 1
# What the record of a run that goes on takes over from the one before, where it says nothing itself.
_STARTED, _DURATIONS, _RESULTS, _FLAGS = "started", "durations", "results", "flags"


class RunRecord:
    """Collects what is to be known of a run, and writes it to its output folder.

    Nothing is written before :meth:`begin`: of a run that ends before it has begun, nothing stays.

    Args:
        folder: the output folder; None for a process that keeps no record, where all of this does nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._values: dict[str, Any] = {}
        self._before: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        # What is being timed, the outermost first: since when, and how much was timed before it.
        self._open: list[tuple[str, float, float]] = []
        self._began = time.perf_counter()
        self._has_begun = self._is_written = self._is_guest = False
        self._now = _now()

    @property
    def is_kept(self) -> bool:
        """Whether this process keeps the record."""
        return self._folder is not None

    @property
    def values(self) -> Mapping[str, Any]:
        """What is recorded by now, by its name."""
        return self._values

    def begin(self, facts: Mapping[str, Any], resumes: bool = False, trains: bool = True) -> None:
        """Begin the record with what the run is.

        A training is written down at once; one that ``resumes`` keeps what the run before recorded and is
        still true: when the training started, and the time that it took. A run that does not train adds
        its results to the record of the training whose model it scores, and changes nothing else there; of
        another model's results, nothing stays.
        """
        if self._folder is None:
            return
        earlier = RunFolder(self._folder).run
        self._has_begun = True
        of_same_model = _model_of(earlier) == _model_of(facts)
        if not trains and earlier.get(_FLAGS, {}).get("do_train"):
            self._values, self._is_guest = earlier, True
            return
        added = self._values
        self._values = {
            "format": FORMAT,
            "status": "running",
            "exit_status": None,
            "error": None,
            _STARTED: self._now,
            "ended": None,
            "steps": 0,
            "epochs": 0.0,
            "best_step": None,
            "best_score": None,
            "kept": None,
        }
        if resumes:
            kept = (_STARTED, "data", "baseline", "best_step", "best_score", "kept", *_OF_TRAINING)
            self._values |= {name: earlier[name] for name in kept if name in earlier}
            before = earlier.get(_DURATIONS)
            self._before = before if isinstance(before, dict) else {}
        elif not trains and of_same_model:
            self._values |= {n: earlier[n] for n in (_RESULTS, "baseline") if n in earlier}
        for name, value in {**facts, **added}.items():
            self.add(name, value)
        if trains:
            self.save()

    def add(self, key: str, value: Any) -> None:
        """Record ``value`` under ``key``; the parts of a mapping stand beside those that are there."""
        if self._folder is None or (self._is_guest and key != _RESULTS):
            return
        there = self._values.get(key)
        both = isinstance(there, dict) and isinstance(value, Mapping)
        self._values[key] = {**there, **value} if both else value

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Count the time that the block takes among the durations, but for what is timed within."""
        self._open.append((what, time.perf_counter(), sum(self._seconds.values())))
        try:
            yield
        finally:
            self._count(self._seconds, *self._open.pop())

    @staticmethod
    def _count(seconds: dict[str, float], what: str, began: float, before: float) -> None:
        inner = sum(seconds.values()) - before
        seconds[what] = seconds.get(what, 0.0) + time.perf_counter() - began - inner

    def save(self) -> None:
        """Write the record, if the run has begun.

        Raises:
            DiskError: the disk is full.
        """
        if self._folder is None or not self._has_begun:
            return
        if not self._is_guest:
            timed = dict(self._seconds)
            for block in reversed(self._open):  # A kill would lose what they took so far.
                self._count(timed, *block)
            seconds = {"total": time.perf_counter() - self._began, **timed}
            names = dict.fromkeys(("total", "training", "evaluation"), 0.0) | self._before | seconds
            self._values[_DURATIONS] = {
                name: round(self._before.get(name, 0.0) + seconds.get(name, 0.0), 3)
                for name in names
            }
        text = json.dumps(_plain(self._values), indent=2, ensure_ascii=False)
        write_whole(self._folder / RUN_FILE, text + "\n")
        self._is_written = True

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Record how the block ends, if the run has begun in it. An error leaves no first record."""
        try:
            yield
        except BaseException as error:
            status, line = how_it_ended(error)
            if self._is_written:
                self._end("stopped" if status > 128 else "failed", status, line)
                with suppress(OSError):  # The disk may be what is full.
                    self.save()
            raise
        self._end("finished", 0, None)
        self.save()

    def _end(self, status: str, exit_status: int, error: str | None) -> None:
        for name, value in (
            ("status", status),
            ("exit_status", exit_status),
            ("error", error),
            ("ended", _now()),
        ):
            self.add(name, value)


# A run that goes on has its own, once it trains.
_OF_TRAINING = (
    "steps",
    "epochs",
    "peak_memory_bytes",
    "samples_per_second",
    "tokens_per_second",
    "fps",
)


def _model_of(record: Mapping[str, Any]) -> str:
    flags = record.get(_FLAGS)
    return str(flags.get("model_name_or_path")) if isinstance(flags, Mapping) else ""


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON has it, which knows no number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
