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

RUN_FILE = "run.json"
PREDICTIONS = "predictions"
PAGE_FILE = "report.html"
PICTURE_FILE = "curves.png"


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
        """What the run is (``run.json``); empty where the file is missing or damaged."""
        try:
            found = json.loads((self.path / RUN_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

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
            suffix: of the dev file, where the task has several (``-mm``).

        Returns:
            the records of ``predictions/dev<suffix>.jsonl``; none where nothing was scored, or where the
            predictions of a test file called ``dev`` are in that place.
        """
        file = self.path / PREDICTIONS / f"dev{suffix}.jsonl"
        found = list(_objects(file)) if file.is_file() else []
        return [record for record in found if "label" in record]


def has_run(folder: Path) -> bool:
    """Return whether a run wrote to ``folder``."""
    return any((folder / name).is_file() for name in (RUN_FILE, METRICS_FILE))


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_bytes().split(b"\n"):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found
