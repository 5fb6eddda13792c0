"""Compare this project's speed with transformers' and with the references' recipe, all in one run:

python tools/benchmark.py                      albert_base_v2's shape, examples as long as SST-2's
python tools/benchmark.py --data_dir dataset/SST-2 --config prev_trained_model/albert_base_v2 --json b.json
python tools/benchmark.py --parts train --contenders ours-bucket,hf-dynamic --rounds 5

Every contender is a process of its own, and they take turns: one computes, the others idle. So each has
its own memory, and what else the machine does meets all of them alike. The ratios are of turns of the same
round. Weights are random, the same for all. Padding counts as no work. Tables on standard output are
Markdown; what happens meanwhile goes to standard error.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # finds the packages beside tools/

import tools.packages  # noqa: E402, F401 (first: says in one line what is not installed)

# isort: split
from callback.optimization import OPTIMIZERS  # noqa: E402
from processors.glue import TASKS  # noqa: E402
from tools.bench.contenders import ATTENTIONS, make_contenders  # noqa: E402
from tools.bench.data import SHORTEST  # noqa: E402
from tools.bench.run import PARTS, Benchmark  # noqa: E402
from tools.command_line import Parser, number  # noqa: E402
from tools.device import DEVICES, usable_cores  # noqa: E402
from tools.errors import UsageError, run_program  # noqa: E402

_DEFAULT_PARTS = ("train", "static", "eval")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; :func:`parse_arguments` is what the program calls."""
    parser = Parser("benchmark", description=__doc__)
    add = parser.add_argument
    add("--parts", type=_words, metavar="A,B,…",
        help=f"of {','.join(PARTS)} (default: those that the other flags allow)")  # fmt: skip
    add("--contenders", type=_words, metavar="A,B,…", help="only these (default: all of the parts)")
    add("--data_dir", type=Path, metavar="DIR",
        help="train.tsv and dev.tsv (default: generated examples)")  # fmt: skip
    add("--config", type=Path, metavar="DIR",
        help="config.json, and spiece.model for --data_dir (default: albert_base_v2's shape)")  # fmt: skip
    add("--task_name", default="sst-2", choices=list(TASKS), metavar="TASK", help="default: sst-2")
    add("--mean_length", type=number(float, SHORTEST), default=14.3, metavar="X",
        help="tokens of a generated example on average (default: 14.3, SST-2's)")  # fmt: skip
    add("--max_seq_length", type=number(int, 8), default=128, metavar="N",
        help="longest input (default: 128)")  # fmt: skip
    add("--batch_size", type=number(int, 1), default=32, metavar="N", help="default: 32")
    add("--optimizer", default="lamb", choices=OPTIMIZERS, metavar="NAME",
        help="for all contenders (default: lamb)")  # fmt: skip
    add("--hf_attention", default="sdpa", choices=[*ATTENTIONS, "both"],
        help="of transformers in training and evaluation (default: sdpa)")  # fmt: skip
    add("--torch_compile", action="store_true", help="also ours with that flag")
    add("--bf16", action="store_true", help="also ours with that flag, against fp32")
    add("--processes", type=number(int, 1), default=1, metavar="N",
        help="also N processes against one; needs --data_dir")  # fmt: skip
    add("--rounds", type=number(int, 1), default=3, metavar="N",
        help="turns of each contender (default: 3)")  # fmt: skip
    add("--sample", type=number(int, 1), default=6, metavar="N",
        help="batches of a turn, fewer where they are wide (default: 6)")  # fmt: skip
    add("--device", choices=DEVICES, default="auto", help="where to compute (default: auto)")
    add("--device_id", type=number(int, 0), default=0, metavar="N",
        help="which of several (default: 0)")  # fmt: skip
    add("--threads", type=number(int, 1, usable_cores()), default=usable_cores(), metavar="N",
        help="CPU threads (default: all cores)")  # fmt: skip
    add("--precision", choices=["fp32", "bf16"], default="fp32",
        help="of training; evaluation is in fp32 (default: fp32)")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="a new file for all figures")
    add("--debug", action="store_true", help="on an error, show where in the code it happened")
    return parser


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """Parse the flags and fill in the defaults that follow from others.

    ``chosen`` holds the contenders. Wrong usage ends the program with exit status 2.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        _complete(args)
    except UsageError as error:
        parser.error(str(error))
    args.command = shlex.join(["python", "tools/benchmark.py", *argv])
    return args


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _complete(args: argparse.Namespace) -> None:
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


def main(argv: list[str]) -> int:
    """Parse the flags and compare; returns the exit status."""
    args = parse_arguments(argv)

    def compare() -> None:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            Benchmark(args, Path(folder)).run()

    sys.stdout.reconfigure(errors="replace")  # a terminal without × or – is no reason to fail
    return run_program(compare, "benchmark", args.debug)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
