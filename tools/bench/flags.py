"""The benchmark's command line, and what all contenders are told of it."""

from __future__ import annotations

import argparse
import importlib.util
import os
from dataclasses import dataclass, replace
from pathlib import Path

from callback.optimization import OPTIMIZERS
from model.configuration_albert import AlbertConfig
from processors.glue import TASKS
from tools.bench.contenders import ATTENTIONS, PARTS, PRECISIONS, Contender, make_contenders
from tools.cli.errors import UsageError
from tools.cli.groups import fill, flag
from tools.cli.parser import Number
from tools.machine.cores import usable_cores
from tools.machine.device import Device
from tools.machine.process_flags import DEVICES

SHORTEST = 3  # An example has so many tokens at least: [CLS] x [SEP].
SEED = 42
LEARNING_RATE = 1e-5


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


_NAMES = {"type": _words, "metavar": "A,B,…"}
_FOLDER = {"type": Path, "metavar": "DIR"}
_COUNT = {"type": Number(int, 1), "metavar": "N"}
_THREADS = {"type": Number(int, 1, usable_cores()), "metavar": "N"}


@dataclass(frozen=True)
class BenchmarkFlags:
    """What is compared, and on what; ``chosen`` are the contenders that the flags come to."""

    debug: bool = False
    chosen: tuple[Contender, ...] = ()
    parts: tuple[str, ...] = flag(",".join(PARTS), "what to measure", **_NAMES)
    contenders: tuple[str, ...] | None = flag(None, "only these (default: all)", **_NAMES)
    data_dir: Path | None = flag(None, "train.tsv and dev.tsv (default: generated)", **_FOLDER)
    config: Path | None = flag(
        None, "config.json, a vocabulary for --data_dir (default: albert_base_v2's)", **_FOLDER
    )
    task_name: str = flag("sst-2", "whose data", choices=TASKS, metavar="TASK")
    mean_length: float = flag(
        14.3, "mean tokens of a generated example", type=Number(float, SHORTEST), metavar="X"
    )
    max_seq_length: int = flag(128, "longest input", type=Number(int, 8), metavar="N")
    batch_size: int = flag(32, "examples a step", **_COUNT)
    optimizer: str = flag("lamb", "for all contenders", choices=OPTIMIZERS, metavar="NAME")
    precision: tuple[str, ...] = flag(
        PRECISIONS[0],
        f"of training, for all contenders: {' or '.join(PRECISIONS)}, or both with a comma between, "
        "to be compared; evaluation is in fp32, and with bf16 ours in that, too",
        **_NAMES,
    )
    hf_attention: str = flag(
        "sdpa", "of transformers in training and evaluation", choices=[*ATTENTIONS, "both"]
    )
    torch_compile: bool = flag(False, "also ours with that flag")
    rounds: int = flag(3, "turns of each contender", **_COUNT)
    sample: int = flag(6, "batches of a turn, fewer where they are wide", **_COUNT)
    device: str = flag("auto", "where to compute", choices=DEVICES)
    device_id: int = flag(0, "which of several", type=Number(int, 0), metavar="N")
    threads: int = flag(usable_cores(), "CPU threads", **_THREADS)
    json: Path | None = flag(None, "a new file for all figures", type=Path, metavar="FILE")


@dataclass(frozen=True)
class Setting:
    """The same for all contenders of a run; ``config`` is the network's shape with the task's outputs."""

    flags: BenchmarkFlags
    config: AlbertConfig
    device: Device


def make_flags(namespace: argparse.Namespace) -> BenchmarkFlags:
    """Return the flags, after a look at whether they go together.

    Raises:
        UsageError: they do not, or name what is not there.
    """
    flags = fill(BenchmarkFlags, namespace, debug=namespace.debug)
    for name, known in (("parts", PARTS), ("precision", PRECISIONS)):
        if unknown := [word for word in getattr(flags, name) or [""] if word not in known]:
            raise UsageError(f"--{name} {unknown[0]!r}: there are {', '.join(known)}")
    if flags.data_dir and not flags.config:
        raise UsageError("--data_dir needs --config, a folder with config.json and the vocabulary")
    if flags.task_name != BenchmarkFlags.task_name and not flags.data_dir:
        raise UsageError(f"--task_name {flags.task_name} needs --data_dir, the folder of its data")
    if flags.mean_length != BenchmarkFlags.mean_length and flags.data_dir:
        raise UsageError("--mean_length is of generated examples: it goes without --data_dir")
    if flags.json:
        folder = flags.json.absolute().parent
        if flags.json.exists():
            raise UsageError(f"--json {flags.json} is there already: name a new file")
        if not os.access(folder, os.W_OK):
            raise UsageError(f"--json {flags.json}: {folder} is no folder that can be written to")
    flags = replace(flags, chosen=_choose(flags))
    if any(c.system == "hf" for c in flags.chosen) and not importlib.util.find_spec("transformers"):
        ours = ",".join(c.name for c in flags.chosen if c.system == "ours")
        without = f", or do without it: --contenders {ours}" if ours else ""
        raise UsageError(
            "transformers, to compare with, is not installed: python3 -m pip install -r "
            f"requirements-test.txt{without}"
        )
    return flags


def _choose(flags: BenchmarkFlags) -> tuple[Contender, ...]:
    """Return the contenders of the parts, or those of them that are asked for by name."""
    attentions = ATTENTIONS if flags.hf_attention == "both" else (flags.hf_attention,)
    everybody = make_contenders(
        flags.max_seq_length, attentions, list(dict.fromkeys(flags.precision)), flags.torch_compile
    )
    names = [contender.name for contender in everybody]
    asked = names if flags.contenders is None else flags.contenders or [""]
    if unknown := [name for name in asked if name not in names]:
        raise UsageError(f"--contenders {unknown[0]!r}: there are {', '.join(names)}")
    chosen = [c for c in everybody if c.part in flags.parts and c.name in asked]
    for name in flags.contenders or ():
        if name not in [contender.name for contender in chosen]:
            raise UsageError(f"--contenders {name} is in none of --parts {','.join(flags.parts)}")
    return tuple(chosen)
