"""Whether all processes of a run were started alike: said before they compute anything together."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from callback.checkpointing import MANIFEST_NAME
from model.files import digest
from model.modeling_albert import AlbertForSequenceClassification
from model.tokenizer import Tokenizer
from processors.features import Features
from processors.glue import Task
from tools.cli.errors import UsageError
from tools.machine.runtime import Runtime
from tools.run.flags import Flags

# Ranks that a message names one by one.
_MOST_RANKS = 8


def check_same_flags(flags: Flags, runtime: Runtime) -> None:
    """See that all processes got the same flags, as far as they must.

    Folders, and what concerns one machine alone, may differ.

    Raises:
        UsageError: they did not; names each flag that differs, and the ranks.
    """
    inputs, records = flags.inputs, flags.records
    facts: dict[str, Any] = asdict(flags.goals) | asdict(flags.training) | asdict(flags.shares)
    same_of_inputs = ("max_seq_length", "truncation", "label_order", "random_init")
    facts |= {name: getattr(inputs, name) for name in same_of_inputs}
    facts |= {
        name: getattr(records, name)
        for name in (
            "logging_steps",
            "eval_steps",
            "keep",
            "patience",
            "save_steps",
            "save_epochs",
            "resume",
        )
    }
    facts = {f"--{name}": value for name, value in facts.items()}
    facts["the type of device"] = runtime.device.type
    _check_same(runtime, "flags", facts)


def check_same_start(
    task: Task,
    tokenizer: Tokenizer,
    features_of_splits: Mapping[str, Sequence[Features]],
    model: AlbertForSequenceClassification,
    resume_from: Path | None,
    runtime: Runtime,
) -> None:
    """See that all processes loaded the same data, file by file of each split, and the same model.

    Raises:
        UsageError: they did not; names what differs, and the ranks.
    """
    if runtime.processes.world_size == 1:
        return
    facts: dict[str, Any] = {
        "the model's config.json": digest(repr(model.config.to_dict()).encode())[:12],
        "the vocabulary": digest(tokenizer.vocabulary_bytes)[:12],
        **{f"the tokenizer's {name}": value for name, value in tokenizer.settings.items()},
        "the classes": task.labels,
    }
    for split, files in features_of_splits.items():
        for suffix, features in zip(task.suffixes, files, strict=False):
            facts[f"{split}{suffix} data"] = (
                f"{len(features)} examples ({features.checksum()[:12]})"
            )
    if resume_from:
        facts["the checkpoint"] = f"{resume_from.name} ({digest(resume_from / MANIFEST_NAME)[:12]})"
    facts["the weights at the start"] = f"{_checksum(model):08x}"
    _check_same(runtime, "start", facts)


def _checksum(model: nn.Module) -> int:
    total = 0
    for tensor in model.state_dict().values():
        total = zlib.crc32(tensor.cpu().numpy(), total)
    return total


def _check_same(runtime: Runtime, name: str, facts: Mapping[str, Any]) -> None:
    told = {key: str(value) for key, value in facts.items()}
    if differences := find_differences(runtime.processes.exchange(name, told)):
        raise UsageError(
            f"the processes were not started alike: {'; '.join(differences)}: give all of them the same "
            "flags and files"
        )


def find_differences(facts_of_ranks: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a phrase for each fact that is not the same in all ranks: what is which, and where."""
    found = []
    for name in facts_of_ranks[0]:
        ranks_of: dict[str, list[int]] = {}
        for rank, facts in enumerate(facts_of_ranks):
            ranks_of.setdefault(facts.get(name, "unknown"), []).append(rank)
        if len(ranks_of) > 1:
            parts = [f"{value} on {_name(ranks)}" for value, ranks in ranks_of.items()]
            found.append(f"{name}: {', '.join(parts)}")
    return found


def _name(ranks: list[int]) -> str:
    if len(ranks) == 1:
        return f"rank {ranks[0]}"
    named = ", ".join(map(str, ranks[:_MOST_RANKS]))
    return f"ranks {named}" + (f" and {len(ranks) - _MOST_RANKS} more" * (len(ranks) > _MOST_RANKS))
