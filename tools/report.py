"""Print the launchers' final report, from the log of a finished run, in the references' words:

python -m tools.report --log test/output/0/train_0.log --network NAME --kind acc --batch_size 440 \\
    --processes 1 --seconds 600
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.cli.parser import Parser
from tools.cli.program import end_program, run_command

KINDS = ("acc", "perf", "eval")
# The references' launchers report these of a task's metrics, whichever the log has.
_ACCURACIES = {"acc": "", "pearson": " (Pearson correlation)"}


def values_in(log: str, name: str, separator: str = " = ") -> list[float]:
    """Return every number that follows ``name`` and ``separator`` in ``log``."""
    pattern = rf"(?:^|\s){re.escape(name + separator)}([-+0-9.e]+|nan|inf)(?:\s|$)"
    return [float(value) for value in re.findall(pattern, log, flags=re.MULTILINE)]


def report(
    log: str, network: str, kind: str, batch_size: int, processes: int, seconds: int
) -> tuple[list[str], dict[str, str]]:
    """Return the lines of the final result, and the ``key = value`` pairs of the case's log file.

    The performance is that of the best epoch, the accuracy that of the last evaluation.
    """
    fps = max(values_in(log, "FPS"), default=None)
    losses = values_in(log, "loss", ": ")
    accuracy = next(
        (
            f"{found[-1]}{unit}"
            for name, unit in _ACCURACIES.items()
            if (found := values_in(log, name))
        ),
        "not measured",
    )
    name = f"{network}_bs{batch_size}_{processes}p_{kind}"
    result = [
        "------------------ Final result ------------------",
        f"Final Performance images/sec : {fps if fps is not None else 'not measured'}",
        f"Final Train Accuracy : {accuracy}",
        f"E2E Training Duration sec : {seconds}",
    ]
    return result, {
        "Network": network,
        "RankSize": str(processes),
        "BatchSize": str(batch_size),
        "DeviceType": platform.machine(),
        "CaseName": name,
        "ActualFPS": "" if fps is None else str(fps),
        "ActualLoss": str(losses[-1]) if losses else "",
        "E2ETrainingTime": str(seconds),
    }


def write_report(args: argparse.Namespace) -> None:
    """Read the log, print the report, and write the case's files beside the log."""
    log = args.log.read_text(encoding="utf-8", errors="replace")
    result, case = report(
        log, args.network, args.kind, args.batch_size, args.processes, args.seconds
    )
    name = case["CaseName"]
    lines = "".join(f"{key} = {value}\n" for key, value in case.items())
    (args.log.parent / f"{name}.log").write_text(lines, encoding="utf-8")
    losses = "".join(f"{loss}\n" for loss in values_in(log, "loss", ": "))
    (args.log.parent / f"train_{name}_loss.txt").write_text(losses, encoding="utf-8")
    print("\n".join(result))


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
    return run_command(build_parser(), write_report, words)


if __name__ == "__main__":
    end_program(main(sys.argv[1:]))
