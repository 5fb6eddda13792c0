"""The report of a check: what a person reads, and sends to others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tools.check.outcome import FAIL, Outcome
from tools.check.steps import STEPS, Step

_TAIL = 60  # lines of what a failed step printed


def step_line(step: Step, outcome: Outcome) -> str:
    """Return one line on a step; where it failed, it says what that means."""
    line = f"{outcome.verdict:>16}  {step.name}: {outcome.words} ({outcome.seconds:.0f} s)"
    return f"{line}. It means: {step.meaning}" if outcome.verdict == FAIL else line


def summary(outcomes: Mapping[str, Outcome]) -> str:
    """Return in words how many steps ended in which way."""
    counts: dict[str, int] = {}
    for outcome in outcomes.values():
        counts[outcome.verdict] = counts.get(outcome.verdict, 0) + 1
    if missing := len(STEPS) - len(outcomes):
        counts["not run"] = missing
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def write_report(
    file: Path,
    command: str,
    facts: Mapping[str, str],
    outcomes: Mapping[str, Outcome],
    folder: Path,
) -> None:
    """Write the report: the steps, the machine, and the last words of steps that failed.

    Args:
        outcomes: of the steps that ran, by name.
        folder: holds what each step printed.
    """
    steps = [step for step in STEPS if step.name in outcomes]
    lines = ["# Check of an NPU", "", f"`{command}`", "", summary(outcomes), "", "```"]
    lines += [step_line(step, outcomes[step.name]) for step in steps]
    lines += ["```", "", "## Machine", "", "```"]
    lines += [f"{name}: {value}" for name, value in facts.items()]
    lines += ["```"]
    for step in steps:
        if outcomes[step.name].verdict == FAIL:
            lines += ["", f"## What {step.name} printed", "", "```"]
            lines += last_words(folder, step.name)
            lines += ["```"]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def last_words(folder: Path, name: str) -> list[str]:
    """Return the last lines of what a step printed."""
    text = output_file(folder, name).read_text(encoding="utf-8", errors="replace")
    return text.splitlines()[-_TAIL:]


def output_file(folder: Path, name: str) -> Path:
    """Return the file that gets what a step prints."""
    return folder / "printed" / f"{name.replace(' ', '_')}.txt"
