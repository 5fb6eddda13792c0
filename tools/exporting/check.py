"""Whether an exported network says what the trained one does: compared on the dev set, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from processors.features import Features
from processors.glue import Task
from tools.exporting.dev_set import DevSet
from tools.run.scores import NOTHING, Scores

# So far may a logit of the same weights in fp32 be from ours; of logits above 1, times the largest.
TOLERANCE = 1e-4
BATCH_SIZE = 32
Logits = Callable[[Features], np.ndarray]  # [N, num_labels] of N examples


def outputs_of(dev: DevSet, logits_of: Logits) -> list[np.ndarray]:
    """Return the outputs of a network for each file of the dev set: [N, num_labels]."""
    return [logits_of(file.features) for file in dev.files]


def score_files(dev: DevSet, outputs: Sequence[np.ndarray]) -> Scores:
    """Return the figures of outputs, file by file; none where the set has no labels."""
    scores = NOTHING
    for file, logits in zip(dev.files, outputs, strict=True) if dev.task else ():
        scores |= Scores.of(dev.task, logits, file.features.labels, file.suffix)
    return scores


def shown(scores: Scores, name: str) -> str:
    """Return a metric with its interval, if it has one."""
    value, ends = f"{name} {scores.metrics[name]:.3f}", scores.intervals.get(name)
    return f"{value} (95 % interval: {ends[0]:.3f} to {ends[1]:.3f})" if ends else value


def check_same(name: str, ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """See that the outputs of a network in the file ``name`` are ours; return how far they are at most.

    Raises:
        ValueError: they are further apart than :data:`TOLERANCE`; has the figures.
    """
    first, second = np.concatenate(list(ours)), np.concatenate(list(theirs))
    difference = float(np.abs(first - second).max(initial=0.0))
    allowed = TOLERANCE * max(1.0, float(np.abs(first).max(initial=0.0)))
    if not difference <= allowed:
        raise ValueError(
            f"{name} is refused: a logit differs by {difference:.2g} from torch's, and {allowed:.2g} is "
            "allowed; nothing was written: export with another release of torch or onnxscript"
        )
    return difference


def check_int8(task: Task, ours: Scores, theirs: Scores) -> None:
    """See that the first metric in int8 lies within the interval of that in fp32, in each dev file.

    Raises:
        ValueError: it does not, or there is no interval; has the figures.
    """
    for name in (task.metrics[0] + suffix for suffix in task.suffixes):
        if name not in theirs.metrics:  # Of several files one alone may have been given.
            continue
        ends = ours.intervals.get(name)
        if ends is None:
            raise ValueError(
                f"--int8 is refused: {name} of the dev set has no 95 % interval to hold it against: give "
                "--dev_file more examples, or leave --int8 out; nothing was written"
            )
        value = theirs.metrics[name]
        if not ends[0] <= value <= ends[1]:
            raise ValueError(
                f"--int8 is refused: its {name} is {value:.4f}, outside of the 95 % interval of fp32's "
                f"{ours.metrics[name]:.4f}, {ends[0]:.4f} to {ends[1]:.4f}: leave --int8 out; nothing was "
                "written"
            )
