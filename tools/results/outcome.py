"""What a run came to: its score with its interval, its baseline, its speed; also of old records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tools.results.metric_names import is_better_when_lower, is_loss, is_metric
from tools.results.numbers import is_number
from tools.results.run_folder import RunFolder

Interval = tuple[float, float]


@dataclass(frozen=True)
class Outcome:
    """A run as its records tell of it. What they do not say is None, or empty."""

    folder: RunFolder

    def part(self, key: str) -> dict[str, Any]:
        """Return an object of ``run.json``; empty where there is none."""
        found = self.folder.run.get(key)
        return found if isinstance(found, dict) else {}

    def value(self, key: str) -> Any:
        """Return an entry of ``run.json``, or of the last record of the training's end."""
        found = self.folder.run.get(key)
        if found is None and (ends := self.folder.of("training")):
            found = ends[-1].get(key)
        return found

    @cached_property
    def name(self) -> str:
        """The folder's name, with its parent's where there is one."""
        path = Path(self.folder.path).absolute()
        return "/".join(path.parts[-2:]).lstrip("/") or str(path)

    @cached_property
    def flags(self) -> dict[str, Any]:
        """The flags as ``run.json`` has them."""
        return self.part("flags")

    @cached_property
    def task(self) -> str | None:
        """What the task is called."""
        found = self.part("task").get("name") or self.flags.get("task_name")
        return str(found) if found else None

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        """The records of the evaluations of the training, by their step, each step once.

        The evaluation of the kept model, whose record has no step, is among them, at the step that its
        weights are of. Of a run that did not train there are none.
        """
        kept = self.folder.run.get("best_step") if self.folder.run.get("kept") == "best" else None
        found = {}
        for record in self.folder.of("eval"):
            model, step = record.get("model"), record.get("step")
            if step is None and model == "model":
                step = kept or self.steps
            if step and model in (None, "model"):
                found[step] = record | {"step": step}
        return [found[step] for step in sorted(found)]

    @cached_property
    def result(self) -> dict[str, Any]:
        """What the kept model scored on dev: its metrics, and ``loss``, ``examples`` and ``intervals``."""
        found = self.part("results").get("model")
        if isinstance(found, dict) and found:
            return found
        records = self.folder.of("eval")
        final = [record for record in records if record.get("model") == "model"]
        return (final or records or [{}])[-1]

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The metrics of :attr:`result`, the task's first one first, without the loss."""
        found = {
            name: value
            for name, value in self.result.items()
            if not is_loss(name) and is_metric(name, value)
        }
        first = self.part("task").get("metrics") or []
        named = [
            n
            for name in first
            for n in found
            if n == name or n.startswith((f"{name}-", f"{name}_mm"))
        ]
        return {name: found[name] for name in dict.fromkeys([*named, *found])}

    @cached_property
    def metric(self) -> str | None:
        """The metric that the task is judged by; None where nothing was scored."""
        return next(iter(self.metrics), None)

    def interval(self, metric: str) -> Interval | None:
        """Return the 95 % interval of a metric, where the run has it."""
        found = self.result.get("intervals")
        pair = found.get(metric) if isinstance(found, Mapping) else None
        if isinstance(pair, list) and len(pair) == 2 and all(map(is_number, pair)):
            return float(pair[0]), float(pair[1])
        return None

    @cached_property
    def baseline(self) -> float | None:
        """What always giving one answer scores by :attr:`metric`."""
        found = self.part("baseline").get(self.metric or "")
        return float(found) if is_number(found) else None

    @cached_property
    def against_baseline(self) -> str | None:
        """``better``, ``worse``, or ``unsure`` where the interval has the baseline in it.

        None where there is no baseline, or no interval.
        """
        interval = self.interval(self.metric) if self.metric else None
        if interval is None or self.baseline is None:
            return None
        low, high = interval
        if low <= self.baseline <= high:
            return "unsure"
        is_above = low > self.baseline
        return "better" if is_above != is_better_when_lower(self.metric) else "worse"

    @cached_property
    def steps(self) -> int | None:
        """How many optimizer steps it trained for."""
        found = self.folder.run.get("steps")
        if found is None:
            found = max((r["step"] for r in self.folder.of("step") if r.get("step")), default=None)
        return found if is_number(found) else None

    @cached_property
    def seconds(self) -> float | None:
        """How long it took, or else how long its training did."""
        durations = self.part("durations")
        found = durations.get("total") or durations.get("training")
        if found is None and (ends := self.folder.of("training")):
            found = ends[-1].get("seconds")
        return found if is_number(found) else None
