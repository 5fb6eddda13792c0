"""trackio; TRACKIO_PROJECT, TRACKIO_DIR, TRACKIO_SPACE_ID, TRACKIO_SERVER_URL and others hold."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import trackio

from callback.trackers.base import PROJECT, Point, TrackedRun, Tracker, without_secrets


class Trackio(Tracker):
    """It knows a run by its name in the project. Without a server it keeps runs in TRACKIO_DIR."""

    def __init__(self, run: TrackedRun) -> None:
        project = os.environ.get("TRACKIO_PROJECT") or PROJECT
        self._run = trackio.init(
            project=project,
            name=run.id or f"{run.name} {time.strftime('%Y-%m-%d %H:%M:%S')}",
            config=run.flags,
            resume="allow" if run.id else "never",
            embed=False,
        )
        self.id = self._run.name
        place = f"trackio show --project {project}"
        if kept := os.environ.get("TRACKIO_SPACE_ID") or os.environ.get("TRACKIO_SERVER_URL"):
            place = without_secrets(kept)
        self.place = f"{place} (run {self.id})"

    def write(self, points: Sequence[Point]) -> None:
        """Log the points."""
        for point in points:
            self._run.log(point.values, step=point.step)

    def close(self, status: str) -> None:
        """Wait until all is in the database."""
        self._run.finish()


open_run = Trackio
