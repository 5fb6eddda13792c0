"""Which trackers there are, and whether their packages are installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence

from callback.trackers.base import TrackedRun, Tracker

# Each is a module here, and a package of that name on PyPI.
TRACKER_NAMES = ("tensorboard", "trackio", "wandb", "mlflow")
NONE, ALL = "none", "all"


def is_installed(name: str) -> bool:
    """Return whether a tracker's package is there; it is not imported.

    A folder of that name, such as wandb leaves where it was run, is none.
    """
    found = importlib.util.find_spec(name)
    return found is not None and found.origin is not None


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """Return the trackers that ``names`` stand for: ``all`` for those that are installed."""
    if ALL in names:
        return tuple(name for name in TRACKER_NAMES if is_installed(name))
    return tuple(dict.fromkeys(name for name in names if name != NONE))


def load(name: str) -> Callable[[TrackedRun], Tracker]:
    """Return what opens a run in a tracker; this imports its package.

    Raises:
        Exception: what the package raises.
    """
    return importlib.import_module(f"{__package__}.{name}").open_run
