"""The CPU cores of this machine. Needs nothing but Python."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
