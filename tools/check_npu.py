"""Ask a machine with an NPU, step by step, whether everything works, and write the answers into a report:

python -m tools.check_npu                      (or bash test/check_npu.sh, which sets up CANN first)

Each step is a process of its own, so that one that crashes or hangs does not end the others. The report is
made to be sent to somebody else: it has versions, settings and the last words of steps that failed.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
from tools.check.outcome import FAIL, NOT_ASKED, PASS, Outcome, StepEnd
from tools.check.processes import end_all
from tools.check.report import output_file, step_line, summary, write_report
from tools.check.setting import SIZES, Setting
from tools.check.steps import STEPS, Step, steps_for
from tools.check.versions import describe_npu_machine
from tools.cli.errors import UsageError, error_line
from tools.cli.groups import flag, parser_of
from tools.cli.parser import Number
from tools.cli.paths import ROOT
from tools.cli.program import run_command
from tools.cli.streams import say
from tools.machine.folders import make_named_folder

_NAMES = [step.name for step in STEPS]


def _steps(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


@dataclass(frozen=True)
class CheckFlags:
    """What to ask, and where the answers go."""

    report: Path = flag(
        None,
        "the report (default: test/output/check_npu-<date>.md)",
        type=Path,
        metavar="FILE",
    )
    data_path: Path = flag(
        ROOT / "dataset", "holds SST-2/, for the launchers", type=Path, metavar="DIR"
    )
    device_id: int = flag(0, "the NPU of the steps with one", type=Number(int, 0), metavar="N")
    steps: tuple[str, ...] = flag(
        None, "only these, and those that they need (default: all)", type=_steps, metavar="A,B,…"
    )
    size: str = flag("full", "tiny tries the check itself, without an NPU's speed", choices=SIZES)
    only: str | None = flag(None, argparse.SUPPRESS)  # one step, to be asked in this process
    folder: Path | None = flag(
        None,
        "keep there what the steps make (default: removed at the end)",
        type=Path,
        metavar="DIR",
    )

    def __post_init__(self) -> None:
        """See that the steps are there.

        Raises:
            UsageError: one is not.
        """
        for name in self.steps or ():
            if name not in _NAMES:
                raise UsageError(f"--steps {name}: there are {', '.join(_NAMES)}")


def check(flags: CheckFlags) -> int:
    """Ask all steps and write the report; returns 1 where one failed."""
    if flags.only:
        return answer(flags)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    report = flags.report or ROOT / "test" / "output" / f"check_npu-{stamp}.md"
    if report.exists():
        raise UsageError(f"--report {report} is there already: give another name")
    make_named_folder("--report: its folder", report.parent)
    folder = flags.folder or Path(tempfile.mkdtemp(prefix="check_npu-"))
    make_named_folder("--folder", folder)
    facts = describe_npu_machine()
    outcomes: dict[str, Outcome] = {}
    try:
        for step in steps_for(flags.steps or _NAMES):
            before = outcomes.get(step.needs)
            if before is None or before.verdict == PASS:
                outcomes[step.name] = ask(step, flags, folder)
            else:
                outcomes[step.name] = Outcome(NOT_ASKED, f"{step.needs} did not pass")
            say(step_line(step, outcomes[step.name]))
    finally:
        command = shlex.join(["python", "-m", "tools.check_npu", *sys.argv[1:]])
        write_report(report, command, facts, outcomes, folder)
        say(f"{summary(outcomes)}; the report is {report}")
        if flags.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    return int(any(outcome.verdict == FAIL for outcome in outcomes.values()))


def ask(step: Step, flags: CheckFlags, folder: Path) -> Outcome:
    """Ask one step in a process of its own, and end that with all it started."""
    words = [
        sys.executable,
        "-m",
        "tools.check_npu",
        "--only",
        step.name,
        "--folder",
        folder.resolve(),
    ]
    words += ["--size", flags.size, "--device_id", flags.device_id]
    words += ["--data_path", flags.data_path.resolve()]
    printed = output_file(folder, step.name)
    printed.parent.mkdir(exist_ok=True)
    answered = _answer_file(folder, step.name)
    answered.unlink(missing_ok=True)
    began = time.monotonic()
    with printed.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [str(word) for word in words],
            cwd=ROOT,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            status: int | None = process.wait(step.limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            end_all(process)
    seconds = time.monotonic() - began
    if answered.exists():
        return Outcome(**json.loads(answered.read_text(encoding="utf-8")), seconds=seconds)
    if status is None:
        return Outcome(FAIL, f"no answer within {step.limit} s", seconds)
    return Outcome(FAIL, f"the process ended with status {status}", seconds)


def answer(flags: CheckFlags) -> int:
    """Ask one step in this process; its answer goes into a file."""
    setting = Setting(flags.folder, flags.size, flags.device_id, flags.data_path)
    step = STEPS[_NAMES.index(flags.only)]
    try:
        outcome = Outcome(PASS, step.run(setting))
    except StepEnd as end:
        outcome = Outcome(end.verdict, str(end))
    except (Exception, SystemExit) as error:  # Whatever happens is the answer.
        traceback.print_exc()
        outcome = Outcome(FAIL, error_line(error))
    fields = asdict(outcome)
    del fields["seconds"]
    _answer_file(flags.folder, step.name).write_text(json.dumps(fields), encoding="utf-8")
    return 0


def _answer_file(folder: Path, name: str) -> Path:
    return output_file(folder, name).with_suffix(".json")


def main(words: Sequence[str]) -> int:
    """Parse the flags and check; returns the exit status."""
    return run_command(parser_of(CheckFlags, "check_npu", __doc__), check, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
