"""What is taken for what: classes against each other, each label by itself, numbers against numbers."""

from __future__ import annotations

import numpy as np

from tools.results.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axes, dots, svg
from tools.results.markup import Markup, details, join, table, tag
from tools.results.numbers import number, percent, plural, score
from tools.results.scales import fitting
from tools.results.scored import Scored

# A matrix of more classes than these is no longer read, but searched.
_SHOWN = 12
# The matrix of so many has half the page's width, and one of more all of it.
_HALF = 7
_TABLE_ROWS = 12
_PAIRS = 8
# So many of the classes that are never answered are named.
_NEVER = 3


def mistakes(scored: Scored) -> Markup:
    """Return what the model takes for what."""
    if scored.kind == "number":
        return _numbers(scored)
    if scored.kind == "multi_label":
        return _labels(scored)
    return _classes(scored)


def weakness(scored: Scored) -> str | None:
    """Return in a sentence what the model gets wrong; None of numbers, and where all is right."""
    if scored.kind == "number" or scored.right.all():
        return None
    wrong = int((~scored.right).sum())
    is_one = "is" if wrong == 1 else "are"
    parts = [f"{number(wrong)} of the {plural(len(scored), 'answer')} {is_one} wrong"]
    if scored.kind == "classes":
        matrix = counts(scored)
        there, given = matrix.sum(axis=1), matrix.sum(axis=0)
        errors = matrix - np.diag(matrix.diagonal())
        gold, answer = np.unravel_index(errors.argmax(), errors.shape)
        times = f"{number(int(errors[gold, answer]))} of {number(int(there[gold]))} times"
        parts.append(
            f"most often “{scored.classes[gold]}” is taken for “{scored.classes[answer]}” ({times})"
        )
    else:
        there, given = scored.gold.sum(axis=0), scored.predicted.sum(axis=0)
    never = [f"“{scored.classes[index]}”" for index in np.flatnonzero((there > 0) & (given == 0))]
    if never:
        more = f" and {number(len(never) - _NEVER)} more" if len(never) > _NEVER else ""
        parts.append(f"it never answers {', '.join(never[:_NEVER])}{more}")
    return f"{'; '.join(parts)}."


def counts(scored: Scored) -> np.ndarray:
    """Return how often each class [C, C] (rows: what is right) was taken for each."""
    size = len(scored.classes)
    flat = np.bincount(scored.gold * size + scored.predicted, minlength=size * size)
    return flat.reshape(size, size)


def rates(hits: np.ndarray, there: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return precision, recall and F1 [3, C] of C classes; 0 where a class is nowhere.

    Args:
        hits, there, given: [C] how often a class was found, is right, and was answered.
    """
    parts = (hits, given), (hits, there), (2 * hits, there + given)
    return np.array([above / np.maximum(below, 1) for above, below in parts])


def _classes(scored: Scored) -> Markup:
    matrix = counts(scored)
    hits, there, given = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    names, shown = list(scored.classes), matrix
    note = "Rows: the right class. Columns: what the model answered. Shades: shares of a row."
    if (given > 0).sum() == 1:
        note = f"It answers “{scored.classes[int(given.argmax())]}” to everything. {note}"
    if len(names) > _SHOWN:
        errors = there + given - 2 * hits
        chosen = sorted(np.argsort(-errors, kind="stable")[: _SHOWN - 1].tolist())
        others = [index for index in range(len(names)) if index not in chosen]
        groups = [*([index] for index in chosen), others]
        shown = np.array([[matrix[np.ix_(a, b)].sum() for b in groups] for a in groups])
        # Among the others, what is right is on the diagonal alone.
        wrong_inside = int(shown[-1, -1] - hits[others].sum())
        names = [*(names[index] for index in chosen), f"{len(others)} others"]
        note += f" The {_SHOWN - 1} classes with the most mistakes stand by themselves"
        note += f"; {number(wrong_inside)} mistakes are among the others." if wrong_inside else "."
    left = (_matrix(names, shown), tag("p", note, class_="note"))
    rest = _rates_table("class", scored.classes, hits, there, given), _confused(scored, matrix)
    if len(names) > _HALF:
        return join([tag("div", *left, class_="wide"), tag("div", rest[0]), rest[1]])
    return join([tag("div", *left), tag("div", *rest)])


def _matrix(names: list[str], shown: np.ndarray) -> Markup:
    rows = []
    for index, (name, row) in enumerate(zip(names, shown, strict=True)):
        total = max(int(row.sum()), 1)
        cells = [
            tag(
                "td",
                number(int(count)),
                style=f"--a:{count / total:.2f}",
                class_="right" if column == index else ("zero" if not count else None),
                title=f"{name} taken for {names[column]}: {number(int(count))}, {percent(count / total)}",
            )
            for column, count in enumerate(row)
        ]
        rows.append([tag("bdi", name, title=name), *cells])
    header = ["right ╲ answer", *(tag("bdi", name, title=name) for name in names)]
    kind = "matrix many" if len(names) > 4 else "matrix"
    return table("Confusion matrix", header, rows, kind)


def _rates_table(
    what: str, names: list[str], hits: np.ndarray, there: np.ndarray, given: np.ndarray
) -> Markup:
    precision, recall, f1 = rates(hits, there, given)
    order = np.arange(len(names))
    if len(names) > _SHOWN:
        order = np.argsort(f1 + 1e9 * (there + given == 0), kind="stable")
    rows = [
        [
            tag("bdi", names[index], title=names[index]),
            number(int(there[index])),
            number(int(given[index])),
            *(_bar(rate[index]) for rate in (precision, recall, f1)),
        ]
        for index in order
    ]
    header = [what, "right", "answered", "precision", "recall", "F1"]
    first = table(f"Precision, recall and F1 of each {what}", header, rows[:_TABLE_ROWS], "numbers")
    if len(rows) <= _TABLE_ROWS:
        return first
    rest = table(
        f"The other {what}es" if what == "class" else "The other labels",
        header,
        rows[_TABLE_ROWS:],
        "numbers",
    )
    return join(
        [
            first,
            details(
                f"Those with the lowest F1 come first. The other {len(rows) - _TABLE_ROWS}", rest
            ),
        ]
    )


def _bar(share: float) -> Markup:
    return tag("td", score(float(share)), style=f"--a:{share:.3f}", class_="meter")


def _confused(scored: Scored, matrix: np.ndarray) -> Markup | None:
    if len(scored.classes) <= 4:
        return None
    wrong = matrix * (1 - np.eye(len(matrix), dtype=int))
    places = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    rows = []
    for gold, answer in zip(*np.unravel_index(places, wrong.shape), strict=True):
        if count := int(wrong[gold, answer]):
            share = percent(count / max(int(matrix[gold].sum()), 1))
            names = (tag("bdi", scored.classes[index]) for index in (gold, answer))
            rows.append([*names, number(count), share])
    if not rows:
        return None
    header = ["right", "taken for", "times", "of the class"]
    listed = table("Most often confused", header, rows, "numbers two")
    return tag("div", tag("h3", "Most often confused"), listed, class_="confused")


def _labels(scored: Scored) -> Markup:
    hits = (scored.gold * scored.predicted).sum(axis=0)
    there, given = scored.gold.sum(axis=0), scored.predicted.sum(axis=0)
    whole = float(scored.right.mean())
    note = (
        f"All labels are right in {percent(whole)} of the {number(len(scored))} examples. An example has "
        f"{number(float(scored.gold.sum(axis=1).mean()))} labels on average, and the model gives "
        f"{number(float(scored.predicted.sum(axis=1).mean()))}."
    )
    shown = _rates_table("label", scored.classes, hits, there, given)
    return tag("div", shown, tag("p", note, class_="note"), class_="both")


def _numbers(scored: Scored) -> Markup:
    every = np.concatenate([scored.gold, scored.predicted])
    across = fitting(every, LEFT, WIDTH - RIGHT)
    up = fitting(every, HEIGHT - BOTTOM, TOP)
    low, high = across.low, across.high
    line = f"M{across(low):.1f} {up(low):.1f}L{across(high):.1f} {up(high):.1f}"
    error = float(scored.errors.mean())
    bias = float((scored.predicted - scored.gold).mean())
    words = (
        f"The mean absolute error is {number(error)}; on average the model answers "
        f"{number(abs(bias))} too {'much' if bias > 0 else 'little'}."
    )
    drawing = svg(
        f"numbers{scored.suffix}",
        "What the model answered against what is right",
        words,
        axes(across, up, "right"),
        tag("path", d=line, class_="ideal"),
        dots(across(scored.gold), up(scored.predicted)),
    )
    return tag(
        "figure",
        tag("div", tag("h3", "Answer against what is right"), class_="bar"),
        drawing,
        tag("figcaption", f"{words} On the dashed line an answer is right."),
    )
