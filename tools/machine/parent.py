"""A process that a launcher starts ends when the launcher is gone, however that ended.

A launcher says who it is by a variable of the environment of the processes that it starts. A process that
no launcher of this project started, say by nohup or by a user's own torchrun, watches nobody.
Needs nothing but Python.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import MutableMapping
from contextlib import suppress
from functools import partial

_VARIABLE = "ALBERT_LAUNCHER"
_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.5


def name_launcher(lock: int | None = None) -> dict[str, str]:
    """Return the variable with which this process, as a launcher, is to start others.

    Args:
        lock: a descriptor that is passed to them, and which they alone are to keep, not what they fork.
    """
    return {_VARIABLE: f"{os.getpid()}" + ("" if lock is None else f" {lock}")}


def follow_launcher(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have SIGTERM come to this process when the launcher that started it is gone, and at once if it is.

    The variable is taken out of the environment: what this process starts is its own business. What it
    forks leaves a lock that the launcher passed to it to this process.
    """
    numbers = [int(word) for word in environment.pop(_VARIABLE, "").split() if word.isdecimal()]
    if not numbers:
        return
    launcher, *locks = numbers
    for lock in locks:
        os.register_at_fork(after_in_child=partial(_close, lock))
    is_child = os.getppid() == launcher
    if is_child and _ask_kernel():
        if os.getppid() != launcher:  # It ended before the kernel was asked.
            os.kill(os.getpid(), signal.SIGTERM)
    else:
        threading.Thread(target=_wait_for_end, args=(launcher, is_child), daemon=True).start()


def _close(descriptor: int) -> None:
    with suppress(OSError):  # A fork of a fork has it closed already.
        os.close(descriptor)


def _ask_kernel() -> bool:
    """Have the kernel send SIGTERM when this process's parent ends; return whether it will (Linux)."""
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return False
    return prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) == 0


def _wait_for_end(launcher: int, is_child: bool) -> None:
    while _is_there(launcher, is_child):
        time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _is_there(launcher: int, is_child: bool) -> bool:
    if is_child:  # Another process may have the number by now, but is not the parent.
        return os.getppid() == launcher
    try:
        os.kill(launcher, 0)
    except OSError:
        return False
    return True
