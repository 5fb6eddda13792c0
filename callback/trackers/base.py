"""What a tracker is told of a run, and what it is asked to do with it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Runs are gathered under this name where their user's environment names no project.
PROJECT = "albert-pytorch-glue"
# A folder below the output folder: of each tracker what it calls the run, and what it said.
TRACKERS = "trackers"
# Another one, where TensorBoard finds its files.
TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class Point:
    """Numbers of a step by their names (``train/loss``); ``time`` is in seconds since the epoch."""

    step: int
    time: float
    values: dict[str, float]


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers know it.

    Attributes:
        name: what people read.
        folder: the output folder.
        flags: the command line's, with their defaults; JSON values.
        id: under which the tracker has the run already; None for a run that is new to it.
    """

    name: str
    folder: Path
    flags: dict[str, Any]
    id: str | None = None

    @property
    def files(self) -> Path:
        """The folder for what a tracker keeps on this machine."""
        return self.folder / TRACKERS

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """The flags as words and numbers, for trackers that know nothing else; without those not given."""
        known = {name: value for name, value in self.flags.items() if value is not None}
        return {
            name: value if isinstance(value, str | int | float) else _as_text(value)
            for name, value in known.items()
        }


def without_secrets(address: str) -> str:
    """Return an address for the log: without a user's name and password, or a token behind its ``?``."""
    return re.sub(r"//[^/]*@", "//", address.partition("?")[0])


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items())
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


class Tracker(ABC):
    """A place where people look at their runs.

    Each call may take long, and raise whatever the tracker's package does: it is in a process of its own
    (:mod:`callback.trackers.child`).

    Args:
        run: it is opened, or gone on with where it has an id.

    Attributes:
        id: under which the tracker finds the run again; None where it needs none.
        place: the address or folder that a person opens.
    """

    id: str | None = None
    place: str

    @abstractmethod
    def __init__(self, run: TrackedRun) -> None: ...

    @abstractmethod
    def write(self, points: Sequence[Point]) -> None:
        """Take the points, which come in the order of their steps, but for those of a run's end."""

    @abstractmethod
    def close(self, status: str) -> None:
        """Return when everything is where it belongs; ``status`` is finished, failed or killed."""
