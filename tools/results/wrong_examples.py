"""The examples that a model is most wrong about: where the data, or the model, is worth a look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tools.results.markup import Markup, details, join, tag
from tools.results.numbers import number, plural, score
from tools.results.scored import Scored

COUNT = 50
_AT_ONCE = 10
_CHARACTERS = 600
_CLASSES = 4


def most_wrong(scored: Scored, count: int = COUNT) -> list[int]:
    """Return the places of the ``count`` examples that the model is most wrong about, the worst first.

    These are the ones with the least probability for the right class; in a multi-label task with the
    largest loss (binary cross-entropy) among those with a label wrong; of numbers the largest errors.
    """
    if scored.kind == "number":
        order = np.argsort(-scored.errors, kind="stable")
        return order[scored.errors[order] > 0][:count].tolist()
    if scored.kind == "classes":
        doubt = 1 - scored.probabilities[np.arange(len(scored)), scored.gold]
    else:
        of_gold = np.where(scored.gold == 1, scored.probabilities, 1 - scored.probabilities)
        doubt = -np.log(np.maximum(of_gold, 1e-12)).sum(axis=1)
    order = np.argsort(-doubt, kind="stable")
    return order[~scored.right[order]][:count].tolist()


def wrong_examples(scored: Scored) -> Markup | None:
    """Return the list of those examples; None where all is right."""
    places = most_wrong(scored)
    if not places:
        return None
    items = [_item(scored, place) for place in places]
    first = tag("ol", *items[:_AT_ONCE], class_="wrong")
    more = None
    if len(items) > _AT_ONCE:
        rest = tag("ol", *items[_AT_ONCE:], class_="wrong", start=_AT_ONCE + 1)
        more = details(f"The next {len(items) - _AT_ONCE}", rest)
    return join([_introduction(scored, len(places)), first, more])


def _introduction(scored: Scored, shown: int) -> Markup:
    if scored.kind == "number":
        words = f"The {plural(shown, 'answer')} furthest from what is right."
    else:
        wrong = int((~scored.right).sum())
        is_one = "is" if wrong == 1 else "are"
        words = (
            f"{number(wrong)} of {number(len(scored))} {is_one} wrong; here are the {number(shown)} that "
            "the model is most wrong about. Some of them may be mislabelled."
        )
    return tag(
        "p",
        f"{words} Each has its line in the file that it is from (in Parquet, its number as a record).",
        class_="note",
    )


def _item(scored: Scored, place: int) -> Markup:
    record = scored.records[place]
    said = {"classes": _of_classes, "multi_label": _of_labels, "number": _of_number}[scored.kind]
    return tag(
        "li",
        tag("div", *_texts(record), class_="text"),
        tag("div", said(scored, place), class_="said"),
    )


def _texts(record: Mapping[str, Any]) -> list[Markup]:
    keys = [key for key in ("text", "text_a", "text_b") if record.get(key) is not None]
    found = []
    for key in keys:
        words = str(record[key])
        shown = words if len(words) <= _CHARACTERS else f"{words[:_CHARACTERS]} …"
        found.append(tag("p", shown or "(empty)", dir="auto"))
    return [*found, tag("p", f"line {record.get('id')}", class_="row")]


def _answer(right: object, said: object) -> Markup:
    return tag(
        "p",
        *("right ", tag("b", tag("bdi", right)), " · answered ", tag("b", tag("bdi", said))),
        class_="answer",
    )


def _of_classes(scored: Scored, place: int) -> Markup:
    row, gold = scored.probabilities[place], int(scored.gold[place])
    order = [int(index) for index in np.argsort(-row, kind="stable")[:_CLASSES]]
    if gold not in order:
        order = [*order[:-1], gold]
    answer = _answer(scored.classes[gold], scored.classes[int(scored.predicted[place])])
    bars = (_bar(scored.classes[index], row[index], index == gold) for index in order)
    return join([answer, tag("ul", *bars, class_="bars")])


def _of_labels(scored: Scored, place: int) -> Markup:
    row, gold, said = scored.probabilities[place], scored.gold[place], scored.predicted[place]
    names = [
        ", ".join(scored.classes[index] for index in np.flatnonzero(flags)) or "(none)"
        for flags in (gold, said)
    ]
    wrong = np.flatnonzero(gold != said)
    order = wrong[np.argsort(-np.abs(gold - row)[wrong], kind="stable")][:_CLASSES]
    bars = (_bar(scored.classes[index], row[index], bool(gold[index])) for index in order)
    return join([_answer(*names), tag("ul", *bars, class_="bars")])


def _of_number(scored: Scored, place: int) -> Markup:
    gold, said = float(scored.gold[place]), float(scored.predicted[place])
    off = tag("p", f"off by {number(abs(said - gold))}", class_="row")
    return join([_answer(number(gold), number(said)), off])


def _bar(name: str, share: float, is_right: bool) -> Markup:
    shown = [tag("bdi", name, title=name), tag("i", style=f"--a:{share:.3f}"), score(float(share))]
    return tag("li", *shown, class_="gold" if is_right else None)
