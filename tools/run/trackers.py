"""--report_to: which trackers get a run's records beside metrics.jsonl."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from callback.history import History
from callback.trackers.registry import ALL, NONE, TRACKER_NAMES, chosen, is_installed
from callback.trackers.reporter import Reporter
from tools.cli.errors import StoppedError, UsageError

logger = logging.getLogger(__name__)

# So long a run waits at its end for trackers to take what they were sent, and one that is stopped.
_END_SECONDS, _STOP_SECONDS = 60.0, 10.0


def tracker_names(text: str) -> tuple[str, ...]:
    """Parse the value of --report_to: names with commas between them, all, or none."""
    names = tuple(name.strip().lower() for name in text.split(","))
    for name in names:
        if name not in (*TRACKER_NAMES, ALL, NONE):
            raise argparse.ArgumentTypeError(
                f"{name!r} is not one of {', '.join(TRACKER_NAMES)}, {ALL}, {NONE}"
            )
    if len(names) > 1 and (ALL in names or NONE in names):
        raise argparse.ArgumentTypeError(f"{ALL} and {NONE} stand alone")
    return names


def check_trackers(names: Sequence[str]) -> None:
    """See that the packages of the trackers that a user named are there.

    Raises:
        UsageError: one is not; names the command that installs it.
    """
    missing = [name for name in chosen(names) if not is_installed(name)]
    if missing:
        what = "is not installed" if len(missing) == 1 else "are not installed"
        raise UsageError(
            f"--report_to: {', '.join(missing)} {what}: {sys.executable} -m pip install "
            f"{' '.join(missing)}"
        )


@contextmanager
def reporting(
    names: Sequence[str], folder: Path, flags: Callable[[], dict[str, Any]], history: History
) -> Iterator[None]:
    """Have trackers get what ``history`` records in the block, each from the first record on.

    At the block's end they have a minute to take the last of it.

    Args:
        names: of trackers, all, or none.
        folder: the output folder.
        flags: returns the run's flags, asked at the first record.
    """
    reporters = [Reporter(name, str(folder), folder, flags) for name in chosen(names)]
    if ALL in names and not reporters:
        logger.info("--report_to all: none of %s is installed", ", ".join(TRACKER_NAMES))
    history.sinks += reporters
    status, seconds = "finished", _END_SECONDS
    try:
        yield
    except Exception as error:
        status = "killed" if isinstance(error, StoppedError) else "failed"
        seconds = _STOP_SECONDS
        raise
    except BaseException:
        status, seconds = "killed", _STOP_SECONDS
        raise
    finally:
        for reporter in reporters:
            reporter.end(status)
        until = time.monotonic() + seconds
        for reporter in reporters:
            reporter.wait(until)
