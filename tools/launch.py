"""Start run_classifier.py in several processes with torchrun, and say in one line which failed and why:

python -m tools.launch --nproc 8 --device npu -- run_classifier.py --task_name sst-2 --do_train --do_eval

On two machines, the same line on each, with --nnodes 2 --master_addr HOST and --node_rank 0 or 1. The
processes, their rendezvous and their restarts are torchrun's (torch.distributed.run).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.cli.errors import UsageError
from tools.cli.groups import add_flags, fill, flag
from tools.cli.parser import Number, Parser
from tools.cli.paths import INSTALLED, PROGRAM
from tools.cli.program import run_command
from tools.cli.streams import say
from tools.launching.launcher import run_launcher
from tools.launching.recipe import Launch, launcher_parser, parse_recipe
from tools.machine.parent import follow_launcher
from tools.machine.process_flags import ProcessFlags

_RECIPE = "recipe"
_EPILOG = f"""\
python -m tools.launch {_RECIPE} … is what the launchers in test/ call (test/common.sh). It needs no torch
to answer --help and wrong usage.
"""


@dataclass(frozen=True)
class LaunchFlags(ProcessFlags):
    """What to start, how often, and where its logs go."""

    program: tuple[str, ...] = ()
    debug: bool = False
    max_restarts: int = flag(
        0,
        "start all processes again when one fails, so often (give the program --resume)",
        type=Number(int, 0),
        metavar="N",
    )
    log_dir: Path = flag(
        Path("outputs/logs"),
        "each process writes rank_<n>.log there",
        type=Path,
        metavar="DIR",
    )


def launch(flags: LaunchFlags) -> int:
    """Start the processes, wait for them, and return the exit status of the first that failed, or 0."""
    follow_launcher()
    # The import is not above, since a launcher's words are checked before torch is installed.
    from tools.launching.preflight import check_run
    from tools.machine.folders import make_named_folder
    from tools.machine.torchrun import check_machine, run_processes

    check_machine(flags)
    check_run(flags.program, writes=flags.node_rank == 0, restarts=flags.max_restarts > 0)
    make_named_folder("--log_dir", flags.log_dir)
    return run_processes(flags, flags.program, flags.log_dir, flags.max_restarts, flags.debug)


def build_parser() -> Parser:
    """Return the parser; ``program`` holds the program to start and its own flags."""
    parser = Parser(
        "launch",
        _make_flags,
        debug_help="show torchrun's own messages",
        description=__doc__,
        epilog=_EPILOG,
    )
    add_flags(parser, LaunchFlags)
    parser.add_argument(
        "program", nargs=argparse.REMAINDER, metavar="-- PROGRAM …", help="what to start"
    )
    return parser


def _make_flags(args: argparse.Namespace) -> LaunchFlags:
    program = args.program[1:] if args.program[:1] == ["--"] else args.program
    if INSTALLED and program[:1] in (["albert-train"], [PROGRAM.name]):
        program[0] = str(PROGRAM)  # torchrun takes a file.
    if not program:
        raise UsageError("no program to start: give it after --")
    if any(word.partition("=")[0] in ("--log_dir", "--log-dir") for word in program):
        raise UsageError("give --log_dir before the --")
    return fill(LaunchFlags, args, program=tuple(program), debug=args.debug)


def print_settings(launcher: Launch) -> None:
    """Print what the shell that asks needs to know, after a look at what the run needs."""
    launcher.check_inputs()
    say(launcher.shell_settings)


def main(words: Sequence[str]) -> int:
    """Parse the flags and launch; returns the exit status."""
    if words[:1] != [_RECIPE]:
        return run_command(build_parser(), launch, words)
    recipe, words_of_user = parse_recipe(words[1:])
    action = print_settings if recipe.only_check else run_launcher
    return run_command(launcher_parser(recipe), action, words_of_user)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
