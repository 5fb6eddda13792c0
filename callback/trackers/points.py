"""The records of metrics.jsonl as points of curves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from callback.trackers.base import Point

# As other trainers call them; any other event goes by its own name.
_NAMES = {"step": "train", "scale": "train"}
_OF_THE_RUN = ("event", "time", "step", "model", "file", "examples")


class Points:
    """Turns records into points, each once: a run that goes on from a checkpoint takes some again.

    Args:
        sent: by event, the step of the last record that the tracker has; it is kept up to date.
    """

    def __init__(self, sent: dict[str, int]) -> None:
        self.sent = sent

    def of(self, record: dict[str, Any]) -> Iterator[Point]:
        """Yield the points of a record; none where the tracker has it."""
        event, time = record["event"], float(record.get("time") or 0.0)
        last = max(self.sent.values(), default=0)
        step = record.get("step")
        at = last if step is None else step
        values = _numbers(record)
        if event == "eval" and (step is None or "model" in record):
            kept = record.get("model", "model")
            if (
                kept != "model"
            ):  # An earlier checkpoint, whose curve need not be that of the training.
                yield Point(at, time, _named("checkpoints", values))
                return
            yield Point(at, time, _named("final", values | _bounds(record)))
            if at > self.sent.get(
                "eval", -1
            ):  # The training leaves the last evaluation to its end.
                yield Point(at, time, _named("eval", values))
            return
        if step is not None:
            if step <= self.sent.get(event, -1):
                return
            self.sent[event] = step
        name = _NAMES.get(event, event)
        if event == "test":
            name, values = f"test/{record.get('file')}", values | _bounds(record)
        if event == "epoch":
            values.pop("epoch", None)  # It is the step in other words.
        if values:
            yield Point(at, time, _named(name, values))


def _numbers(record: dict[str, Any]) -> dict[str, float]:
    return {
        name: value
        for name, value in record.items()
        if name not in _OF_THE_RUN
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    }


def _bounds(record: dict[str, Any]) -> dict[str, float]:
    """Return the ends of the metrics' intervals, where the record has them."""
    found = {}
    for name, bounds in (record.get("intervals") or {}).items():
        if bounds:
            found[f"{name}_low"], found[f"{name}_high"] = bounds
    return found


def _named(group: str, values: dict[str, float]) -> dict[str, float]:
    return {f"{group}/{name}": value for name, value in values.items()}
