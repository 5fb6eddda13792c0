"""How a step of the check can end."""

from __future__ import annotations

from dataclasses import dataclass

PASS, FAIL, NOT_HERE, NO_DATA = "pass", "fail", "not on this chip", "no data"
NOT_ASKED = "not asked"


class StepFailure(Exception):
    """The machine does not do what is asked for; the message says what it does."""


class NotOnThisChip(Exception):  # noqa: N818 (it is no error)
    """The machine has not got what the step is about; the message says what."""


class NoData(Exception):  # noqa: N818 (nor is it)
    """The step needs data that only its user can give; the message says which."""


@dataclass(frozen=True)
class Outcome:
    """``verdict`` is one of the five above; ``words`` say what was measured, or what went wrong."""

    verdict: str
    words: str
    seconds: float = 0.0
