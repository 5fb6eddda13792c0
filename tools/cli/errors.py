"""What can go wrong, and the one line that a user reads of it."""

from __future__ import annotations

import errno
import signal

from tools.cli.naming import as_typed
from tools.cli.visible import shortened, visible

USAGE_STATUS = 2
FAILURE_STATUS = 1
# What the system says here is no fault of the file that it says it of.
_TOO_MANY = {
    errno.EMFILE: "this process may open no more files: raise the limit (ulimit -n 4096)",
    errno.ENFILE: "this machine may open no more files: end other programs",
}


class UsageError(Exception):
    """The command line asks for something that cannot be; exit status 2."""


class StoppedError(Exception):
    """A signal asked for an end, and the run came to one in good order; says where it goes on.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class ReaderGoneError(Exception):
    """Who read the standard output has closed it, as ``head`` does when it has enough: no fault."""


class PeerError(Exception):
    """Another process of the run is gone; what went wrong is for that process to say."""


def ended_by(number: int) -> str:
    """Return the word for what SIGTERM or SIGINT ends."""
    return "interrupted" if number == signal.SIGINT else "terminated"


def first_line(error: BaseException) -> str:
    """Return the first line of another package's message that says anything, or what the error is."""
    return next(filter(None, map(str.strip, str(error).splitlines())), repr(error))


def error_line(error: BaseException) -> str:
    """Return one line that says what went wrong.

    Messages of this project's own errors, ValueErrors and OSErrors stand for themselves; the type of any
    other error is named, since its message was not written for users.
    """
    message = shortened(visible(" ".join(str(error).split("\n")[0].split())))
    if isinstance(error, OSError) and error.errno in _TOO_MANY:
        return f"{_place(error)}{_TOO_MANY[error.errno]}"
    if isinstance(error, OSError) and error.strerror:
        return f"{_place(error)}{error.strerror}"
    written_for_users = UsageError | PeerError | ValueError | OSError | ModuleNotFoundError
    if isinstance(error, written_for_users) and message:
        return as_typed(message)
    return f"{type(error).__name__}: {message or 'no message'} (--debug shows where)"


def _place(error: OSError) -> str:
    return f"{shortened(visible(str(error.filename)))}: " if error.filename else ""
