"""How a program of this project ends when something is wrong: one line and an exit status."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

USAGE_STATUS = 2
FAILURE_STATUS = 1


class UsageError(Exception):
    """The command line asks for something that cannot be; exit status 2."""


class _Terminated(BaseException):
    """SIGTERM came."""


def _raise_terminated(*_: object) -> None:
    raise _Terminated


def describe(error: BaseException) -> str:
    """Return one line that says what went wrong.

    Messages of this project's own ValueErrors and OSErrors stand for themselves; the type of any other
    error is named, since its message was not written for users.
    """
    message = " ".join(str(error).split("\n")[0].split())
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, UsageError | ValueError | OSError | ModuleNotFoundError) and message:
        return message
    return f"{type(error).__name__}: {message or 'no message'} (--debug shows where)"


def run_program(main: Callable[[], None], program: str, debug: bool) -> int:
    """Call ``main`` and return the exit status: 0, 2 for wrong usage, 1 for any other failure.

    A failure prints ``program: error: …`` on standard error; with ``debug`` it is raised instead.
    SIGTERM unwinds like Ctrl-C, so that half-written files are taken away.
    """
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        main()
    except _Terminated:
        print(f"{program}: terminated", file=sys.stderr)
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        print(f"{program}: error: {describe(error)}", file=sys.stderr, flush=True)
        return USAGE_STATUS if isinstance(error, UsageError) else FAILURE_STATUS
    return 0
