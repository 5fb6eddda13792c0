"""Weights & Biases; WANDB_PROJECT, WANDB_MODE, WANDB_NAME and its other variables hold."""

from __future__ import annotations

import os
from collections.abc import Sequence

import wandb

from callback.trackers.base import PROJECT, Point, TrackedRun, Tracker

_STEP = "train/global_step"


class Wandb(Tracker):
    """What it keeps on this machine is in the output folder's trackers/wandb, unless WANDB_DIR is set."""

    def __init__(self, run: TrackedRun) -> None:
        run.files.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=os.environ.get("WANDB_NAME") or run.name,
            dir=os.environ.get("WANDB_DIR") or str(run.files),
            id=run.id,
            resume="allow" if run.id else None,
            settings=wandb.Settings(console="off"),  # The run's log is not this process's.
        )
        self.id = self._run.id
        # None of these changes where a run goes on, but for such as may: --batch_size beside processes.
        self._run.config.update(run.flags, allow_val_change=True)
        # Its own count of steps would not take a point of an earlier one, such as the run's end has.
        self._run.define_metric(_STEP)
        self._run.define_metric("*", step_metric=_STEP)
        self.place = self._run.url or self._run.settings.sync_dir

    def write(self, points: Sequence[Point]) -> None:
        """Log the points."""
        for point in points:
            self._run.log({**point.values, _STEP: point.step})

    def close(self, status: str) -> None:
        """Wait until all is sent, or on the disk in its offline mode."""
        self._run.finish(exit_code=0 if status == "finished" else 1)


open_run = Wandb
