"""What an export is checked on: the dev set of the model's training, or inputs of random pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from model.configuration_albert import AlbertConfig
from model.files import digest
from model.tokenizer import Tokenizer
from processors.custom import CUSTOM, custom_task
from processors.features import Features, build_features
from processors.glue import SPLITS, TASKS, Task
from processors.multi_label import LABEL_SEPARATOR
from processors.reading import read_examples
from tools.cli.errors import UsageError
from tools.exporting.source import Source
from tools.run.custom_flags import DEFAULT_LABEL, DEFAULT_TEXT
from tools.run.data_flags import ShareFlags
from tools.run.data_shares import divide
from tools.run.inputs import check_sizes, resolve_task

_RANDOM_INPUTS, _SEED = 256, 42


@dataclass(frozen=True)
class DevFile:
    """A file of a dev set.

    Attributes:
        name: of the file, or what else the examples are.
        suffix: of its metrics' names, where the task has several files.
        sha256: of the file; None for inputs that are from none.
    """

    name: str
    features: Features
    suffix: str = ""
    sha256: str | None = None


@dataclass(frozen=True)
class DevSet:
    """The inputs of the check.

    Attributes:
        task: with its classes in the order of the model's outputs; None for inputs without labels.
        why_none: for those, why it is not the dev set of the training.
    """

    files: Sequence[DevFile]
    task: Task | None = None
    why_none: str = ""

    @property
    def described(self) -> str:
        """The files, and how many examples each has."""
        return ", ".join(f"{file.name} ({len(file.features):,} examples)" for file in self.files)


def find_dev_set(source: Source, dev_file: Path | None) -> DevSet:
    """Return the dev set of the model's training, or what ``dev_file`` holds, read as in that training.

    Where there is none, as of a model from elsewhere or of data that were moved, the inputs are random
    pieces of the vocabulary.

    Raises:
        UsageError, OSError, ValueError: ``dev_file`` cannot be read as data of the model's task.
    """
    try:
        return _read(source, dev_file)
    except (UsageError, OSError, ValueError) as error:
        if dev_file:
            raise
        return DevSet([_random_inputs(source.config, source.tokenizer)], why_none=str(error))


def _read(source: Source, dev_file: Path | None) -> DevSet:
    config, flags = source.config, source.flags
    if dev_file and not dev_file.is_file():
        raise UsageError(f"--dev_file {dev_file} is missing")
    share = ShareFlags(flags.get("dev_share"), None, flags.get("split_seed"))
    if dev_file:
        share = ShareFlags()
    task = _task_of(flags, config, share.dev_share, dev_file)
    order = flags.get("label_order")
    data_dir = Path(flags.get("data_dir") or ".")
    task = resolve_task(task, config, False, data_dir, tuple(order) if order else None)
    check_sizes(config, task, config.max_seq_length)
    split = "train" if share.dev_share else "dev"
    paths = [dev_file] if dev_file else task.paths(data_dir, split)
    if missing := [path for path in paths if not path.is_file()]:
        raise UsageError(f"{missing[0]}, the training's file of examples, is not there any more")
    of_numbers = task.is_regression or task.is_multi_label
    how = (source.tokenizer, config.max_seq_length, of_numbers, config.truncation)
    features = [build_features(read_examples(task, path, split), *how) for path in paths]
    if share.dev_share:
        shares, _ = divide({"train": features}, ["dev"], share, task)
        features = shares["dev"]
    names = [f"{share.dev_share:.0%} of {p.name}" if share.dev_share else p.name for p in paths]
    digests = map(digest, paths)
    suffixes = ("",) if dev_file else task.suffixes
    return DevSet(
        [DevFile(*file) for file in zip(names, features, suffixes, digests, strict=True)], task
    )


def _task_of(
    flags: Mapping[str, Any], config: AlbertConfig, dev_share: float | None, dev_file: Path | None
) -> Task:
    """Return the training's task, as far as its flags tell it, or what the model's configuration tells."""
    name = flags.get("task_name")
    if name in TASKS:
        task = TASKS[name]
    elif name == CUSTOM or (dev_file and config.text_columns):
        files = dict.fromkeys(SPLITS)
        if dev_share:
            files["train"] = flags.get("train_file")
        else:
            files["dev"] = str(dev_file) if dev_file else flags.get("dev_file")
        if not any(files.values()):
            raise UsageError("the model's training had no dev set")
        texts, label = flags.get("text_columns"), flags.get("label_column")
        task = custom_task(
            files,
            tuple(texts) if texts else config.text_columns or (DEFAULT_TEXT,),
            label or DEFAULT_LABEL,
            config.num_labels == 1 and not config.is_multi_label,
            (config.label_separator or LABEL_SEPARATOR) if config.is_multi_label else None,
        )
    else:
        raise UsageError(
            "nothing tells the task that the model was trained for, as a run's run.json or "
            "training_args.json beside it would"
        )
    return replace(task, encoding=flags.get("encoding") or task.encoding)


def _random_inputs(config: AlbertConfig, tokenizer: Tokenizer) -> DevFile:
    """Return inputs of all lengths that the model takes, pairs where it was trained on pairs."""
    draw = np.random.default_rng(_SEED)
    shortest = 3 + 2 * bool(config.has_pairs)
    lengths = draw.integers(shortest, config.max_seq_length + 1, _RANDOM_INPUTS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    special = (tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id)
    pieces = np.setdiff1d(np.arange(tokenizer.vocab_size), special)
    ids = draw.choice(pieces, offsets[-1]).astype(np.int32)
    ids[offsets[:-1]], ids[offsets[1:] - 1] = tokenizer.cls_id, tokenizer.sep_id
    first_lengths = lengths.copy()
    if config.has_pairs:
        first_lengths = draw.integers(3, lengths - 1)
        ids[offsets[:-1] + first_lengths - 1] = tokenizer.sep_id
    features = Features(ids, offsets.astype(np.int64), first_lengths.astype(np.int32), ids[:0])
    return DevFile("random pieces of the vocabulary", features)
