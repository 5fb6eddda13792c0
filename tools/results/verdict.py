"""The verdict: is the model good, how sure is that, and what did it take."""

from __future__ import annotations

import math

from tools.results.chart import short
from tools.results.markup import Markup, join, tag
from tools.results.metric_names import is_better_when_lower, method, spoken
from tools.results.numbers import duration, moment, number, plural, score, size
from tools.results.outcome import Outcome

_HEADLINES = {
    "better": "Better than the baseline.",
    "unsure": "Not shown to be better than the baseline.",
    "worse": "Worse than the baseline.",
}
_STATES = {
    "running": "This run is not through, or was killed: the page shows what it has recorded so far.",
    "stopped": "It was stopped before its end: --resume goes on from its last checkpoint.",
    "failed": "It failed:",
}


def headline(outcome: Outcome) -> str:
    """Return the verdict in a few words."""
    status = outcome.folder.run.get("status")
    if outcome.metric is None and status in ("failed", "stopped"):
        return f"This run {'failed' if status == 'failed' else 'was stopped'}."
    if outcome.metric is None:
        return "Trained, but not scored." if outcome.steps else "Nothing is scored yet."
    if outcome.against_baseline:
        return _HEADLINES[outcome.against_baseline]
    if outcome.baseline is None:
        return "Scored, without a baseline."
    value = outcome.metrics[outcome.metric]
    where = "At" if value == outcome.baseline else "Above" if value > outcome.baseline else "Below"
    return f"{where} the baseline, how surely is not known."


def verdict(outcome: Outcome, wrong: str | None = None, examples: int | None = None) -> Markup:
    """Return the page's first part.

    Args:
        wrong: what the model gets wrong, in a sentence.
        examples: of the dev file that the first metric is of; by default all that were scored.
    """
    kind = outcome.against_baseline or "plain"
    sentences = [
        _scored(outcome, examples),
        _baseline(outcome),
        wrong,
        _kept(outcome),
        _speed(outcome),
    ]
    return tag(
        "header",
        _above(outcome),
        tag("h1", headline(outcome)),
        _state(outcome),
        tag(
            "div",
            _figures(outcome),
            tag("div", *(tag("p", s) for s in sentences if s), class_="says"),
            class_="split",
        ),
        _facts(outcome),
        class_=f"verdict {kind}",
    )


def _above(outcome: Outcome) -> Markup:
    ended = outcome.value("ended") or outcome.value("started")
    words = [outcome.task, outcome.name, moment(ended) if ended else None]
    return tag("p", join((tag("bdi", word) for word in words if word), " · "), class_="over")


def _state(outcome: Outcome) -> Markup | None:
    status = outcome.folder.run.get("status")
    if status not in _STATES:
        return None
    error = outcome.folder.run.get("error")
    return tag("p", tag("strong", _STATES[status]), " " if error else None, error, class_="state")


def _figures(outcome: Outcome) -> Markup | None:
    if outcome.metric is None:
        return None
    value = outcome.metrics[outcome.metric]
    interval = outcome.interval(outcome.metric)
    between = (
        f"95 %: {score(interval[0])} to {score(interval[1])}"
        if interval
        else "no interval recorded"
    )
    return tag(
        "div",
        tag("p", tag("span", score(value), class_="huge"), tag("span", spoken(outcome.metric))),
        strip(outcome, *strip_ends([outcome])),
        tag("p", between, class_="note"),
        class_="score",
    )


def strip_ends(outcomes: list[Outcome]) -> tuple[float, float]:
    """Return the ends of an axis that has room for the scores, intervals and baselines of runs."""
    values = []
    for one in outcomes:
        if one.metric:
            values += [one.metrics[one.metric], *(one.interval(one.metric) or ())]
            values += [] if one.baseline is None else [one.baseline]
    low, high = min(values), max(values)
    if low >= -1 and high <= 1:  # So are shares and correlations.
        middle, bottom = (low + high) / 2, -1.0 if low < 0 else 0.0
        low, high = min(low, middle - 0.15), max(high, middle + 0.15)
        return max(bottom, math.floor(10 * low) / 10), min(1.0, math.ceil(10 * high) / 10)
    return min(0.0, low), high * 1.1


def strip(outcome: Outcome, low: float, high: float) -> Markup:
    """Return a small drawing of a score, its interval and its baseline on an axis."""
    width, middle = 300, 16
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return round(8 + min(max((value - low) / span, 0), 1) * (width - 16), 1)

    value = outcome.metrics[outcome.metric]
    parts = [tag("path", d=f"M8 {middle}H{width - 8}", class_="track")]
    told = [f"{spoken(outcome.metric)} {score(value)}"]
    if interval := outcome.interval(outcome.metric):
        x, y = at(interval[0]), at(interval[1])
        parts.append(
            tag("rect", x=x, y=middle - 7, width=max(y - x, 1), height=14, rx=3, class_="band")
        )
        told.append(f"95 % interval {score(interval[0])} to {score(interval[1])}")
    if outcome.baseline is not None:
        parts.append(tag("path", d=f"M{at(outcome.baseline)} {middle - 10}v20", class_="base"))
        told.append(f"baseline {score(outcome.baseline)}")
    parts.append(tag("circle", cx=at(value), cy=middle, r=3.6, class_="point"))
    words = [
        tag("text", short(v), x=at(v), y=40, class_=c) for v, c in ((low, ""), (high, "at-end"))
    ]
    if outcome.baseline is not None and 0.2 < (outcome.baseline - low) / span < 0.8:
        words.append(tag("text", "baseline", x=at(outcome.baseline), y=40, class_="middle"))
    label = "; ".join(told)
    drawn = [*parts, *words]
    return tag(
        "svg", *drawn, viewBox=f"0 0 {width} 44", role="img", aria_label=label, class_="strip"
    )


def _scored(outcome: Outcome, examples: int | None) -> str | None:
    if outcome.metric is None:
        return "The dev set was not scored: --do_eval does it, with --do_train or on the folder as it is."
    name, value = spoken(outcome.metric), score(outcome.metrics[outcome.metric])
    examples = examples or outcome.result.get("examples")
    where = f"On the {plural(examples, 'example')} of the dev set" if examples else "On the dev set"
    interval = outcome.interval(outcome.metric)
    sure = ""
    if interval:
        sure = (
            f"; on other examples like these it would lie between {score(interval[0])} and "
            f"{score(interval[1])} (95 % interval, {method(outcome.metric)})"
        )
    others = [
        f"{spoken(n)} {score(v)}" for n, v in list(outcome.metrics.items())[1:4] if "_at_" not in n
    ]
    also = f" Also: {', '.join(others)}." if others else ""
    return f"{where} the model’s {name} is {value}{sure}.{also}"


def _baseline(outcome: Outcome) -> str | None:
    if outcome.baseline is None or outcome.metric is None:
        return None
    found = outcome.part("baseline").get("class")
    where = " of the training data" if "train" in outcome.part("data") else ""
    answer = f"“{found}”, the most frequent class{where},"
    if found is None or outcome.part("task").get("kind") == "number":
        answer = "the mean"
    always = f"Always answering {answer} scores {score(outcome.baseline)}"
    low_is_good = is_better_when_lower(outcome.metric)
    return always + {
        "better": f", which is {'above' if low_is_good else 'below'} the interval: the model has "
        "learned something.",
        "unsure": ", which lies within the interval: these examples do not show that the model is any "
        "better.",
        "worse": f", which is {'below' if low_is_good else 'above'} the interval: do not use this model.",
        None: ".",
    }.get(outcome.against_baseline, ".")


def _kept(outcome: Outcome) -> str | None:
    best, kept = outcome.value("best_step"), outcome.value("kept")
    count = len(outcome.evaluations)
    if kept == "best" and best is not None and count > 1:
        return (
            f"The kept weights are those of step {number(best)}, the best of {count} evaluations on this "
            "dev set, which flatters the score a little."
        )
    if kept in ("best", "last") and outcome.steps:
        last = f"The kept weights are those of the last step, {number(outcome.steps)}"
        if kept == "last" and best not in (None, outcome.steps):
            return f"{last}; step {number(best)} scored best (--keep best)."
        return f"{last}."
    return None


def _speed(outcome: Outcome) -> str | None:
    rate, tokens = outcome.value("samples_per_second"), outcome.value("tokens_per_second")
    parts = []
    if rate:
        per_token = f" ({number(round(tokens))} tokens/s)" if tokens else ""
        parts.append(f"It trained at {number(rate)} samples/s{per_token}")
    if outcome.seconds is not None:
        parts.append(
            f"took {duration(outcome.seconds)}" if parts else f"It took {duration(outcome.seconds)}"
        )
    return f"{' and '.join(parts)}." if parts else None


def _facts(outcome: Outcome) -> Markup | None:
    device, processes = outcome.part("device").get("name"), outcome.value("processes")
    epochs = outcome.value("epochs")
    if epochs is None and (ends := outcome.folder.of("epoch")):
        epochs = len(ends)
    if isinstance(epochs, float) and epochs.is_integer():
        epochs = int(epochs)
    memory = outcome.value("peak_memory_bytes")
    loss = outcome.result.get("loss")
    pairs = [
        ("steps", number(outcome.steps) if outcome.steps else None),
        ("epochs", number(epochs) if epochs else None),
        ("dev loss", number(loss) if loss is not None else None),
        ("peak memory", size(memory) if memory else None),
        ("device", device),
        ("processes", number(processes) if processes else None),
    ]
    shown = [
        tag("div", tag("dt", name), tag("dd", tag("bdi", value))) for name, value in pairs if value
    ]
    return tag("dl", *shown, class_="facts") if shown else None
