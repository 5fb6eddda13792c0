"""Compare this project's speed with transformers' and with the references' recipe, all in one run:

python -m tools.benchmark                      albert_base_v2's shape, examples as long as SST-2's
python -m tools.benchmark --data_dir dataset/SST-2 --config prev_trained_model/albert_base_v2 --json b.json
python -m tools.benchmark --parts train --contenders ours-bucket,hf-dynamic --rounds 5

Every contender is a process of its own, and they take turns: one computes, the others idle. So each has
its own memory, and what else the machine does meets all of them alike. The ratios are of turns of the same
round. Weights are random, the same for all. Padding counts as no work. Tables on standard output are
Markdown; what happens meanwhile goes to standard error.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
from callback.optimization import OPTIMIZERS
from processors.glue import TASKS
from tools.bench.contenders import ATTENTIONS, make_contenders
from tools.bench.data import SHORTEST
from tools.bench.run import PARTS, Benchmark
from tools.cli.errors import UsageError
from tools.cli.parser import Parser, number
from tools.cli.program import end_program, run_command
from tools.machine.device import usable_cores
from tools.machine.process_flags import DEVICES

_DEFAULT_PARTS = ("train", "static", "eval")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser("benchmark", _complete, description=__doc__)
    add = parser.add_argument
    add(
        "--parts",
        type=_words,
        metavar="A,B,…",
        help=f"of {','.join(PARTS)} (default: those that the other flags allow)",
    )
    add("--contenders", type=_words, metavar="A,B,…", help="only these (default: all of the parts)")
    add(
        "--data_dir",
        type=Path,
        metavar="DIR",
        help="train.tsv and dev.tsv (default: generated examples)",
    )
    add(
        "--config",
        type=Path,
        metavar="DIR",
        help="config.json, and spiece.model for --data_dir (default: albert_base_v2's shape)",
    )
    add("--task_name", default="sst-2", choices=list(TASKS), metavar="TASK", help="default: sst-2")
    add(
        "--mean_length",
        type=number(float, SHORTEST),
        default=14.3,
        metavar="X",
        help="tokens of a generated example on average",
    )
    add(
        "--max_seq_length",
        type=number(int, 8),
        default=128,
        metavar="N",
        help="longest input",
    )
    add("--batch_size", type=number(int, 1), default=32, metavar="N", help="default: 32")
    add(
        "--optimizer",
        default="lamb",
        choices=OPTIMIZERS,
        metavar="NAME",
        help="for all contenders",
    )
    add(
        "--hf_attention",
        default="sdpa",
        choices=[*ATTENTIONS, "both"],
        help="of transformers in training and evaluation",
    )
    add("--torch_compile", action="store_true", help="also ours with that flag")
    add("--bf16", action="store_true", help="also ours with that flag, against fp32")
    add(
        "--processes",
        type=number(int, 1),
        default=1,
        metavar="N",
        help="also N processes against one; needs --data_dir",
    )
    add(
        "--rounds",
        type=number(int, 1),
        default=3,
        metavar="N",
        help="turns of each contender",
    )
    add(
        "--sample",
        type=number(int, 1),
        default=6,
        metavar="N",
        help="batches of a turn, fewer where they are wide",
    )
    add("--device", choices=DEVICES, default="auto", help="where to compute")
    add(
        "--device_id",
        type=number(int, 0),
        default=0,
        metavar="N",
        help="which of several",
    )
    add(
        "--threads",
        type=number(int, 1, usable_cores()),
        default=usable_cores(),
        metavar="N",
        help="CPU threads",
    )
    add(
        "--precision",
        choices=["fp32", "bf16"],
        default="fp32",
        help="of training; evaluation is in fp32 (default: fp32)",
    )
    add("--json", type=Path, metavar="FILE", help="a new file for all figures")
    return parser


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _complete(args: argparse.Namespace) -> argparse.Namespace:
    if args.json:
        folder = args.json.absolute().parent
        if args.json.exists():
            raise UsageError(f"--json {args.json} is there already: name a new file")
        if not os.access(folder, os.W_OK):
            raise UsageError(f"--json {args.json}: {folder} is no folder that can be written to")
    if args.parts is None:
        args.parts = list(_DEFAULT_PARTS)
        args.parts += ["startup"] if args.data_dir else []
        args.parts += ["processes"] if args.processes > 1 else []
    if unknown := [part for part in args.parts or [""] if part not in PARTS]:
        raise UsageError(f"--parts {unknown[0]!r}: there are {', '.join(PARTS)}")
    if args.data_dir and not args.config:
        raise UsageError("--data_dir needs --config, a folder with config.json and the vocabulary")
    for part in ("startup", "processes"):
        if part in args.parts and not args.data_dir:
            raise UsageError(
                f"the part {part} reads files: give --data_dir, and --config with a vocabulary"
            )
    if ("processes" in args.parts) != (args.processes > 1):
        raise UsageError("the part processes and --processes (2 or more) go together")
    if args.batch_size % args.processes:
        raise UsageError(f"--batch_size {args.batch_size} is no multiple of --processes")
    if args.bf16 and args.precision == "bf16":
        raise UsageError("--bf16 compares with fp32: leave out --precision bf16, which is for all")
    args.chosen = _choose(args)
    for name in args.contenders or ():
        if name not in [contender.name for contender in args.chosen]:
            raise UsageError(f"--contenders {name} is in none of --parts {','.join(args.parts)}")
    if any(c.system == "hf" for c in args.chosen) and not importlib.util.find_spec("transformers"):
        own = ",".join(c.name for c in args.chosen if c.system == "ours")
        without = f", or do without it: --contenders {own}" if own else ""
        raise UsageError(
            "transformers, to compare with, is not installed: python3 -m pip install -r "
            f"requirements-test.txt{without}"
        )
    return args


def _choose(args: argparse.Namespace) -> list:
    """Return the contenders of the parts, or those of them that are asked for by name."""
    attentions = ATTENTIONS if args.hf_attention == "both" else (args.hf_attention,)
    flags = {"compile": args.torch_compile, "bf16": args.bf16}
    variants = [name for name, given in flags.items() if given]
    all_of_them = make_contenders(args.max_seq_length, attentions, variants)
    names = [contender.name for contender in all_of_them]
    asked = names if args.contenders is None else args.contenders or [""]
    if unknown := [name for name in asked if name not in names]:
        raise UsageError(f"--contenders {unknown[0]!r}: there are {', '.join(names)}")
    return [
        contender
        for contender in all_of_them
        if contender.group.partition("-")[0] in args.parts and contender.name in asked
    ]


def compare(args: argparse.Namespace) -> None:
    """Compare what the flags name."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        Benchmark(args, Path(folder)).run()


def main(words: Sequence[str]) -> int:
    """Parse the flags and compare; returns the exit status."""
    sys.stdout.reconfigure(errors="replace")  # a terminal without × or – is no reason to fail
    return run_command(build_parser(), compare, words)


if __name__ == "__main__":
    end_program(main(sys.argv[1:]))
