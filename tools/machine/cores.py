"""The CPU cores of this machine. Needs nothing but Python."""

from __future__ import annotations

import os

from tools.cli.errors import UsageError


def usable_cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def check_workers(workers: int) -> None:
    """See that each of the processes that build batches has a core.

    Raises:
        UsageError: there are more of them.
    """
    cores = usable_cores()
    if workers > cores:
        raise UsageError(
            f"--workers={workers}, but there are {cores} cores for them: --workers={cores} or fewer; the "
            "training process itself (--workers=0) is fast enough"
        )
