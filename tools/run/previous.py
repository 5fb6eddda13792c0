"""What a folder that runs write to needs: one run at a time, and a place for the earlier ones."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from model.files import make_folder, sync, writing

logger = logging.getLogger(__name__)

PREVIOUS, LOCK = "previous", ".lock"
# An earlier run is gathered here, in PREVIOUS, and gets its number by one rename when it is whole.
_GATHERED = ".moving"


@contextmanager
def hold(folder: Path) -> Iterator[int | None]:
    """Keep other runs from writing to ``folder`` for the block, which gets None where another one does.

    Else it gets the lock's descriptor. A process that is handed it holds the folder as well, and each hold
    ends with its process, however that ends. What a process forks does not hold it: a loader of batches
    notices only after seconds that the process it works for is gone.
    """
    lock, free = _take(folder)
    while free and not _is_at(lock, folder / LOCK):  # Its last holder removed it meanwhile.
        lock.close()
        lock, free = _take(folder)
    with lock:
        os.register_at_fork(after_in_child=lock.close)
        yield lock.fileno() if free else None


def _take(folder: Path) -> tuple[IO[str], bool]:
    """Open the lock's file, and try to lock it; returns it, and whether nobody else holds it."""
    try:
        with writing(folder):
            lock = (folder / LOCK).open("w")
    except PermissionError as error:
        raise PermissionError(f"{folder} cannot be written to: name another folder") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return lock, False
    except OSError as error:
        # Some network disks have no such call, and people know what they run.
        reason = error.strerror
        logger.warning("%s cannot be locked (%s): let no two runs write there", folder, reason)
    return lock, True


def _is_at(lock: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False


def is_held(folder: Path) -> bool:
    """Return whether a run holds a folder, as far as the system can tell; nothing is made or changed."""
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # There is no lock, or the disk has none.
        return False
    return False


def remove_lock(folder: Path) -> None:
    """Remove the lock's file of a folder, if nobody holds it."""
    with hold(folder) as lock:
        if lock is not None:
            (folder / LOCK).unlink()


def move_to_previous(folder: Path, entries: Sequence[Path]) -> Path:
    """Move ``entries`` of ``folder``, all that an earlier run left, to ``previous/<n>``; returns that.

    The caller holds the folder. Where a kill ends it, :func:`finish_moving` goes on.

    Raises:
        DiskError: the disk is full, or can only be read.
    """
    with writing(folder):
        gathered = make_folder(folder / PREVIOUS / _GATHERED)
        for entry in entries:
            entry.rename(gathered / entry.name)
        sync(gathered)
        sync(folder)
        number = 1
        while (previous := folder / PREVIOUS / str(number)).exists():
            number += 1
        gathered.rename(previous)
        sync(previous.parent)
    return previous


def is_half_moved(folder: Path) -> bool:
    """Return whether a kill ended :func:`move_to_previous`."""
    return (folder / PREVIOUS / _GATHERED).exists()


def finish_moving(folder: Path, entries: Sequence[Path]) -> Path:
    """Finish what a kill ended: move ``entries``, what is left of the run, after the rest of it.

    What has the name of something that is gathered already is of a later run and stays.
    """
    gathered = folder / PREVIOUS / _GATHERED
    of_later_run = any((gathered / entry.name).exists() for entry in entries)
    return move_to_previous(folder, [] if of_later_run else entries)
