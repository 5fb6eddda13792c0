"""What a run was trained and scored on: its files, its classes, what is odd about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.results.markup import Markup, details, table, tag
from tools.results.numbers import number, percent
from tools.results.outcome import Outcome

_COUNTED = {
    "rows": "rows",
    "duplicates": "repeat another",
    "conflicts": "contradict another",
    "empty": "empty",
    "cut": "cut",
    "unknown_share": "unknown tokens",
    "in_train": "also in train",
    "in_train_conflicts": "contradict train",
}
_CLASSES = 20


def data_facts(outcome: Outcome) -> Markup | None:
    """Return what is known of the data; None where the run says nothing of it."""
    files, check = outcome.part("data"), outcome.part("data_check")
    parts = [
        _lines(check),
        _checked(check),
        _classes({name: one for name, one in files.items() if isinstance(one, Mapping)}),
        _files({name: one for name, one in files.items() if isinstance(one, Mapping)}),
    ]
    found = [part for part in parts if part]
    if not found:
        return None
    return tag("section", tag("h2", "The data"), *found, id="data")


def _lines(check: Mapping[str, Any]) -> Markup | None:
    lines = check.get("lines")
    if not isinstance(lines, list) or not lines:
        return None
    return tag("ul", *(tag("li", line) for line in lines), class_="lines")


def _checked(check: Mapping[str, Any]) -> Markup | None:
    splits = {name: one for name, one in check.items() if isinstance(one, Mapping)}
    keys = [key for key in _COUNTED if any(key in one for one in splits.values())]
    if not keys:
        return None
    rows = [
        [name, *((percent if key == "unknown_share" else number)(one.get(key)) for key in keys)]
        for name, one in splits.items()
    ]
    header = ["split", *(_COUNTED[key] for key in keys)]
    return table("What the check of the data counted", header, rows, "numbers")


def _classes(files: Mapping[str, Mapping[str, Any]]) -> Markup | None:
    counted = {
        n: one["classes"] for n, one in files.items() if isinstance(one.get("classes"), dict)
    }
    if not counted:
        return _numbers(files)
    names = list(dict.fromkeys(name for one in counted.values() for name in one))
    totals = {name: sum(one.values()) or 1 for name, one in counted.items()}
    rows = [
        [
            tag("bdi", name, title=name),
            *(
                tag(
                    "td",
                    f"{number(one.get(name, 0))} ({percent(one.get(name, 0) / totals[split])})",
                    style=f"--a:{one.get(name, 0) / totals[split]:.3f}",
                    class_="meter",
                )
                for split, one in counted.items()
            ),
        ]
        for name in names
    ]
    shown = table("How often each class occurs", ["class", *counted], rows[:_CLASSES], "numbers")
    if len(rows) <= _CLASSES:
        return shown
    rest = table("The other classes", ["class", *counted], rows[_CLASSES:], "numbers")
    return tag("div", shown, details(f"The other {len(rows) - _CLASSES} classes", rest))


def _numbers(files: Mapping[str, Mapping[str, Any]]) -> Markup | None:
    keys = ("min", "mean", "max")
    rows = [
        [name, *(number(one["numbers"].get(key)) for key in keys)]
        for name, one in files.items()
        if isinstance(one.get("numbers"), dict)
    ]
    header = ["split", "lowest", "mean", "highest"]
    return table("The numbers to predict", header, rows, "numbers") if rows else None


def _files(files: Mapping[str, Mapping[str, Any]]) -> Markup | None:
    rows = [
        [
            name,
            number(one.get("rows")),
            number(one.get("cut")),
            number(one.get("max_tokens")),
            tag("bdi", one.get("path") or "–"),
            tag("code", str(one.get("sha256") or "–")),
        ]
        for name, one in files.items()
    ]
    header = ["split", "rows", "cut", "longest", "file", "SHA-256"]
    return details("The files", table("The files", header, rows, "files")) if rows else None
