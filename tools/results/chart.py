"""Drawings of numbers: lines, points and their axes, as SVG that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tools.results.markup import Markup, join, tag, text
from tools.results.numbers import number
from tools.results.scales import Scale, fitting, thinned

# In the drawing's own units: about as wide as a phone.
WIDTH, HEIGHT = 360, 216
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 20, 34
# The marks are told apart by shape as well as by colour; the middle is at 0, 0.
_MARKS = (
    "m-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0-6.8 0",
    "m-3.1-3.1h6.2v6.2h-6.2z",
    "m0-4l4 6.8h-8z",
    "m0-4.4l4.4 4.4l-4.4 4.4l-4.4-4.4z",
    "m0 4l4-6.8h-8z",
    "m-4-1.2h2.8v-2.8h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8z",
)
COLOURS = len(_MARKS)
_READINGS = 40
# Where fewer of the points are above 0 there is no logarithmic axis.
_ABOVE = 0.9


@dataclass(frozen=True)
class Series:
    """A line of a chart, or its points.

    Attributes:
        x, y: finite numbers, [N], in the order of x.
        colour: which of the page's colours, dashes and marks it has, from 0.
        kind: ``line``, ``faint`` (a line that stands behind others and is not in the legend), ``marked``
            (a line with a mark at each point).
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    colour: int = 0
    kind: str = "line"

    def above_zero(self) -> Series:
        """Return the series of those points whose y is above 0."""
        kept = self.y > 0
        return replace(self, x=self.x[kept], y=self.y[kept])


def figure(
    key: str,
    title: str,
    series: Sequence[Series],
    description: str,
    unit: str = "step",
    from_zero: bool = False,
    reach: float = 0,
    with_legend: bool = True,
) -> Markup | None:
    """Return a chart with its title, its legend and, where most is above 0, a switch of its y axis.

    The switch needs no script: the page's style shows the drawing that goes with it.

    Args:
        key: a word that no other figure of the page has.
        series: those without a point are left out.
        description: what it shows, for those who do not see it.
        unit: of the x axis.
        from_zero: whether a linear y axis begins at 0.
        with_legend: whether what the lines are called stands above them.
        reach: how far the x axis, which begins at 0, goes at least.

    Returns:
        None where there is nothing to draw.
    """
    drawn = [one for one in series if len(one.x)]
    if not drawn:
        return None
    words = (title, drawn, description, unit, max(reach, *(float(one.x[-1]) for one in drawn)))
    straight = _drawing(f"{key}-linear", *words, is_log=False, from_zero=from_zero)
    named = [one for one in drawn if one.kind != "faint"]
    is_alone = "alone" if len(named) == 1 else ""
    heading = (tag("h3", title), legend(named) if with_legend else None)
    above = [found for one in drawn if len((found := one.above_zero()).x)]
    if sum(len(one.x) for one in above) < _ABOVE * sum(len(one.x) for one in drawn):
        return tag("figure", tag("div", *heading, class_="bar"), straight, class_=is_alone or None)
    log = _drawing(f"{key}-log", title, above, *words[2:], is_log=True)
    inputs = [
        tag(
            "input",
            type="radio",
            name=key,
            id=f"{key}-{kind}",
            class_=f"to-{kind}",
            checked=kind == "lin",
        )
        for kind in ("lin", "log")
    ]
    labels = [
        tag("label", kind, for_=f"{key}-{short}", class_=f"for-{short}")
        for short, kind in (("lin", "linear"), ("log", "log"))
    ]
    return tag(
        "figure",
        *inputs,
        tag("div", *heading, tag("span", *labels, class_="switch"), class_="bar"),
        tag("div", straight, class_="lin"),
        tag("div", log, class_="log"),
        class_=f"switched {is_alone}".strip(),
    )


def legend(series: Sequence[Series]) -> Markup | None:
    """Return what the lines of a chart are called, with a piece of each; None where there is one alone."""
    if len(series) < 2:
        return None
    items = (tag("li", sample(one), tag("span", one.name)) for one in series)
    return tag("ul", *items, class_="legend")


def sample(one: Series) -> Markup:
    """Return a piece of a line, with its mark."""
    look = f"s{one.colour % COLOURS}"
    parts = [tag("path", d="M1 6h22", class_=f"line {look}")]
    if one.kind == "marked":
        parts.append(tag("path", d=f"M12 6{_MARKS[one.colour % COLOURS]}", class_=f"mark {look}"))
    return tag("svg", *parts, viewBox="0 0 24 12", width=24, height=12, aria_hidden="true")


def _drawing(
    key: str,
    title: str,
    series: Sequence[Series],
    description: str,
    unit: str,
    reach: float,
    is_log: bool,
    from_zero: bool = False,
) -> Markup:
    every_y = np.concatenate([one.y for one in series])
    across = Scale(0, reach or 1, LEFT, WIDTH - RIGHT)
    up = fitting(np.append(every_y, 0.0) if from_zero else every_y, HEIGHT - BOTTOM, TOP, is_log)
    lines = [_line(one, across, up) for one in series]
    readings = _readings(series, across, up, unit)
    return svg(key, title, description, axes(across, up, unit), *lines, readings)


def svg(key: str, title: str, description: str, *parts: object, height: int = HEIGHT) -> Markup:
    """Return a drawing with its title and description; ``key`` is a word that no other has."""
    return tag(
        "svg",
        tag("title", title, id=f"{key}-t"),
        tag("desc", description, id=f"{key}-d"),
        *parts,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_labelledby=f"{key}-t {key}-d",
        class_="chart",
    )


def axes(across: Scale, up: Scale, unit: str, rows: int = 4, columns: int = 4) -> Markup:
    """Return the lines and numbers of two axes."""
    grid, words = [], []
    for value in up.ticks(rows):
        place = round(float(up(value)), 1)
        grid.append(f"M{LEFT} {place}H{WIDTH - RIGHT}")
        words.append(tag("text", short(value), x=LEFT - 7, y=round(place + 4, 1), class_="at-end"))
    bottom = HEIGHT - BOTTOM
    for value in across.ticks(columns):
        place = round(float(across(value)), 1)
        at_end = place > WIDTH - RIGHT - 14
        grid.append(f"M{place} {bottom}v4")
        words.append(
            tag(
                "text",
                short(value),
                x=place,
                y=bottom + 17,
                class_="at-end" if at_end else "middle",
            )
        )
    words.append(
        tag("text", unit, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 2, class_="middle unit")
    )
    return join([tag("path", d="".join(grid), class_="grid"), *words])


def short(value: float) -> str:
    """Return a number as it stands beside an axis."""
    size = abs(value)
    if size >= 1e6:
        return f"{number(value / 1e6)}M" if size < 1e9 else number(value)
    if size >= 1e4:
        return f"{value / 1e3:g}k"
    if value == round(value):
        return number(int(value))
    return f"{value:g}".replace("-", "−") if size >= 1e-3 else number(value)


def path_of(x: np.ndarray, y: np.ndarray) -> str:
    """Return the path through places [N], to a tenth."""
    # Whole tenths are the shortest way to write them.
    places = [f"{a:g} {b:g}" for a, b in zip(np.round(x, 1), np.round(y, 1), strict=True)]
    return "M" + "L".join(places)


def _line(one: Series, across: Scale, up: Scale) -> Markup:
    look = f"s{one.colour % COLOURS}"
    x, y = thinned(across(one.x), up(one.y), WIDTH - LEFT - RIGHT)
    drawn = tag(
        "path", d=path_of(x, y), class_=f"{'faint' if one.kind == 'faint' else 'line'} {look}"
    )
    if one.kind != "marked" and len(x) > 1:
        return drawn
    if len(x) > 60:
        return drawn
    shape = _MARKS[one.colour % COLOURS]
    marks = "".join(f"M{a:.1f} {b:.1f}{shape}" for a, b in zip(x, y, strict=True))
    return join([drawn, tag("path", d=marks, class_=f"mark {look}")])


def _readings(series: Sequence[Series], across: Scale, up: Scale, unit: str) -> Markup:
    """Return bands that show the numbers at their place, once somebody points there."""
    named = [one for one in series if one.kind != "faint"]
    places = np.unique(np.concatenate([one.x for one in named]))
    if len(places) > _READINGS:
        places = places[np.linspace(0, len(places) - 1, _READINGS).astype(int)]
    at = across(places)
    edges = np.concatenate([[LEFT], (at[1:] + at[:-1]) / 2, [WIDTH - RIGHT]])
    top, bottom = TOP, HEIGHT - BOTTOM
    found = []
    for index, (value, place) in enumerate(zip(places, at, strict=True)):
        told = []
        for one in named:
            near = int(np.abs(one.x - value).argmin())
            # Lines that begin or end elsewhere, or have few points, say nothing here.
            if abs(float(across(one.x[near])) - place) <= (WIDTH - LEFT) / _READINGS:
                told.append(number(float(one.y[near])))
        begin, end = (round(float(edge), 1) for edge in edges[index : index + 2])
        rule = tag("path", d=f"M{place:.1f} {top}V{bottom}")
        area = tag(
            "rect", x=begin, y=top, width=round(max(end - begin, 0.1), 1), height=bottom - top
        )
        where = number(int(value)) if value == round(value) else short(float(value))
        words = f"{unit} {where}: {', '.join(told)}"
        found.append(tag("g", area, rule, tag("text", words, x=WIDTH - RIGHT, y=TOP - 8)))
    return tag("g", *found, class_="readings", aria_hidden="true")


def error_bars(x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: int = 0) -> Markup:
    """Return upright bars with feet, of places [N]."""
    paths = (
        f"M{a - 3:.1f} {b:.1f}h6m-3 0V{c:.1f}m-3 0h6" for a, b, c in zip(x, low, high, strict=True)
    )
    return tag("path", d="".join(paths), class_=f"error s{colour}")


def marks(x: np.ndarray, y: np.ndarray, colour: int = 0) -> Markup:
    """Return the marks of a colour at places [N]."""
    shape = _MARKS[colour % COLOURS]
    paths = (f"M{a:.1f} {b:.1f}{shape}" for a, b in zip(x, y, strict=True))
    return tag("path", d="".join(paths), class_=f"mark s{colour}")


def dots(x: np.ndarray, y: np.ndarray, colour: int = 0, columns: int = 180) -> Markup:
    """Return a cloud of places [N], darker where there are many: one dot at each of a grid's corners."""
    step = (WIDTH - LEFT - RIGHT) / columns
    corners = np.round(np.stack([x, y], axis=1) / step).astype(int)
    places, counts = np.unique(corners, axis=0, return_counts=True)
    found = []
    for level, (least, most) in enumerate(((1, 1), (2, 4), (5, math.inf))):
        chosen = places[(counts >= least) & (counts <= most)] * step
        if len(chosen):
            path = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in chosen)
            found.append(tag("path", d=path, class_=f"dots d{level} s{colour}"))
    return join(found)


def label(words: str, x: float, y: float, kind: str = "") -> Markup:
    """Return words in a drawing."""
    return tag("text", text(words), x=round(x, 1), y=round(y, 1), class_=kind or None)
