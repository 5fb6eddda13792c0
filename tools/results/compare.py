"""Does one run beat another on the same dev set, or is that chance? By what each said of every example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from processors.intervals import Interval, difference_interval, interval
from processors.metrics import LOWER_IS_BETTER, METRICS, compute_metrics
from tools.cli.errors import UsageError
from tools.results.run_folder import PREDICTIONS, RunFolder
from tools.results.scored import is_whole

Record = dict[str, Any]

_KINDS = {str: "classes", list: "any number of labels", float: "numbers", int: "numbers"}
_TEXTS = ("text", "text_a", "text_b")
# Where the records of the runs do not tell which of the metrics the task has.
_USUAL = {"classes": ("acc", "macro_f1"), "numbers": ("pearson", "spearmanr", "mae", "rmse")}
_USUAL["any number of labels"] = ("micro_f1", "macro_f1")
_CHANCE = 0.05


@dataclass(frozen=True)
class Difference:
    """A metric of two runs A and B; the interval of each at 95 %, and of B - A over the same examples."""

    name: str
    values: tuple[float, float]
    intervals: tuple[Interval | None, Interval | None]
    difference: Interval | None

    @property
    def sign(self) -> int:
        """1 where B is better by more than chance, -1 where it is worse, else 0."""
        low, high = self.difference or (0.0, 0.0)
        better = (low > 0) - (high < 0)
        return -better if self.name in LOWER_IS_BETTER else better


@dataclass(frozen=True)
class Comparison:
    """Two runs on one file of the dev set.

    Attributes:
        suffix: which tells the file from others of the task.
        kind: what the task asks for, in words.
        before, after: what A and B said of each of the N examples, in the same order.
        metrics: the first one stands for the task.
        only: how many examples A alone has right, and how many B alone; None for numbers.
        p_value: McNemar's, exact: how often chance alone divides those as unevenly, if A and B are equally
            good; None for numbers.
    """

    suffix: str
    kind: str
    before: Sequence[Record]
    after: Sequence[Record]
    metrics: Sequence[Difference]
    only: tuple[int, int] | None
    p_value: float | None

    @property
    def verdict(self) -> str:
        """One plain sentence."""
        first = self.metrics[0]
        sign, count = first.sign, len(self.before)
        if first.name == "acc":  # The exact test decides; the bootstrap comes near it.
            a, b = self.only
            sign = ((b > a) - (a > b)) * (self.p_value < _CHANCE)
        if not sign:
            same = not any(self.changed())
            why = "both say the same of each" if same else "what there is may well be chance"
            return f"No difference that these {count} examples can show: {why}."
        word = "better" if sign > 0 else "worse"
        low, high = first.difference or (0.0, 0.0)
        return (
            f"B is {word} than A: {first.name} differs by {low:+.3f} to {high:+.3f} on what these {count} "
            "examples stand for (95 % interval)."
        )

    def changed(self) -> Iterator[tuple[Record, Record]]:
        """Yield both records of each example whose prediction changed; of numbers the farthest first."""
        pairs = [
            (a, b)
            for a, b in zip(self.before, self.after, strict=True)
            if not _same(a["prediction"], b["prediction"])
        ]
        if self.kind == "numbers":
            pairs.sort(key=lambda pair: -abs(pair[0]["prediction"] - pair[1]["prediction"]))
        yield from pairs


def compare(first: RunFolder, second: RunFolder) -> list[Comparison]:
    """Compare two runs, A and B, on each file of the dev set.

    Raises:
        UsageError: a run kept no predictions, or the two are of different tasks or dev sets.
    """
    suffixes = _suffixes(first)
    for folder, found in ((first, suffixes), (second, _suffixes(second))):
        if not found and folder.run.get("seeds"):
            raise UsageError(f"{folder.path} holds trainings with several seeds: name one's folder")
        if not found:
            raise UsageError(
                f"{folder.path} has no {PREDICTIONS}/dev.jsonl, which says what its model made of each "
                "example: score it with --do_eval"
            )
    if suffixes != _suffixes(second):
        raise _other(first, second, "one has two files of it, and the other one")
    return [_compare_file(first, second, suffix) for suffix in suffixes]


def _compare_file(first: RunFolder, second: RunFolder, suffix: str) -> Comparison:
    before, after = (_whole_predictions(folder, suffix) for folder in (first, second))
    kinds = [_KINDS.get(type(records[0]["label"])) for records in (before, after)]
    if kinds[0] != kinds[1]:
        raise UsageError(
            f"{first.path} and {second.path} are of different tasks: one predicts {kinds[0]}, the other "
            f"{kinds[1]}"
        )
    _check_same_examples(first, second, before, after)
    labels, *predictions = _arrays(kinds[0], before, after)
    only = p_value = None
    if labels.dtype.kind == "i":
        right = [_rows_equal(said, labels) for said in predictions]
        only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
        p_value = _mcnemar(*only)
    names = _metrics_of(kinds[0], suffix, first, second)
    metrics = [
        Difference(
            name,
            tuple(compute_metrics([name], said, labels)[name] for said in predictions),
            tuple(interval(name, said, labels) for said in predictions),
            difference_interval(name, *predictions, labels),
        )
        for name in names
    ]
    return Comparison(suffix, kinds[0], before, after, metrics, only, p_value)


def _whole_predictions(folder: RunFolder, suffix: str) -> list[Record]:
    records = folder.dev_predictions(suffix)
    for number, record in enumerate(records, start=1):
        if not is_whole(record):
            raise UsageError(
                f"{folder.path / PREDICTIONS}/dev{suffix}.jsonl is damaged (record {number}): score the "
                "run anew with --do_eval"
            )
    return records


def _check_same_examples(
    first: RunFolder, second: RunFolder, before: Sequence[Record], after: Sequence[Record]
) -> None:
    if len(before) != len(after):
        raise _other(first, second, f"one of {len(before)} examples, one of {len(after)}")
    for a, b in zip(before, after, strict=True):
        for name in (*_TEXTS, "label"):  # Their lines may be others, as in another format.
            mine, others = a.get(name), b.get(name)
            if mine != others and not _same(mine, others):
                raise _other(first, second, f"the {name} of line {a.get('id')} is another")
    classes = [sorted(records[0].get("probabilities", ())) for records in (before, after)]
    if classes[0] != classes[1]:
        raise UsageError(
            f"{first.path} and {second.path} are of different tasks: the classes of one are "
            f"{', '.join(classes[0])}, and of the other {', '.join(classes[1])}"
        )


def _other(first: RunFolder, second: RunFolder, how: str) -> UsageError:
    return UsageError(
        f"{first.path} and {second.path} scored different dev sets ({how}): score one with the other's "
        "data, --do_eval --model_name_or_path RUN --output_dir OTHER"
    )


def _arrays(kind: str, before: Sequence[Record], after: Sequence[Record]) -> list[np.ndarray]:
    """Return the labels and what A and B said, as the metrics want them."""
    labels = [record["label"] for record in before]
    if kind == "numbers":
        said = [[record["score"] for record in records] for records in (before, after)]
        return [np.array(values, dtype=np.float64) for values in (labels, *said)]
    said = [[record["prediction"] for record in records] for records in (before, after)]
    order = {name: i for i, name in enumerate(sorted(before[0]["probabilities"]))}
    if kind == "classes":
        return [np.array([order[name] for name in names]) for names in (labels, *said)]
    sets = []
    for rows in (labels, *said):
        found = np.zeros((len(rows), len(order)), dtype=np.int64)
        for row, names in zip(found, rows, strict=True):
            row[[order[name] for name in names]] = 1
        sets.append(found)
    return sets


def _rows_equal(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return (one == two).reshape(len(one), -1).all(axis=1)


def _mcnemar(only_first: int, only_second: int) -> float:
    """Return the p-value of Q. McNemar's test (1947), by the binomial distribution itself."""
    from scipy.stats import binomtest

    total = only_first + only_second
    return float(binomtest(only_first, total).pvalue) if total else 1.0


def _metrics_of(kind: str, suffix: str, *folders: RunFolder) -> Sequence[str]:
    """Return the metrics that both runs recorded of their models, in the task's order."""
    recorded = []
    for folder in folders:
        final = [record for record in folder.of("eval") if record.get("model") == "model"]
        names = [name.removesuffix(suffix) for name in (final[-1] if final else ())]
        recorded.append([name for name in dict.fromkeys(names) if name in METRICS])
    both = [name for name in recorded[0] if all(name in names for names in recorded)]
    return both or _USUAL[kind]


def _suffixes(folder: RunFolder) -> list[str]:
    """Return what tells the dev set's files apart whose predictions a run kept."""
    names = sorted(file.stem for file in (folder.path / PREDICTIONS).glob("dev*.jsonl"))
    suffixes = [name.removeprefix("dev") for name in names]
    return [suffix for suffix in suffixes if folder.dev_predictions(suffix)]


def _same(one: object, other: object) -> bool:
    """Return whether two predictions or labels are alike; the order of several labels is none."""
    if isinstance(one, list) and isinstance(other, list):
        return sorted(one) == sorted(other)
    return one == other
