"""TensorBoard: event files, in OUTPUT_DIR/tensorboard unless TENSORBOARD_LOGGING_DIR names a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import ModuleType

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from callback.trackers.base import TENSORBOARD, Point, TrackedRun, Tracker


class TensorBoard(Tracker):
    """A run that goes on adds a file to those in the folder, which TensorBoard reads as one run."""

    def __init__(self, run: TrackedRun) -> None:
        self.place = os.environ.get("TENSORBOARD_LOGGING_DIR") or str(run.folder / TENSORBOARD)
        # It writes files itself where it finds this module, and else through TensorFlow, if that is
        # installed, which takes seconds to import.
        sys.modules.setdefault("tensorboard.compat.notf", ModuleType("notf"))
        self._writer = EventFileWriter(self.place)
        rows = [f"| {name} | {value} |" for name, value in sorted(run.settings.items())]
        flags = "\n".join(["| flag | value |", "|---|---|", *rows])
        self._writer.add_event(Event(step=0, summary=text_pb("flags", flags)))
        self._writer.flush()

    def write(self, points: Sequence[Point]) -> None:
        """Append the points to the file."""
        for point in points:
            values = [Summary.Value(tag=name, simple_value=v) for name, v in point.values.items()]
            summary = Summary(value=values)
            self._writer.add_event(Event(wall_time=point.time, step=point.step, summary=summary))
        self._writer.flush()

    def close(self, status: str) -> None:
        """Close the file."""
        self._writer.close()


open_run = TensorBoard
