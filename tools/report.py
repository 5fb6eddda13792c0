"""Write a run's report.html anew, or one page that has several runs side by side:

python -m tools.report outputs/SST-2                      outputs/SST-2/report.html, and curves.png
python -m tools.report outputs/monday outputs/tuesday     runs.html, in the current folder
python -m tools.report outputs/* --output comparison.html

A page is one file that needs no network and runs no script. A run writes its own when it ends; this
command does it for runs that were stopped or failed, for those of earlier releases, and while one is
under way.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
from model.files import write_whole
from tools.cli.errors import UsageError
from tools.cli.parser import Parser
from tools.cli.program import run_command
from tools.cli.streams import say
from tools.results.report_page import check_place, report_page, write_report_page
from tools.results.run_folder import PAGE_FILE, RunFolder
from tools.results.side_by_side import side_by_side

_SEVERAL = Path("runs.html")


def write_page(args: argparse.Namespace) -> None:
    """Write the page of the runs that are named, and print where it is.

    Raises:
        UsageError: a folder is none of a run, one is named twice, or something else is where the page
            is to be.
        DiskError: the disk is full.
    """
    runs = [RunFolder.find(path) for path in args.runs]
    places = [run.path.resolve() for run in runs]
    if twice := [
        run.path for run, place in zip(runs, places, strict=True) if places.count(place) > 1
    ]:
        raise UsageError(f"{twice[-1]} is named twice: name each run once")
    is_alone = len(runs) == 1
    path = args.output or (runs[0].path / PAGE_FILE if is_alone else _SEVERAL)
    check_place(path)
    if is_alone and args.output is None:
        write_report_page(runs[0].path)
    else:
        write_whole(path, report_page(runs[0]) if is_alone else side_by_side(runs))
    say(str(path))


def build_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser("report", description=__doc__)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="the --output_dir of a run"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="the page to write (default: report.html in the folder of the run; of several, runs.html in "
        "the current folder)",
    )
    return parser


def main(words: Sequence[str]) -> int:
    """Parse the flags and write the page; returns the exit status."""
    return run_command(build_parser(), write_page, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
