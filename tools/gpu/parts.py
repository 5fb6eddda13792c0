"""The parts of the check in their order, with their shares of its time."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tools.check.outcome import NotOnThisChip, NotRun, StepFailure
from tools.gpu import profiles, speed, trainings
from tools.gpu.answer import Answer
from tools.gpu.programs import Programs
from tools.gpu.setting import Setting
from tools.machine.cores import usable_cores

_TESTS = ("test/unit/test_gpu.py", "test/unit/test_fused.py")
_MOST_PROCESSES = 6  # The tests are small, and much of their time is that of starting.


@dataclass(frozen=True)
class Part:
    """One thing that is asked.

    Attributes:
        name: of the flag ``--parts``.
        title: of its section of the page.
        run: asks it; raises :class:`tools.check.outcome.StepEnd` where there is nothing to show.
        share: of the time of all parts. What one leaves, the next ones have.
    """

    name: str
    title: str
    run: Callable[[Setting, Programs], Answer]
    share: float


def tests(setting: Setting, programs: Programs) -> Answer:
    """Run the tests that need a GPU."""
    if importlib.util.find_spec("pytest") is None:
        raise NotRun("pytest is not installed: python3 -m pip install -r requirements-test.txt")
    # Without a GPU the second is one that the interpreter of Triton takes long for.
    files = _TESTS[:1] if setting.device.is_shared else _TESTS
    # Each test has a line as it ends, which stays where the time is up before all have.
    words = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *files]
    if importlib.util.find_spec("xdist") is not None:
        words += ["--numprocesses", min(_MOST_PROCESSES, usable_cores())]
    ended = programs.run("tests", words)
    lines = [line.strip(" =") for line in ended.output.splitlines() if line.strip(" =")]
    last = (lines or [ended.reason])[-1]
    if ended.reason:
        # With several processes a verdict comes before its test.
        verdicts = [word for line in lines for word in line.split()]
        counts = ", ".join(f"{verdicts.count(v)} {v.lower()}" for v in ("PASSED", "FAILED"))
        raise StepFailure(f"{ended.reason} (up to there {counts}); the last line: {last}")
    if " passed" not in last:
        raise NotOnThisChip(last)
    return Answer(last)


# First what tells whether all is right, then how fast it is; what one part leaves, the next ones have.
PARTS = (
    Part("tests", f"The tests that need a GPU ({', '.join(_TESTS)})", tests, 3.0),
    Part("speed32", "Speed at batch 32, and evaluation", speed.small_batches, 3.5),
    Part("speed440", "Speed at batch 440", speed.large_batches, 3.5),
    Part("launcher", "The launchers' run", speed.launcher, 0.75),
    Part("profile", "Kernels of a step in bf16", profiles.kernels, 1.25),
    Part("accuracy", "What is learned with CUDA graphs and without", trainings.accuracy, 1.25),
)
