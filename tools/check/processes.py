"""The processes that a process started, and theirs (Linux)."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

# torchrun gives its processes half a minute to end by themselves.
_PATIENCE = 40.0
_POLL_SECONDS = 0.1


class _Stat(NamedTuple):
    """``started`` is in ticks since the machine's start: with it a process is told from a later one."""

    state: str
    parent: int
    started: int


def _stat(pid: int) -> _Stat | None:
    try:  # A process may end while it is looked at.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return _Stat(fields[0], int(fields[1]), int(fields[19]))


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        stat = _stat(int(folder.name))
        if stat is not None:
            children.setdefault(stat.parent, []).append(int(folder.name))
    found, queue = [], [pid]
    while queue:
        new = children.get(queue.pop(), [])
        found += new
        queue += new
    return found


def variable_of(pid: int, name: str) -> str:
    """Return a variable of a process's environment; nothing where it has none."""
    try:
        pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    found = dict(pair.partition(b"=")[::2] for pair in pairs)
    return found.get(name.encode(), b"").decode()


def end_all(*processes: subprocess.Popen, patience: float = _PATIENCE) -> None:
    """End processes and all that they started, whatever session they are in: first asked, then killed.

    Args:
        patience: the seconds that they have for each.
    """
    group = [pid for process in processes for pid in (process.pid, *descendants(process.pid))]
    known = {pid: stat.started for pid in group if (stat := _stat(pid)) is not None}

    def alive() -> list[int]:
        for process in processes:
            process.poll()
        return [
            pid
            for pid, started in known.items()
            if (stat := _stat(pid)) is not None and stat.started == started and stat.state != "Z"
        ]

    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in alive():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        until = time.monotonic() + patience
        while alive() and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
