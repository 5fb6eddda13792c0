"""How a command starts, and how it ends when something is wrong: one line and an exit status."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tools.cli.errors import (
    FAILURE_STATUS,
    USAGE_STATUS,
    PeerError,
    ReaderGoneError,
    StoppedError,
    UsageError,
    ended_by,
    error_line,
)
from tools.cli.log import FILE_ONLY
from tools.cli.parser import Parser
from tools.cli.streams import open_closed_streams

# A process that SIGTERM finds in foreign code (a collective that never returns) may take so long.
_STUCK_SECONDS = 5.0

logger = logging.getLogger(__name__)


class _Terminated(BaseException):
    """SIGTERM came; says where it found this process."""


def _raise_once(number: int, frame: FrameType | None) -> None:
    """Unwind this process; a second signal must not tear what unwinds, and says no more than the first.

    The exception says which place in the code the signal found: where the process hung, if it did.
    """
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, signal.SIG_IGN)
    kind = KeyboardInterrupt if number == signal.SIGINT else _Terminated
    code = frame.f_code if frame else None
    raise kind(f"{code.co_filename}:{frame.f_lineno} in {code.co_name}" if code else "its end")


def run_command(
    parser: Parser,
    main: Callable[[Any], int | None],
    words: Sequence[str],
    rank_of: Callable[[Any], int | None] = lambda flags: None,
) -> int:
    """Parse ``words``, call ``main`` with what ``parser`` makes of them, return the exit status.

    Args:
        rank_of: returns, for what the parser made, this process's rank among several; None where it is
            alone. A :class:`UsageError` of it is one of the command line, which every process says.
    """
    open_closed_streams()
    flags, debug = parser.parse(words)
    try:
        rank = rank_of(flags)
    except UsageError as error:
        parser.error(str(error))
    return run_program(lambda: main(flags), parser.prog, debug, rank)


def run_program(
    main: Callable[[], int | None], program: str, debug: bool, rank: int | None = None
) -> int:
    """Call ``main`` and return the exit status: its own or 0, 2 for wrong usage, 1 for a failure.

    A failure prints ``program: error: …`` on standard error; with ``debug`` it is raised instead.
    SIGTERM unwinds like Ctrl-C, so that half-written files are taken away. One process of several
    (``rank``) writes the line to its log and to torchrun's error file too, names its rank, and where
    there is such a file leaves to rank 0 what all of them find.
    """
    signal.signal(signal.SIGTERM, _raise_once)
    # A script's processes in the background are to ignore Ctrl-C.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _raise_once)
    if rank is not None:
        _end_though_stuck()
    try:
        return main() or 0
    except ReaderGoneError:
        return 128 + signal.SIGPIPE  # As of any program that a pipe ends, and as quietly.
    except (_Terminated, KeyboardInterrupt, StoppedError) as error:
        status, end = how_it_ended(error)
        if not isinstance(error, StoppedError):
            _note(f"{end} at {error}")
        line, loud = f"{program}: {end}", not rank
    except Exception as error:
        if debug and rank is None:
            raise
        if debug:
            traceback.print_exc()
        status, end = how_it_ended(error)
        place = "" if rank is None else f"rank {rank}: "
        line = f"{program}: error: {place}{end}"
        told = _tell_torchrun(line)
        loud = not isinstance(error, PeerError) and not (rank and told and status == USAGE_STATUS)
    _note(line)
    if loud:
        print(line, file=sys.stderr, flush=True)
    return status


def how_it_ended(error: BaseException) -> tuple[int, str]:
    """Return the exit status of a program that ``error`` ends, and the words for that end."""
    if isinstance(error, _Terminated | KeyboardInterrupt):
        number = signal.SIGTERM if isinstance(error, _Terminated) else signal.SIGINT
        return 128 + number, ended_by(number)
    if isinstance(error, StoppedError):
        return 128 + error.number, str(error)
    if isinstance(error, ReaderGoneError):
        return 128 + signal.SIGPIPE, "nobody reads the output any more"
    status = USAGE_STATUS if isinstance(error, UsageError) else FAILURE_STATUS
    return status, error_line(error)


def end_program(status: int) -> NoReturn:
    """End this process with ``status``; one process of several at once, without Python's own end.

    So no collective that waits for it keeps a failed one alive. And torch's threads may outlive Python's
    end, and abort what went well: one process in a hundred, with torch 2.13 and gloo.
    """
    if _rank() is not None:
        _exit_now(status)
    sys.exit(status)


def _rank() -> int | None:
    """Return this process's rank among several, as torchrun's variables have it."""
    world_size, rank = os.environ.get("WORLD_SIZE", "1"), os.environ.get("RANK", "0")
    return int(rank) if world_size != "1" and rank.isdigit() else None


def _note(line: str) -> None:
    if logger.hasHandlers():  # Without any, Python itself would print the line.
        logger.error(line, extra={FILE_ONLY: True})


def _tell_torchrun(line: str) -> bool:
    """Write the line where torchrun, or who uses it, looks for it; return whether somebody does."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not file:
        return False
    record = {"message": line, "timestamp": str(int(time.time()))}
    try:
        Path(file).write_text(json.dumps(record), encoding="utf-8")
    except OSError:  # Its disk may be full, which must not hide the line.
        return False
    return True


def _end_though_stuck() -> None:
    """Have SIGTERM and Ctrl-C end this process also in a collective, where no Python handler runs."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def wait() -> None:
        number = 0
        while number not in (signal.SIGTERM, signal.SIGINT):
            number = os.read(reading, 1)[0]
        time.sleep(_STUCK_SECONDS)
        _exit_now(128 + number)

    threading.Thread(target=wait, name="sigterm", daemon=True).start()


def _exit_now(status: int) -> NoReturn:
    """End without the clean-up of libraries, which waits for processes that may be gone."""
    logging.shutdown()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # Whoever read it is gone, or the disk is full.
        status = status or FAILURE_STATUS
    os._exit(status)
