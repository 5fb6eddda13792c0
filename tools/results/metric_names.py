"""What metrics are called in sentences, and which way is better."""

from __future__ import annotations

from processors.metrics import LOWER_IS_BETTER
from tools.results.numbers import is_number

_NAMES = {
    "acc": "accuracy",
    "f1": "F1 of class 1",
    "acc_and_f1": "mean of accuracy and F1",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "mcc": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearmanr": "Spearman correlation",
    "corr": "mean of both correlations",
    "mae": "mean absolute error",
    "rmse": "root mean square error",
    "loss": "dev loss",
}
# The intervals of the others are found by drawing the examples again.
_BY_FORMULA = ("acc",)
_NO_SCORES = ("step", "examples", "epoch", "time")


def _split(metric: str) -> tuple[str, str]:
    """Return a metric and the suffix of the dev file that it is of."""
    for name in sorted(_NAMES, key=len, reverse=True):
        if metric == name or metric.startswith((f"{name}-", f"{name}_mm", f"{name}_at_")):
            return name, metric[len(name) :]
    return metric, ""


def spoken(metric: str) -> str:
    """Return what a metric of the records is called: ``acc_mm`` is "accuracy (mm)"."""
    name, rest = _split(metric)
    rest = rest.lstrip("-_").replace("_", " ").strip()
    return f"{_NAMES.get(name, name)} ({rest})" if rest else _NAMES.get(name, name)


def method(metric: str) -> str:
    """Return how its interval is found."""
    return "Wilson" if _split(metric)[0] in _BY_FORMULA else "bootstrap over the examples"


def is_better_when_lower(metric: str) -> bool:
    """Return whether less of it is better."""
    return _split(metric)[0] in (*LOWER_IS_BETTER, "loss")


def is_loss(name: str) -> bool:
    """Return whether an entry is the loss on a dev file, which is no metric of the task."""
    return _split(name)[0] == "loss"


def is_metric(name: str, value: object) -> bool:
    """Return whether an entry of an evaluation's record is one of its metrics, and a finite number."""
    return is_number(value) and name not in _NO_SCORES and not name.startswith("threshold[")
