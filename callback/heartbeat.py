"""A line now and then from what takes long: a log with nothing new looks like a hung program."""

from __future__ import annotations

import logging
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

# Readers of a log lose patience after 15 s.
QUIET_SECONDS = 10.0
# Where something else is at work in between, it is for that to say so first.
OUTER_QUIET_SECONDS = 13.0
_LOOK_SECONDS = 1.0


class Heartbeat:
    """Has something said whenever the log had no line for a while, whoever wrote the last one.

    Args:
        say: logs a line; a method, whose object ends the heartbeat when it is gone.
        quiet: for how many seconds the log must have been silent.
        clock: returns seconds that only grow.
        watches_log: False for a program whose warnings nobody handles but Python itself.
    """

    def __init__(
        self,
        say: Callable[[], None],
        quiet: float,
        clock: Callable[[], float] = time.monotonic,
        watches_log: bool = True,
    ) -> None:
        self._watches_log = watches_log
        self._say = weakref.WeakMethod(say)
        self._quiet, self._clock = quiet, clock
        self._log = _LastLine(clock)
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin to count the seconds."""
        if self._watches_log:
            logging.root.addHandler(self._log)
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """Say nothing more."""
        self._ended.set()
        logging.root.removeHandler(self._log)

    def look(self) -> None:
        """Have the line said, if the log has been silent for long enough."""
        say = self._say()
        if say is None:
            self.stop()
        elif self._clock() - self._log.at >= self._quiet:
            say()
            self._log.at = self._clock()  # Also where nobody shows lines of that level.

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self.look()


class _LastLine(logging.Handler):
    """Knows when the log had its last line; ``at`` is the time of its clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(logging.INFO)
        self._clock = clock
        self.at = clock()

    def emit(self, record: logging.LogRecord) -> None:
        self.at = self._clock()


class _Work:
    def __init__(self, what: str, clock: Callable[[], float], is_logged: bool) -> None:
        self._what, self._clock, self._began = what, clock, clock()
        self._is_logged = is_logged

    def say(self) -> None:
        line = f"still {self._what}, {self._clock() - self._began:.0f} s so far"
        if self._is_logged:
            logger.info("%s", line)
        else:
            print(line, file=sys.stderr, flush=True)


@contextmanager
def still(
    what: str,
    enabled: bool = True,
    clock: Callable[[], float] = time.monotonic,
    is_logged: bool = True,
) -> Iterator[Heartbeat]:
    """Say every now and then that the block is not through: ``still reading a.tsv, 20 s so far``.

    Args:
        what: is being done.
        enabled: False for all processes but the first.
        is_logged: False for a program without a log, which prints it on standard error.
    """
    work = _Work(what, clock, is_logged)
    heartbeat = Heartbeat(work.say, QUIET_SECONDS, clock, watches_log=is_logged)
    if enabled:
        heartbeat.start()
    try:
        yield heartbeat
    finally:
        heartbeat.stop()


class Counter:
    """How many of ``total`` things (``what``) are ``done``."""

    def __init__(self, total: int, what: str) -> None:
        self.done = 0
        self._total, self._what = total, what

    def say(self) -> None:
        """Print it on standard error."""
        print(f"{self.done} of {self._total} {self._what} so far", file=sys.stderr, flush=True)


@contextmanager
def counting(total: int, what: str, enabled: bool = True) -> Iterator[Counter]:
    """Print now and then how far the block is, which is to count: ``4096 of 70000 inputs so far``."""
    counter = Counter(total, what)
    heartbeat = Heartbeat(counter.say, QUIET_SECONDS, watches_log=False)
    if enabled:
        heartbeat.start()
    try:
        yield counter
    finally:
        heartbeat.stop()
