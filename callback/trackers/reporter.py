"""How a run's records reach a tracker, which can neither hold the run up nor end it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any

from callback.history import METRICS_FILE, Record
from callback.trackers.base import TRACKERS

logger = logging.getLogger(__name__)

# So many records may wait for a tracker: some tens of megabytes.
_MOST_WAITING = 100_000
# Who waits longer than this at the end is told so.
_SILENT_SECONDS = 2.0
# A process whose tracker has all may take so long to end.
_EXIT_SECONDS = 5.0


class Reporter:
    """Takes records and hands them to a tracker, which is in a process of its own from the first one on.

    Nothing here raises or blocks: where something goes wrong, or the tracker falls too far behind, one
    warning says so, and the tracker gets nothing more.

    Args:
        tracker: one of :data:`callback.trackers.registry.TRACKER_NAMES`.
        name: of the run, for people.
        folder: the output folder.
        flags: returns the flags, asked when the first record comes; JSON values, or what has text.
    """

    def __init__(
        self, tracker: str, name: str, folder: Path, flags: Callable[[], dict[str, Any]]
    ) -> None:
        self.tracker = tracker
        self._name, self._folder, self._flags = name, folder, flags
        self._log = folder / TRACKERS / f"{tracker}.log"
        self._queue: Queue[dict[str, Any]] = Queue(_MOST_WAITING)
        self._process: subprocess.Popen[bytes] | None = None
        self._place: str | None = None
        self._over = (
            threading.Event()
        )  # Nothing more is sent: all is done, or the tracker left alone.
        self._lock = threading.Lock()

    def __call__(self, records: Sequence[Record]) -> None:
        """Take records as :class:`callback.history.History` writes them."""
        if self._over.is_set():
            return
        try:
            if self._process is None:
                self._start()
            for record in records:
                self._queue.put_nowait({"record": record})
        except Full:
            self._leave(f"it is {_MOST_WAITING} records behind")
        except Exception as error:  # No process can be started, the disk is full …
            self._leave(f"it does not start: {error}")

    def end(self, status: str) -> None:
        """Say that no more records come; ``status`` is finished, failed or killed."""
        if self._process is not None and not self._over.is_set():
            with suppress(Full):  # Then its process is ended in time.
                self._queue.put_nowait({"end": status})

    def wait(self, until: float) -> None:
        """Wait for the tracker to take what it was sent, to ``until`` of the monotonic clock at most."""
        if self._process is None:
            return
        told = self._place
        try:
            self._wait(until)
        finally:
            if not self._over.is_set():
                self._leave("it did not take the last records in time")
            self._kill()
        if told and self._place:  # Long ago, perhaps.
            logger.info("%s: %s", self.tracker, self._place)

    def _wait(self, until: float) -> None:
        left = until - time.monotonic()
        if not self._over.wait(min(_SILENT_SECONDS, left)) and left > _SILENT_SECONDS:
            logger.info("%s takes the last records, for %.0f s at most", self.tracker, left)
            self._over.wait(until - time.monotonic())
        left = until - time.monotonic()
        with suppress(
            subprocess.TimeoutExpired
        ):  # Its package may have something to do at the end.
            self._process.wait(max(0.0, min(_EXIT_SECONDS, left)))

    def _start(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        # The packages may be anywhere that this program finds its own in, and only there.
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from {__package__}.child import main; main()"
        )
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is the training's; one signal ends all that it starts.
            )
        order = {
            "tracker": self.tracker,
            "name": self._name,
            "folder": str(self._folder.absolute()),
            "flags": self._flags(),
        }
        for target in (self._send, self._listen):
            threading.Thread(
                target=target, args=(self._process, order), name=self.tracker, daemon=True
            ).start()

    def _send(self, process: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
        with suppress(OSError), process.stdin:  # The process is gone, and the other thread says so.
            for message in self._outgoing(order):
                process.stdin.write(json.dumps(message, default=str).encode() + b"\n")
                if self._queue.empty():
                    process.stdin.flush()

    def _outgoing(self, order: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield order
        while not self._over.is_set():
            with suppress(Empty):
                yield self._queue.get(timeout=1.0)

    def _listen(self, process: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
        failure = None
        with process.stdout as lines:
            for message in map(json.loads, lines):
                if "place" in message:
                    self._place = message["place"]
                    logger.info("%s: %s", self.tracker, self._place)
                failure = message.get("failure")
                if "done" in message:
                    self._over.set()
        if not self._over.is_set():
            self._leave(failure or f"its process ended with status {process.wait()}")

    def _leave(self, why: str) -> None:
        """Send the tracker nothing more, and say so once."""
        with self._lock:
            if self._over.is_set():
                return
            self._over.set()
            self._place = None
        logger.warning(
            "%s: %s: the run goes on without it; %s has all records, and %s may tell more",
            *(self.tracker, why.rstrip(" .:"), METRICS_FILE, self._log),
        )
        self._kill()

    def _kill(self) -> None:
        """End the tracker's process, and all that it has started."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
