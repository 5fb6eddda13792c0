"""Whether a model does worse on long inputs, or on those that were cut."""

from __future__ import annotations

import numpy as np

from processors.intervals import wilson
from tools.results.chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    error_bars,
    label,
    marks,
    short,
    svg,
)
from tools.results.markup import Markup, join, tag
from tools.results.numbers import number, percent, plural
from tools.results.scales import Scale, fitting
from tools.results.scored import Scored

BINS = 6


def bins_of(tokens: np.ndarray, most: int = BINS) -> list[np.ndarray]:
    """Return the [N] lengths' places, in up to ``most`` bins of about as many, the shortest first.

    Examples of one length are in one bin.
    """
    edges = np.unique(np.quantile(tokens, np.linspace(0, 1, most + 1)[1:-1], method="lower"))
    place = np.searchsorted(edges, tokens, side="left")
    return [
        found for index in range(len(edges) + 1) if len(found := np.flatnonzero(place == index))
    ]


def lengths(scored: Scored) -> Markup | None:
    """Return the score by length; None where lengths are not known, or all the same."""
    if scored.tokens.max(initial=0) == 0:
        return None
    bins = bins_of(scored.tokens)
    if len(bins) < 2:
        return None
    values, low, high, what = _scores(scored, bins)
    names = [_range(scored.tokens[one]) for one in bins]
    across = Scale(0, len(bins), LEFT, WIDTH - RIGHT)
    is_share = scored.kind != "number"
    up = (
        _share_scale(low)
        if is_share
        else fitting(np.concatenate([low, high]), HEIGHT - BOTTOM, TOP)
    )
    x = across(np.arange(len(bins)) + 0.5)
    show = (lambda v: percent(float(v))) if is_share else (lambda v: number(float(v)))
    words = f"{what} by length: " + ", ".join(
        f"{name} tokens {show(value)}" for name, value in zip(names, values, strict=True)
    )
    bottom = HEIGHT - BOTTOM
    labels = [
        label(name, place, bottom + 15, "middle") for name, place in zip(names, x, strict=True)
    ]
    amounts = [
        label(f"n {number(len(one))}", place, TOP - 9, "middle faded")
        for one, place in zip(bins, x, strict=True)
    ]
    drawing = svg(
        f"lengths{scored.suffix}",
        f"{what} by length",
        words + ".",
        _rows(up),
        *labels,
        *amounts,
        label("tokens", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 2, "middle unit"),
        error_bars(x, up(low), up(high), 2),
        marks(x, up(values), 2),
    )
    caption = (f"{what}, with 95 % intervals. n: how many examples. ", *_cut(scored))
    return tag(
        "figure",
        tag("div", tag("h3", "Short and long inputs"), class_="bar"),
        drawing,
        tag("figcaption", *caption),
    )


def _scores(
    scored: Scored, bins: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Return each bin's score, the ends of its interval, and what it is a score of."""
    count = np.array([len(one) for one in bins])
    if scored.kind == "number":
        means = np.array([scored.errors[one].mean() for one in bins])
        # The normal interval of a mean.
        spread = np.array([1.96 * scored.errors[one].std() for one in bins]) / np.sqrt(count)
        return means, np.maximum(means - spread, 0), means + spread, "Mean absolute error"
    hits = np.array([scored.right[one].sum() for one in bins])
    what = "Share of right answers"
    if scored.kind == "multi_label":
        what = "Share of examples with all labels right"
    low, high = np.array([wilson(*pair) for pair in zip(hits, count, strict=True)]).T
    return hits / count, low, high, what


def _share_scale(low: np.ndarray) -> Scale:
    bottom = float(np.floor(max(float(low.min()) - 0.02, 0) * 10) / 10)
    return Scale(bottom, 1.0, HEIGHT - BOTTOM, TOP)


def _rows(up: Scale) -> Markup:
    grid, words = [], []
    for value in up.ticks(4):
        place = round(float(up(value)), 1)
        grid.append(f"M{LEFT} {place}H{WIDTH - RIGHT}")
        words.append(label(short(value), LEFT - 7, place + 4, "at-end"))
    return join([tag("path", d="".join(grid), class_="grid"), *words])


def _range(tokens: np.ndarray) -> str:
    low, high = int(tokens.min()), int(tokens.max())
    return number(low) if low == high else f"{number(low)}–{number(high)}"


def _cut(scored: Scored) -> tuple[object, ...]:
    cut = np.array([record.get("cut") is True for record in scored.records])
    if not cut.any():
        return ("No input was cut.",)
    told = f"{plural(int(cut.sum()), 'input')} {'was' if cut.sum() == 1 else 'were'} cut ("
    if scored.kind == "number":
        after = f"); the mean absolute error there is {number(float(scored.errors[cut].mean()))}."
    else:
        after = f"); {percent(float(scored.right[cut].mean()))} of them are right."
    return told, tag("code", "--max_seq_length"), after
