"""Start run_classifier.py in several processes with torchrun, and say in one line which failed and why:

python -m tools.launch --nproc 8 --device npu -- run_classifier.py --task_name sst-2 --do_train --do_eval

On two machines, the same line on each, with --nnodes 2 --master_addr HOST and --node_rank 0 or 1. The
processes, their rendezvous and their restarts are torchrun's (torch.distributed.run).
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import (
    ChildFailedError,
    ProcessFailure,
)

from tools.cli.errors import UsageError
from tools.cli.parser import Parser, number
from tools.cli.program import end_program, run_command
from tools.machine.device import DEVICES, select_device, usable_cores

DEFAULT_PORT = (
    29500  # of the first machine's rendezvous, as torchrun's; one machine takes a free port
)


def launch(args: argparse.Namespace) -> int:
    """Start the processes, wait for them, and return the exit status of the first that failed, or 0."""
    select_device(
        args.device, processes=args.nproc
    )  # before eight processes say that it is not there
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // args.nproc)))
    # A store of its own for every start: else processes started again find the addresses of those before.
    os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    if not args.debug:
        logging.disable(logging.ERROR)  # torchrun's own words: the line below says what matters
    with tempfile.TemporaryDirectory(prefix="launch-") as folder:
        words = ["--nproc_per_node", str(args.nproc), "--max_restarts", str(args.max_restarts)]
        words += ["--log_dir", folder]
        if args.nnodes > 1:
            words += ["--nnodes", str(args.nnodes), "--node_rank", str(args.node_rank)]
            words += ["--master_addr", args.master_addr, "--master_port", str(args.master_port)]
        try:
            program = [*args.program, "--log_dir", str(args.log_dir)]
            torchrun.run(torchrun.parse_args([*words, *program]))
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            log = args.log_dir / f"rank_{rank}.log"
            place = f"; its log is {log}" if log.exists() else ""
            print(
                f"launch: error: {failure_line(rank, failure)}{place}", file=sys.stderr, flush=True
            )
            return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
        except SignalException as error:
            name = "interrupted" if error.sigval == signal.SIGINT else "terminated"
            print(f"launch: all processes are {name}", file=sys.stderr, flush=True)
            return 128 + error.sigval
    return 0


def failure_line(rank: int, failure: ProcessFailure) -> str:
    """Return one line on the process that failed first: its rank, what happened, its error."""
    if failure.exitcode < 0:
        return f"rank {rank} (process {failure.pid}) was killed by {failure.signal_name()}"
    if Path(failure.error_file).is_file():  # else torch makes up a message
        return failure.message.partition("error: ")[2] or failure.message
    return f"rank {rank} (process {failure.pid}) ended with status {failure.exitcode}"


def build_parser() -> Parser:
    """Return the parser; ``program`` holds the program to start and its own flags."""
    parser = Parser(
        "launch", _check, debug_help="show torchrun's own messages", description=__doc__
    )
    add = parser.add_argument
    add(
        "--nproc",
        type=number(int, 1),
        default=1,
        metavar="N",
        help="processes on this machine",
    )
    add("--nnodes", type=number(int, 1), default=1, metavar="N", help="machines")
    add(
        "--node_rank",
        type=number(int, 0),
        default=0,
        metavar="N",
        help="this machine's number, from 0",
    )
    add("--master_addr", metavar="HOST", help="the machine with --node_rank 0")
    add(
        "--master_port",
        type=number(int, 1, 65535),
        default=DEFAULT_PORT,
        metavar="N",
        help="a free port on it",
    )
    add(
        "--max_restarts",
        type=number(int, 0),
        default=0,
        metavar="N",
        help="start all processes again when one fails, so often (give the program --resume)",
    )
    add("--device", choices=DEVICES, default="auto", help="what the program is going to use")
    add(
        "--log_dir",
        type=Path,
        default=Path("outputs/logs"),
        metavar="DIR",
        help="each process writes rank_<n>.log there",
    )
    add("program", nargs=argparse.REMAINDER, metavar="-- PROGRAM …", help="what to start")
    return parser


def _check(args: argparse.Namespace) -> argparse.Namespace:
    if args.program[:1] == ["--"]:
        args.program = args.program[1:]
    if not args.program:
        raise UsageError("no program to start: give it after --")
    if any(word.partition("=")[0] in ("--log_dir", "--log-dir") for word in args.program):
        raise UsageError("give --log_dir before the --")
    if args.nnodes > 1 and not args.master_addr:
        raise UsageError(
            f"--nnodes {args.nnodes} needs --master_addr, the machine with --node_rank 0"
        )
    if args.node_rank >= args.nnodes:
        raise UsageError(f"--node_rank {args.node_rank} is not below --nnodes {args.nnodes}")
    return args


def main(words: Sequence[str]) -> int:
    """Parse the flags and launch; returns the exit status."""
    return run_command(build_parser(), launch, words)


if __name__ == "__main__":
    end_program(main(sys.argv[1:]))
