"""Does run B beat run A? Two output folders, scored on the same dev set:

python -m tools.compare outputs/SST-2 outputs/other

The verdict comes first, in a sentence. It rests on what each model said of every example of the dev set
(predictions/dev.jsonl, which --do_eval leaves): for the accuracy on McNemar's exact test, for others on
the 95 % interval of the difference, bootstrapped over the same examples. Then come the metrics, and the
examples whose prediction changed.

It speaks of these two models on examples like these. Whether one way to train is better than another, only
trainings with several seeds can tell (run_classifier.py --seeds).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
from processors.predictions import write_table
from tools.cli.groups import flag, parser_of
from tools.cli.parser import Number
from tools.cli.program import run_command
from tools.cli.streams import say
from tools.results.compare import compare
from tools.results.comparison_text import columns_of, lines_of, rows_of
from tools.results.run_folder import RunFolder
from tools.run.new_table import check_new_table


@dataclass(frozen=True)
class CompareFlags:
    """Which runs, and how much is shown of what changed."""

    a: Path = flag(None, "the --output_dir of a run", positional=True, type=Path)
    b: Path = flag(None, "that of the one to hold against it", positional=True, type=Path)
    show: int = flag(10, "show the first N changed examples", type=Number(int, 0), metavar="N")
    all: bool = flag(False, "show all of them")
    output: Path | None = flag(
        None, "write all of them there: .csv or .jsonl", type=Path, metavar="FILE"
    )

    def __post_init__(self) -> None:
        if self.output:
            check_new_table(self.output)


def compare_runs(flags: CompareFlags) -> None:
    """Say which is better, and write what changed."""
    files = compare(RunFolder.find(flags.a), RunFolder.find(flags.b))
    say(f"A: {flags.a}\nB: {flags.b}")
    for comparison in files:
        for line in lines_of(comparison, None if flags.all else flags.show):
            say(line)
    if flags.output:
        rows = chain.from_iterable(map(rows_of, files))
        count = write_table(flags.output, columns_of(files[0]), rows, (), ())
        say(f"{flags.output}: {count} rows")


def main(words: Sequence[str]) -> int:
    """Parse the flags and compare; returns the exit status."""
    sys.stdout.reconfigure(encoding="utf-8")  # Texts are of any language, whatever the locale says.
    return run_command(parser_of(CompareFlags, "compare", __doc__), compare_runs, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
