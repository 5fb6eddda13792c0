"""How a step of a check can end."""

from __future__ import annotations

from dataclasses import dataclass

PASS, FAIL, NOT_HERE, NO_DATA = "pass", "fail", "not on this chip", "no data"
NOT_ASKED, NOT_RUN = "not asked", "not run"


class StepEnd(Exception):  # noqa: N818 (not each is an error)
    """A step that cannot pass ends with this; the message says why, ``verdict`` what it comes to."""

    verdict: str


class StepFailure(StepEnd):
    """The machine does not do what is asked for."""

    verdict = FAIL


class NotRun(StepEnd):
    """What the step would run is not installed."""

    verdict = NOT_RUN


class NotOnThisChip(StepEnd):
    """The machine has not got what the step is about."""

    verdict = NOT_HERE


class NoData(StepEnd):
    """The step needs data that only its user can give."""

    verdict = NO_DATA


@dataclass(frozen=True)
class Outcome:
    """``verdict`` is one of the six above; ``words`` say what was measured, or what went wrong."""

    verdict: str
    words: str
    seconds: float = 0.0
