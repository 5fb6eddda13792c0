"""What a run says of its data before its first step, and records: classes, repeated texts, lengths."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from model.tokenizer import Tokenizer
from processors.data_check import Repeats, either_order, token_keys, without_tokens
from processors.features import Features
from processors.glue import Task
from tools.run.data_facts import count_unknown, describe_labels, warn_of_unknown

logger = logging.getLogger(__name__)

TRAIN = "train"


def log_data_check(
    task: Task, tokenizer: Tokenizer, features_of_splits: Mapping[str, Sequence[Features]]
) -> dict[str, Any]:
    """Log a line each on the labels of all splits, their repeated inputs, and their lengths.

    Inputs are compared by their tokens, as the model sees them: texts that are cut to the same, or that
    the vocabulary does not tell apart, repeat each other (376 rows of SST-2 do, of 371 by the text). A
    warning tells of
    texts that the vocabulary does not know. The second line is that of a training.

    Returns:
        by split ``rows``, ``duplicates``, ``conflicts`` (:class:`processors.data_check.Repeats`),
        ``empty``, ``cut``, ``unknown_share`` (0 to 1) and, beside train, ``in_train``; ``dev_in_train``;
        and the ``lines`` as logged.
    """
    files = dict(_by_name(task, features_of_splits))
    symmetric = either_order(task)
    keys = {name: token_keys(found, symmetric) for name, found in files.items()}
    train = (keys[TRAIN], files[TRAIN].labels) if TRAIN in files else None
    repeats = {
        name: Repeats.of(keys[name], found.labels, None if name == TRAIN else train)
        for name, found in files.items()
    }
    unknown = {name: count_unknown(found, tokenizer) for name, found in files.items()}
    for name, counts in unknown.items():
        warn_of_unknown(name, *counts, "--model_name_or_path")
    kind = "numbers" if task.is_regression else "labels" if task.is_multi_label else "classes"
    labels = {n: found.labels for n, found in files.items() if len(found.labels)}
    said = (
        (kind, {name: describe_labels(found, task.labels) for name, found in labels.items()}),
        ("repeated inputs", {name: _describe_repeats(found) for name, found in repeats.items()}),
        ("tokens", {n: _describe_lengths(found, *unknown[n]) for n, found in files.items()}),
    )
    # Without a training the second tells nothing that matters.
    lines = [_line(*parts) for parts in (said if train else said[::2]) if parts[1]]
    for line in lines:
        logger.info("  %s", line)
    facts = {name: _facts(files[name], found, *unknown[name]) for name, found in repeats.items()}
    in_train = facts.get("dev", {}).get("in_train")
    return {**facts, "dev_in_train": in_train, "lines": lines}


def _by_name(
    task: Task, features_of_splits: Mapping[str, Sequence[Features]]
) -> Iterator[tuple[str, Features]]:
    for split, files in features_of_splits.items():
        # A task has names for its dev and test files alone; training data are one file.
        for suffix, features in zip((*task.suffixes, ""), files, strict=False):
            yield split + suffix, features


def _line(what: str, parts: Mapping[str, str]) -> str:
    """Return what is said of each split, in one line."""
    return f"{what} " + "; ".join(f"of {name}: {words}" for name, words in parts.items())


def _describe_repeats(found: Repeats) -> str:
    repeated = int(found.repeated.sum())
    words = f"{repeated} of {len(found.first)} rows"
    if conflicts := int(found.contradicts.sum()):
        words += f", {conflicts} with another label"
    if found.in_train is not None:
        words += f", {int((found.in_train >= 0).sum())} also in train"
        if conflicts := int(found.contradicts_train.sum()):
            words += f" ({conflicts} with another label)"
    return words


def _describe_lengths(features: Features, unknown: int, tokens: int) -> str:
    lengths = features.lengths
    words = f"{np.median(lengths):g} in the middle, {lengths.max()} at most"
    if cut := int(features.cut.sum()):
        words += f", {cut} of {len(features)} cut to --max_seq_length"
    if empty := int(without_tokens(features).sum()):
        words += f", {empty} of an empty text"
    return f"{words}, {100 * unknown / max(1, tokens):.2g} % unknown"


def _facts(features: Features, found: Repeats, unknown: int, tokens: int) -> dict[str, Any]:
    facts = {
        "rows": len(features),
        "duplicates": int(found.repeated.sum()),
        "conflicts": int(found.contradicts.sum()),
        "empty": int(without_tokens(features).sum()),
        "cut": int(features.cut.sum()),
        "unknown_share": unknown / max(1, tokens),
    }
    if found.in_train is not None:
        facts["in_train"] = int((found.in_train >= 0).sum())
        facts["in_train_conflicts"] = int(found.contradicts_train.sum())
    return facts
