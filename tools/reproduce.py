"""Hold a run against a row of README.md's tables of results, given how far that is to be trusted:

python -m tools.reproduce gpu1 outputs/SST-2

It answers pass or fail in a line. bash test/reproduce.sh runs the row first. Without a run it answers what
is missing for that, if anything is.

Exit status: 0 pass, or nothing is missing; 1 fail; 2 wrong usage; 3 data or weights are missing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.cli.errors import FAILURE_STATUS, UsageError  # tools comes first (tools/tools.py).
from tools.cli.groups import flag, parser_of
from tools.cli.paths import HOME
from tools.cli.program import run_command
from tools.cli.streams import say
from tools.results.published import ROWS, judge
from tools.results.run_folder import RunFolder
from tools.run.launcher_inputs import check_inputs

_MISSING = 3
_DEMONSTRATION = "demo"


@dataclass(frozen=True)
class ReproduceFlags:
    """Which row, and which run."""

    row: str = flag(None, "of the tables", positional=True, choices=list(ROWS))
    run: Path | None = flag(
        None, "the --output_dir of a run of it", positional=True, type=Path, nargs="?"
    )
    data_path: Path = flag(HOME / "dataset", "holds SST-2/", type=Path, metavar="DIR")
    model_path: Path = flag(
        HOME / "prev_trained_model" / "albert_base_v2",
        "the published weights",
        type=Path,
        metavar="DIR",
    )


def reproduce(flags: ReproduceFlags) -> int:
    """Say how the run agrees with the row, or what the row needs; returns the exit status."""
    if flags.run:
        agrees, why = judge(flags.row, RunFolder.find(flags.run))
        say(f"{flags.row}: {'pass' if agrees else 'fail'}: {why}")
        return 0 if agrees else FAILURE_STATUS
    if flags.row != _DEMONSTRATION:  # That makes its data itself.
        try:
            check_inputs("sst-2", flags.data_path, flags.model_path, None, ())
        except UsageError as error:
            say(f"{flags.row}: needs weights or data: {error}")
            return _MISSING
    return 0


def main(words: Sequence[str]) -> int:
    """Parse the flags and answer; returns the exit status."""
    return run_command(parser_of(ReproduceFlags, "reproduce", __doc__), reproduce, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
