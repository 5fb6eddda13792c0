"""The facts of a task's files, as JSON has them, and as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.tokenizer import Tokenizer
from processors.data_check import Repeats, either_order, length_bars, text_keys
from processors.features import build_features
from processors.formats import numbered
from processors.glue import Task
from processors.reading import Examples
from processors.splits import Split, Splits
from tools.run.data_facts import count_unknown, describe_labels, quoted

_BAR = 40
# So many rows are shown of each kind; JSON has all.
_SHOWN = 3
_LONGEST_SHOWN = 60
# No text has so many tokens: all of each is counted.
_UNCUT = 2**30


def split_facts(
    splits: Splits, tokenizer: Tokenizer | None, max_seq_length: int
) -> dict[str, dict[str, Any]]:
    """Return the facts of each file by its name, as plain values.

    Args:
        tokenizer: None where there is none; then lengths are in characters, and nothing is said of inputs
            that are cut and of unknown tokens.
        max_seq_length: tokens that an input has at most.
    """
    symmetric = either_order(splits.task)
    keys = {file.name: text_keys(file.texts, symmetric) for file in splits.files}
    train = splits.train
    facts = {}
    for file in splits.files:
        of_train = None if train in (None, file) else (keys[train.name], train.labels)
        found = Repeats.of(keys[file.name], file.labels, of_train)
        facts[file.name] = {
            "path": str(file.path),
            "rows": len(file),
            **_label_facts(splits, file),
            "unknown_labels": splits.lacking(file),
            "duplicates": int(found.repeated.sum()),
            "conflicts": _pairs(file, found.contradicts, file, found.first),
            "in_train": int((found.in_train >= 0).sum()) if of_train else None,
            "in_train_conflicts": _pairs(file, found.contradicts_train, train, found.in_train),
            "empty": [file.numbers[row] for row in np.flatnonzero(file.empty)],
            **_length_facts(file, tokenizer, max_seq_length),
        }
    return facts


def _label_facts(splits: Splits, file: Split) -> dict[str, Any]:
    task = splits.task
    if not len(file.labels):
        return {"labels": None}
    if task.is_regression:
        numbers = file.labels[~np.isnan(file.labels)]
        wrong = [file.numbers[row] for row in np.flatnonzero(np.isnan(file.labels))]
        described = describe_labels(numbers, None) if len(numbers) else "none"
        return {"labels": described, "no_numbers": wrong}
    many = file.labels.ndim == 2
    counts = file.labels.sum(axis=0) if many else np.bincount(file.labels)
    # Labels that only other files have come last, and are none of this one's.
    wide = max(splits.known, *(np.flatnonzero(counts) + 1), 1)
    names = task.labels[:wide]
    counted = dict(zip(names, [*counts.tolist(), *[0] * wide][:wide], strict=True))
    described = describe_labels(file.labels[:, :wide] if many else file.labels, names)
    return {"labels": described, "counts": counted}


def _pairs(
    file: Split, which: np.ndarray, other: Split | None, others: np.ndarray | None
) -> list[dict[str, Any]]:
    """Return the rows of ``file`` beside those of ``other`` with the same text and another label."""
    return [
        {
            "line": file.numbers[row],
            "label": file.cells[row],
            "text": "\t".join(column[row] for column in file.texts),
            "other_line": other.numbers[others[row]],
            "other_label": other.cells[others[row]],
        }
        for row in np.flatnonzero(which)
    ]


def _length_facts(file: Split, tokenizer: Tokenizer | None, max_seq_length: int) -> dict[str, Any]:
    if tokenizer is None:
        lengths = np.array([sum(map(len, texts)) for texts in zip(*file.texts, strict=True)])
        more = {"unit": "characters", "cut": None, "unknown_share": None}
    else:
        features = build_features(Examples(*file.texts), tokenizer, _UNCUT, False)
        lengths = features.lengths
        unknown, tokens = count_unknown(features, tokenizer)
        more = {
            "unit": "tokens",
            "cut": int((lengths > max_seq_length).sum()),
            "unknown_share": unknown / max(1, tokens),
        }
    return more | {
        "median_length": float(np.median(lengths)),
        "longest": int(lengths.max()),
        "histogram": length_bars(lengths),
    }


def report_lines(
    task: Task, facts: Mapping[str, Mapping[str, Any]], max_seq_length: int
) -> Iterator[str]:
    """Yield what :func:`split_facts` found, line by line."""
    for name, found in facts.items():
        yield f"{name}: {found['path']}, {_rows(found['rows'])}"
        for line in _split_lines(task, found, max_seq_length):
            yield f"  {line}"


def _split_lines(task: Task, found: Mapping[str, Any], max_seq_length: int) -> Iterator[str]:
    path = Path(found["path"])
    if found["labels"]:
        kind = "numbers" if task.is_regression else "labels" if task.is_multi_label else "classes"
        yield f"{kind}: {found['labels']}"
    if wrong := found.get("no_numbers"):
        yield f"no numbers: {_rows(len(wrong))}, the first on {numbered(path, wrong[0])}"
    if unknown := found["unknown_labels"]:
        listed = ", ".join(f"{quoted(name)} ({rows})" for name, rows in unknown.items())
        yield f"labels that a training would not know: {listed}"
    conflicts = found["conflicts"]
    yield f"repeated texts: {_rows(found['duplicates'])}{_of_them(conflicts)}"
    yield from _conflict_lines(path, conflicts, "")
    if found["in_train"] is not None:
        conflicts = found["in_train_conflicts"]
        yield f"also in train: {_rows(found['in_train'])}{_of_them(conflicts)}"
        yield from _conflict_lines(path, conflicts, " of train")
    if empty := found["empty"]:
        yield f"empty texts: {_rows(len(empty))}, the first on {numbered(path, empty[0])}"
    words = f"{found['unit']}: {found['median_length']:g} in the middle, {found['longest']} at most"
    if found["cut"] is not None:
        words += (
            f"; {_rows(found['cut'])} cut to --max_seq_length {max_seq_length}; "
            f"{100 * found['unknown_share']:.2g} % unknown"
        )
    yield words
    yield from _bar_lines(found["histogram"])


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _of_them(conflicts: Sequence[Any]) -> str:
    return f", {len(conflicts)} of them with another label" if conflicts else ""


def _conflict_lines(
    path: Path, conflicts: Sequence[Mapping[str, Any]], where: str
) -> Iterator[str]:
    for pair in conflicts[:_SHOWN]:
        other = f"{pair['other_label']} on {numbered(path, pair['other_line'])}{where}"
        yield f"  {numbered(path, pair['line'])}: {pair['label']}, and {other}: {shown(pair['text'])}"
    if len(conflicts) > _SHOWN:
        yield f"  and {len(conflicts) - _SHOWN} more, which --json lists"


def shown(text: str) -> str:
    """Return a text for a line of a report: the tab of a pair as a bar, cut where it is long."""
    text = " ".join(text.replace("\t", " | ").split())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _bar_lines(histogram: Sequence[tuple[int, int | None, int]]) -> Iterator[str]:
    most = max(rows for *_, rows in histogram)
    names = [_bar_name(low, high) for low, high, _ in histogram]
    wide, figures = max(map(len, names)), len(str(most))
    for name, (*_, rows) in zip(names, histogram, strict=True):
        bar = "#" * -(-rows * _BAR // most)
        yield f"  {name:>{wide}} {rows:>{figures}} {bar}".rstrip()


def _bar_name(low: int, high: int | None) -> str:
    if high is None:
        return f"{low} or more"
    return str(low) if low == high else f"{low}-{high}"
