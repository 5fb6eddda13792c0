"""What a folder that runs write to needs: one run at a time, and a place for the earlier ones."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREVIOUS = "previous"


@contextmanager
def hold(folder: Path) -> Iterator[int | None]:
    """Keep other runs from writing to ``folder`` for the block, which gets None where another one does.

    Else it gets the lock's descriptor. A process that is handed it holds the folder as well, and each hold
    ends with its process, however that ends.
    """
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            free = False
        else:
            free = True
        yield lock.fileno() if free else None


def next_previous(folder: Path) -> Path:
    """Make and return the folder that an earlier run in ``folder`` moves to: ``previous/<n>``."""
    number = 1
    while (folder / PREVIOUS / str(number)).exists():
        number += 1
    (folder / PREVIOUS / str(number)).mkdir(parents=True)
    return folder / PREVIOUS / str(number)
