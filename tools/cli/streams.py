"""The three standard streams of a program, there also where its caller has closed them."""

from __future__ import annotations

import os
import sys

from tools.cli.errors import ReaderGoneError
from tools.cli.visible import visible

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_closed_streams() -> None:
    """Have those of the standard streams that the caller closed (``>&-``) lead nowhere.

    Else the next file that is opened, a model's perhaps, would get the number of the closed one, and with
    it what libraries print. Call it before anything is opened.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def say(text: str, end: str = "\n") -> None:
    """Print a result of a command on standard output, at once; to a terminal without control characters.

    Raises:
        ReaderGoneError: nobody reads it any more.
        OSError: it cannot be written; names standard output.
    """
    try:
        print(visible(text) if sys.stdout.isatty() else text, end=end, flush=True)
    except OSError as error:
        # What is left in Python's buffer would fail again when the program ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError from error
        raise OSError(error.errno, error.strerror, "standard output") from error
