"""The process that a tracker is in: what it does there, prints or waits for is nothing to the training.

Its standard input brings a line of JSON for the run, then one for each record, then one for the end. Its
standard output takes back what is to be said of it, a line of JSON each.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from callback.trackers.base import TRACKERS, TrackedRun, Tracker
from callback.trackers.points import Points
from callback.trackers.registry import load
from model.files import write_whole

Message = dict[str, Any]
# What the tracker has is written down at most this often, and at the end.
_KEEP_SECONDS = 5.0
# So long a tracker may go on when the training is gone.
_ORPHAN_SECONDS = 30.0


def main() -> None:
    """Be the process of a tracker; ends it with status 0, or 1 where the tracker failed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # It is the training's, which then says so.
    threading.Thread(target=_end_without, args=(os.getppid(),), daemon=True).start()
    incoming, outgoing = _take_streams()

    def say(**message: str) -> None:
        os.write(outgoing, json.dumps(message).encode() + b"\n")

    try:
        serve(messages(incoming), load, say)
    except BaseException as error:
        traceback.print_exc()
        line = next(filter(None, map(str.strip, str(error).splitlines())), "no message")
        say(failure=f"{type(error).__name__}: {line}")
        sys.stderr.flush()
        os._exit(1)  # What a package does at Python's end may take for ever.


def serve(
    batches: Iterator[list[Message]],
    load: Callable[[str], Callable[[TrackedRun], Tracker]],
    say: Callable[..., None],
) -> None:
    """Give a tracker the records that come, and keep in its file how it calls the run, and what it has.

    Args:
        batches: the messages, those together that came together.
        load: returns what opens a run in a tracker, by its name.
        say: sends word back: the ``place`` where a person finds the run, and that all is ``done``.

    Raises:
        Exception: what the tracker raises.
    """
    order, *first = next(batches)
    folder = Path(order["folder"])
    known = Known(folder, order["tracker"])
    run = TrackedRun(order["name"], folder, order["flags"], known.id)
    tracker = load(order["tracker"])(run)
    known.id = tracker.id
    known.write()
    say(place=tracker.place)
    points, status = Points(known.sent), "killed"
    for batch in _and_then(first, batches):
        records = [message["record"] for message in batch if "record" in message]
        if found := [point for record in records for point in points.of(record)]:
            tracker.write(found)
        known.keep()
        if "end" in (batch or [{}])[-1]:
            status = batch[-1]["end"]
            break
    tracker.close(status)
    known.write()
    say(done=status)


class Known:
    """What a tracker knows of a run, for a run that goes on later: ``trackers/<name>.json``.

    Attributes:
        id: how it calls the run.
        sent: by event, the step of the last record that it has.
    """

    def __init__(self, folder: Path, tracker: str) -> None:
        self._path = folder / TRACKERS / f"{tracker}.json"
        found: dict[str, Any] = {}
        if self._path.is_file():
            found = json.loads(self._path.read_text(encoding="utf-8"))
        self.id: str | None = found.get("id")
        self.sent: dict[str, int] = found.get("sent", {})
        self._written = time.monotonic()

    def keep(self) -> None:
        """Write it down, if that was some seconds ago."""
        if time.monotonic() - self._written > _KEEP_SECONDS:
            self.write()

    def write(self) -> None:
        """Write it down."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json.dumps({"id": self.id, "sent": self.sent}) + "\n")
        self._written = time.monotonic()


def messages(file: int) -> Iterator[list[Message]]:
    """Yield the messages of a pipe, those together that came together."""
    rest = b""
    while chunk := os.read(file, 2**20):
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield [json.loads(line) for line in lines]


def _and_then(first: list[Message], others: Iterable[list[Message]]) -> Iterator[list[Message]]:
    yield first
    yield from others


def _take_streams() -> tuple[int, int]:
    """Return the pipes from and to the training; packages print to the log, and read nothing.

    wandb would ask for a key, and its own processes would keep the pipes open.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return incoming, outgoing


def _end_without(parent: int) -> None:
    """End this process some time after the training that it belongs to is gone."""
    while os.getppid() == parent:
        time.sleep(1.0)
    time.sleep(_ORPHAN_SECONDS)
    os._exit(1)
