"""What a run left in its output folder, read back: its flags and figures, its records, its predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from callback.history import METRICS_FILE, read_records
from tools.cli.errors import UsageError
from tools.results.numbers import is_number

RUN_FILE = "run.json"
PREDICTIONS = "predictions"
PAGE_FILE = "report.html"
PICTURE_FILE = "curves.png"
# What run.json has under these names is of these kinds, or damaged.
_OBJECTS = (
    *("flags", "versions", "device", "task", "data", "data_check"),
    *("durations", "results", "baseline", "seeds"),
)
_OF_OBJECTS = ("data", "results")
_NUMBERS = (
    *("steps", "epochs", "best_step", "best_score", "exit_status"),
    *("peak_memory_bytes", "samples_per_second", "tokens_per_second", "fps"),
)
_TEXTS = ("status", "error", "started", "ended", "kept", "git_revision")


@dataclass(frozen=True)
class RunFolder:
    """An output folder of run_classifier.py.

    Args:
        path: the folder. It may be one of a run that is not through, or of one that kept less.
    """

    path: Path

    @classmethod
    def find(cls, path: Path) -> RunFolder:
        """Return the folder of a run.

        Raises:
            UsageError: ``path`` is no folder, or no run wrote to it.
        """
        if not path.is_dir():
            raise UsageError(f"{path} is no folder: name the --output_dir of a run")
        if not has_run(path):
            raise UsageError(
                f"{path} holds neither {RUN_FILE} nor {METRICS_FILE}, which a run writes: name the "
                "--output_dir of one"
            )
        return cls(path)

    @cached_property
    def run(self) -> dict[str, Any]:
        """What the run is (``run.json``), without what is damaged; empty where the file is missing."""
        try:
            found = json.loads((self.path / RUN_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {name: value for name, value in found.items() if _is_sound(name, value)}

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The records of ``metrics.jsonl`` in their order, but for damaged lines."""
        return list(read_records(self.path / METRICS_FILE))

    def of(self, event: str) -> list[dict[str, Any]]:
        """Return the records of an event (``step``, ``eval``, ``epoch``, ``training`` …)."""
        return [record for record in self.records if record["event"] == event]

    def dev_predictions(self, suffix: str = "") -> list[dict[str, Any]]:
        """Return what the model said of each example of the dev set, in their order.

        Args:
            suffix: of the dev file, where the task has several (``_mm``).

        Returns:
            the records of ``predictions/dev<suffix>.jsonl``; none where nothing was scored.
        """
        file = self.path / PREDICTIONS / f"dev{suffix}.jsonl"
        return list(_objects(file)) if file.is_file() else []


def has_run(folder: Path) -> bool:
    """Return whether a run wrote to ``folder``."""
    return any((folder / name).is_file() for name in (RUN_FILE, METRICS_FILE))


def is_record(folder: Path) -> bool:
    """Return whether ``run.json`` in ``folder`` is a run's, and no other program's."""
    return "format" in RunFolder(folder).run


def _is_sound(name: str, value: Any) -> bool:
    """Return whether an entry of ``run.json`` is of the kind that its readers take it for."""
    if name in _OBJECTS and not isinstance(value, dict):
        return False
    if name in _OF_OBJECTS:
        return all(isinstance(part, dict) for part in value.values())
    if name == "durations":
        return all(map(is_number, value.values()))
    if name == "task":
        return all(_are_texts(value.get(key)) for key in ("classes", "metrics"))
    if name in _NUMBERS:
        return value is None or is_number(value)
    return name not in _TEXTS or isinstance(value, str | None)


def _are_texts(value: Any) -> bool:
    return value is None or (
        isinstance(value, list) and all(isinstance(part, str) for part in value)
    )


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_bytes().split(b"\n"):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found
