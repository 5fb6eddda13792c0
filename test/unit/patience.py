"""A line now and then from tests that take long, with their names: one that hangs is among them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_QUIET_SECONDS, _LOOK_SECONDS = 10.0, 1.0


class Patience:
    """A plugin of pytest that says what runs, where no test has ended for a while.

    Args:
        write: shows a line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._began: dict[str, float] = {}
        self._last = time.monotonic()
        self._ended = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._began[nodeid] = time.monotonic()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._began.pop(nodeid, None)
        self._last = time.monotonic()

    def pytest_unconfigure(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            now = time.monotonic()
            if now - self._last < _QUIET_SECONDS:
                continue
            self._last = now
            running = [
                f"{nodeid.removeprefix('test/unit/')} ({now - began:.0f} s)"
                for nodeid, began in self._began.copy().items()
            ]
            self._write(f"  still at work: {', '.join(running) or 'the tests are gathered'}")
