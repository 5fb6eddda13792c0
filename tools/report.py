"""Print the launchers' final report, from the log of a finished run, in the references' words:

python -m tools.report --log test/output/0/train_0.log --network NAME --kind acc --batch_size 440 \\
    --processes 1 --seconds 600
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.cli.parser import Parser
from tools.cli.program import run_command
from tools.cli.streams import say
from tools.run.report import KINDS, write_report


def print_report(args: argparse.Namespace) -> None:
    """Write the case's files beside the log and print the report."""
    values = (args.log, args.network, args.kind, args.batch_size, args.processes, args.seconds)
    say(write_report(*values), end="")


def build_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser("report", description=__doc__)
    add = parser.add_argument
    add("--log", type=Path, required=True, help="the output of a finished run")
    add("--network", required=True, help="name of the network in the report")
    add("--kind", choices=KINDS, required=True, help="what the run was for")
    add("--batch_size", type=int, required=True, help="examples per process")
    add("--processes", type=int, required=True, help="how many trained together")
    add("--seconds", type=int, required=True, help="how long the run took")
    return parser


def main(words: Sequence[str]) -> int:
    """Parse the flags and report; returns the exit status."""
    return run_command(build_parser(), print_report, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
