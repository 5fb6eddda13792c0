"""Curves of a training: loss, dev metrics, learning rate, gradient norm, throughput."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tools.results.chart import COLOURS, Series, figure
from tools.results.markup import Markup, details, table, tag
from tools.results.metric_names import is_better_when_lower, is_loss, is_metric, spoken
from tools.results.numbers import is_number, number, score
from tools.results.outcome import Outcome
from tools.results.scales import smoothed

# Steps, and a number for each of them: [N] and [N].
Points = tuple[np.ndarray, np.ndarray]
# Of the steps of a training this share is what the smooth line of the loss averages over.
_SMOOTH_SHARE = 0.02
_CAPTION = (
    "Faint lines are the steps themselves, those in front of them their moving average over 2 % of the "
    "steps; gradients are measured before they are clipped. A loss on dev that rises while the training’s "
    "falls says that the model learns its examples by heart."
)
_OF_STEPS = {
    "learning_rate": "Learning rate",
    "grad_norm": "Gradient norm",
    "samples_per_second": "Samples per second",
    "tokens_per_second": "Tokens per second",
}


def points(records: Sequence[Mapping[str, Any]], key: str) -> Points:
    """Return the steps [N] and the numbers [N] of the records that have a finite one for ``key``.

    They are in the order of the steps. Of records of the same step the last one counts.
    """
    # Of a long training there are so many that each is looked at once, and by NumPy.
    steps, values = (_numbers([record.get(name) for record in records]) for name in ("step", key))
    known = np.isfinite(steps) & np.isfinite(values)
    _, last = np.unique(steps[known][::-1], return_index=True)
    order = known.nonzero()[0][::-1][last]
    return steps[order], values[order]


def _numbers(values: list[Any]) -> np.ndarray:
    try:
        return np.array(values, dtype=np.float64)  # None is nan.
    except (TypeError, ValueError):
        found = (value if is_number(value) else math.nan for value in values)
        return np.fromiter(found, np.float64, len(values))


def smooth_series(name: str, raw: Points, colour: int, with_raw: bool = True) -> list[Series]:
    """Return a noisy line faintly, if ``with_raw``, and its moving average in front of it."""
    x, y = raw
    smooth = smoothed(y, max(1.0, _SMOOTH_SHARE * len(y)))
    faint = [Series(name, x, y, colour, "faint")] if with_raw else []
    return [*faint, Series(name, x, smooth, colour)]


def speeds(records: Sequence[Mapping[str, Any]], key: str) -> Points:
    """Return each interval's speed once, at its end: all steps of an interval have the same."""
    x, y = points(records, key)
    ends = np.r_[y[1:] != y[:-1], True][: len(y)]
    return x[ends], y[ends]


def curves(outcome: Outcome) -> Markup | None:
    """Return the figures of a training; None of a run that did not train."""
    steps = outcome.folder.of("step")
    made = [_loss(outcome, steps), _metrics(outcome, errors=False)]
    made += [_metrics(outcome, errors=True), *(_of_steps(steps, key) for key in _OF_STEPS)]
    figures = [one for one in made if one]
    if not figures:
        return None
    return tag(
        "section",
        tag("h2", "How it was trained"),
        tag("div", *figures, class_="grid"),
        tag("p", _CAPTION, class_="note"),
        _evaluations(outcome),
        id="curves",
    )


def _loss(outcome: Outcome, steps: list[dict[str, Any]]) -> Markup | None:
    series, told = [], []
    train, dev = points(steps, "loss"), points(outcome.evaluations, "loss")
    if len(train[0]):
        series += smooth_series("training", train, 0)
        told.append(f"The smoothed loss of training goes {_from_to(series[-1].y)}")
    if len(dev[0]):
        series.append(Series("dev", *dev, 1, "marked"))
        told.append(f"the loss on dev goes {_from_to(dev[1])}")
    return figure("loss", "Loss", series, "; ".join(told) + ".", reach=outcome.steps or 0)


def _metrics(outcome: Outcome, errors: bool) -> Markup | None:
    """Return the figure of the metrics on dev, or of those that are the better the lower they are."""
    names = [
        name
        for name in dict.fromkeys(key for record in outcome.evaluations for key in record)
        if not is_loss(name)
        and "_at_" not in name
        and is_better_when_lower(name) == errors
        and any(is_metric(name, record.get(name)) for record in outcome.evaluations)
    ]
    series = [
        Series(spoken(name), *points(outcome.evaluations, name), index, "marked")
        for index, name in enumerate(names[:COLOURS])
    ]
    told = ", ".join(
        f"{one.name} ends at {score(float(one.y[-1]))}" for one in series if len(one.y)
    )
    title = (
        f"Dev {series[0].name}" if len(series) == 1 else "Dev errors" if errors else "Dev metrics"
    )
    key = "errors" if errors else "metrics"
    return figure(key, title, series, f"By step: {told}.", reach=outcome.steps or 0)


def _of_steps(steps: list[dict[str, Any]], key: str) -> Markup | None:
    is_speed = key.endswith("_per_second")
    found = speeds(steps, key) if is_speed else points(steps, key)
    if not len(found[0]):
        return None
    series = [Series(_OF_STEPS[key], *found, 2 if is_speed else 0)]
    if key == "grad_norm":
        series = smooth_series("smoothed", found, 3)
    told = (
        f"It goes {_from_to(series[-1].y)}, and lies between {number(float(found[1].min()))} and "
    )
    told += f"{number(float(found[1].max()))}."
    return figure(key, _OF_STEPS[key], series, told, from_zero=is_speed)


def _from_to(values: np.ndarray) -> str:
    return f"from {number(float(values[0]))} to {number(float(values[-1]))}"


def _evaluations(outcome: Outcome) -> Markup | None:
    if not outcome.evaluations:
        return None
    names = list(
        dict.fromkeys(k for r in outcome.evaluations for k, v in r.items() if is_metric(k, v))
    )
    rows = [
        [number(r["step"]), number(r.get("epoch")), *(score(r.get(name)) for name in names)]
        for r in outcome.evaluations
    ]
    header = ["step", "epoch", *map(spoken, names)]
    shown = table("Evaluations on dev", header, rows, "numbers")
    return details("Every evaluation as a table", shown)
