"""MLflow; MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, MLFLOW_RUN_ID and its other variables hold."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

import mlflow
from mlflow.entities import Metric, Param

from callback.trackers.base import PROJECT, Point, TrackedRun, Tracker, without_secrets

Item = TypeVar("Item")
_STATES = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
# A name of a metric may have no other signs.
_OTHERS = re.compile(r"[^\w\-./ ]")
# More it takes in no call.
_MOST_METRICS, _MOST_PARAMS = 1000, 100


class MLflow(Tracker):
    """Without a server it keeps runs in the folder it is started in, where ``mlflow ui`` looks."""

    def __init__(self, run: TrackedRun) -> None:
        if not run.id and not any(
            os.environ.get(f"MLFLOW_{name}")
            for name in ("EXPERIMENT_NAME", "EXPERIMENT_ID", "RUN_ID")
        ):
            mlflow.set_experiment(PROJECT)
        active = mlflow.start_run(run_id=run.id, run_name=None if run.id else run.name)
        self.id = active.info.run_id
        self._client = mlflow.MlflowClient()
        if not run.id:  # A parameter never changes.
            params = [Param(name, str(value)) for name, value in run.settings.items()]
            for part in _parts(params, _MOST_PARAMS):
                self._client.log_batch(self.id, params=part)
        uri = without_secrets(mlflow.get_tracking_uri())
        self.place = f"{uri} (run {self.id})"
        if uri.startswith("http"):
            page = f"#/experiments/{active.info.experiment_id}/runs/{self.id}"
            self.place = f"{uri.rstrip('/')}/{page}"

    def write(self, points: Sequence[Point]) -> None:
        """Log the points, some hundred a call."""
        metrics = [
            Metric(_OTHERS.sub("_", name), value, int(point.time * 1000), point.step)
            for point in points
            for name, value in point.values.items()
        ]
        for part in _parts(metrics, _MOST_METRICS):
            self._client.log_batch(self.id, metrics=part)

    def close(self, status: str) -> None:
        """Mark the run as ended."""
        mlflow.end_run(_STATES[status])


def _parts(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    for begin in range(0, len(items), most):
        yield items[begin : begin + most]


open_run = MLflow
