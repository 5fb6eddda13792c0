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

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
from tools.bench.flags import BenchmarkFlags, make_flags
from tools.bench.run import Benchmark
from tools.cli.groups import add_flags
from tools.cli.parser import Parser
from tools.cli.program import run_command


def build_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser("benchmark", make_flags, description=__doc__)
    add_flags(parser, BenchmarkFlags)
    return parser


def compare(flags: BenchmarkFlags) -> None:
    """Compare what the flags name."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        Benchmark(flags, Path(folder)).run()


def main(words: Sequence[str]) -> int:
    """Parse the flags and compare; returns the exit status."""
    sys.stdout.reconfigure(errors="replace")  # A terminal without × or – is no reason to fail.
    return run_command(build_parser(), compare, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
