"""What a run is, for its record: versions, device, task, data, and what a model has to be better than."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.files import digest
from processors.features import Features
from processors.glue import Task
from tools.cli.revision import git_revision
from tools.cli.version import installed_version, project_version
from tools.machine.runtime import Runtime
from tools.run.flags import Flags
from tools.run.run_record import RunRecord
from tools.run.scores import Scores
from tools.run.start import Start

# Those of requirements.txt, and what else computes where it is installed.
PACKAGES = (
    *("torch", "numpy", "safetensors", "scikit-learn", "scipy"),
    *("sentencepiece", "tokenizers", "tqdm"),
)
_ACCELERATORS = ("torch-npu", "apex", "triton")


def begin_record(record: RunRecord, flags: Flags, runtime: Runtime, start: Start) -> None:
    """Begin the record of a run with what the run is, as :meth:`RunRecord.begin` has it."""
    if record.is_kept:
        facts = describe_run(flags, runtime, start)
        record.begin(facts, resumes=start.saved is not None, trains=flags.goals.do_train)


def describe_run(flags: Flags, runtime: Runtime, start: Start) -> dict[str, Any]:
    """Return what is known of a run before it does anything, by the names in run.json."""
    task, own_dev = start.task, not flags.shares.dev_share
    return {
        "command": sys.argv,
        "flags": flags.as_dict(),
        "versions": versions(),
        "git_revision": git_revision(),
        "device": {"name": str(runtime.device), "kind": runtime.device.type},
        "processes": runtime.processes.world_size,
        "task": {
            "name": task.name,
            "kind": _kind(task),
            "classes": task.labels,
            "metrics": task.metrics,
        },
        "data": describe_data(task, flags.inputs.data_dir, start.features, own_dev),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, of the packages that the project needs, and of the project."""
    found = {name: installed_version(name) for name in (*PACKAGES, *_ACCELERATORS)}
    there = {name: version for name, version in found.items() if version is not None}
    return {"python": platform.python_version(), **there, "project": project_version()}


def _kind(task: Task) -> str:
    if task.is_multi_label:
        return "multi_label"
    return "number" if task.is_regression else "classes"


def describe_data(
    task: Task, data_dir: Path, features: Mapping[str, Sequence[Features]], own_dev: bool = True
) -> dict[str, dict[str, Any]]:
    """Return what each file's examples are like, by split and suffix.

    Args:
        own_dev: whether the dev set has files of its own, and is no share of the training's.
    """
    found = {}
    for split, files in features.items():
        paths = task.paths(data_dir, split if own_dev or split != "dev" else "train")
        # A task has names for its dev files alone; training data are one file.
        for suffix, path, examples in zip((*task.suffixes, ""), paths, files, strict=False):
            found[split + suffix] = {
                "path": path,
                "sha256": digest(path) if path.is_file() else None,
                "rows": len(examples),
                "cut": int(examples.cut.sum()) if len(examples.cut) else None,
                "max_tokens": int(examples.lengths.max(initial=0)),
                "classes": _class_counts(task, examples.labels),
                "numbers": _range(task, examples.labels),
            }
    return found


def _class_counts(task: Task, labels: np.ndarray) -> dict[str, int] | None:
    if task.labels is None or not len(labels):
        return None
    if labels.ndim == 2:
        counts = labels.sum(axis=0).astype(int)
    else:
        counts = np.bincount(labels, minlength=len(task.labels))
    return dict(zip(task.labels, map(int, counts), strict=True))


def _range(task: Task, labels: np.ndarray) -> dict[str, float] | None:
    if not task.is_regression or not len(labels):
        return None
    mean = float(labels.mean(dtype=np.float64))
    return {"min": float(labels.min()), "mean": mean, "max": float(labels.max())}


def baseline(task: Task, features: Mapping[str, Sequence[Features]]) -> dict[str, Any]:
    """Return the dev metrics of the answer that needs no text, and under ``class`` that answer.

    It is the most frequent class or label of the training data, or their mean; of the dev set's where
    there are none.
    """
    (known, *_), dev = features.get("train") or features["dev"], features["dev"]
    counts = _class_counts(task, known.labels)
    if counts is None:
        answer: Any = float(known.labels.mean(dtype=np.float64))
        row = np.array([answer])
    else:
        answer = max(counts, key=counts.get)
        row = np.where(np.array(task.labels) == answer, 9.0, -9.0)  # These are log odds.
    found = {}
    for suffix, examples in zip(task.suffixes, dev, strict=True):
        logits = np.tile(row, (len(examples), 1))
        scores = Scores.of(task, logits, examples.labels, suffix, is_final=False)
        found |= scores.metrics
    return {**found, "class": answer}
