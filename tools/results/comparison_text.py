"""A comparison of two runs in words, and the examples that changed as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from processors.intervals import Interval
from tools.results.compare import Comparison, Difference, Record

_WIDTH = 100  # So much of a text is shown.
COLUMNS = ("id", "text", "label", "A", "B", "change")
COLUMNS_OF_PAIRS = ("id", "text_a", "text_b", "label", "A", "B", "change")


def lines_of(comparison: Comparison, limit: int | None) -> Iterator[str]:
    """Yield the comparison line by line, the verdict first.

    Args:
        limit: how many of the changed examples are shown; None for all.
    """
    yield f"dev{comparison.suffix}, {len(comparison.before)} examples: {comparison.verdict}"
    for metric in comparison.metrics:
        yield _metric(metric)
    changed = list(comparison.changed())
    if comparison.only:
        a, b = comparison.only
        yield (
            f"  right in A alone: {a}; in B alone: {b}; McNemar's exact test: p = {comparison.p_value:.3g}"
        )
    shown = changed[:limit]
    remark = _remark(shown, changed)
    yield f"  predictions that changed: {len(changed)}, by the line of each in its file{remark}"
    for a, b in shown:
        yield f"    line {a['id']}: {_said(a, b)}: {_clipped(' | '.join(_texts(a)))}"


def _remark(shown: Sequence[Any], changed: Sequence[Any]) -> str:
    return f"; the first {len(shown)} (--all shows the rest)" if len(shown) < len(changed) else ""


def rows_of(comparison: Comparison) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Yield the changed examples as :func:`processors.predictions.write_table` wants rows."""
    for a, b in comparison.changed():
        said = [a["label"], a["prediction"], b["prediction"], _change(a, b)]
        yield [a["id"], *_texts(a), *said], {}


def columns_of(comparison: Comparison) -> Sequence[str]:
    """Return the names of what :func:`rows_of` yields."""
    return COLUMNS_OF_PAIRS if len(_texts(comparison.before[0])) == 2 else COLUMNS


def _metric(metric: Difference) -> str:
    (a, b), (of_a, of_b) = metric.values, metric.intervals
    text = f"  {metric.name}: A {a:.3f}{_ends(of_a)}, B {b:.3f}{_ends(of_b)}, B - A {b - a:+.3f}"
    if metric.difference is None:
        return text
    low, high = metric.difference
    return f"{text} (95 % interval {low:+.3f} to {high:+.3f})"


def _ends(ends: Interval | None) -> str:
    return f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends else ""


def _texts(record: Record) -> list[str]:
    return [record[name] for name in ("text", "text_a", "text_b") if name in record]


def _said(a: Record, b: Record) -> str:
    label, before, after = (
        ", ".join(value) or "no label" if isinstance(value, list) else value
        for value in (a["label"], a["prediction"], b["prediction"])
    )
    return f"{before} → {after}, is {label} ({_change(a, b)})"


def _change(a: Record, b: Record) -> str:
    label, before, after = a["label"], a["prediction"], b["prediction"]
    if isinstance(label, int | float):
        nearer = abs(after - label) - abs(before - label)
        return "nearer" if nearer < 0 else "farther" if nearer > 0 else "as far"
    is_set = isinstance(label, list)
    label, before, after = (sorted(x) if is_set else x for x in (label, before, after))
    return "now right" if after == label else "now wrong" if before == label else "still wrong"


def _clipped(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…"
