"""SIGTERM and Ctrl-C while a run trains: what was begun is finished and saved, then the run ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Protocol, TypeVar

from tools.cli.errors import StoppedError
from tools.machine.distributed import Processes
from tools.machine.stop_agreement import END, REPEAT_SECONDS, SAVING, SIGNALS, StopAgreement


class _Step(Protocol):
    @property
    def global_step(self) -> int: ...


_AnyStep = TypeVar("_AnyStep", bound=_Step)


class StopSignals:
    """Within the block, the first SIGTERM or SIGINT asks for an end; one that comes later ends at once.

    Signals that come within a second of the first count as one with it. Where several processes train, a
    signal to any of them stops all, after the same step.

    Attributes:
        number: the signal that asked, once this process knows of it.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._previous: dict[int, Any] = {}
        self._number: int | None = None
        self._first = 0.0
        self._agreement: StopAgreement | None = None

    @property
    def number(self) -> int | None:
        return self._agreement.number if self._agreement else self._number

    def __enter__(self) -> StopSignals:
        if self._processes.world_size > 1:
            self._agreement = StopAgreement(self._processes)
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as of a job in the background
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, StoppedError):  # What comes now asks for what is being done.
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            self._previous.clear()
        self._restore()
        if self._agreement:
            self._agreement.close()
        # It came when the model had been saved; what follows ends as any other part of a run.
        if error is None and self.number is not None:
            signal.raise_signal(self.number)

    def until_asked(self, steps: Iterable[_AnyStep]) -> Iterator[_AnyStep]:
        """Pass on the steps that are to be done: all, or those before the end that a signal asks for."""
        for step in steps:
            if self._stops_before(step.global_step):
                return
            yield step

    def is_asked(self) -> bool:
        """Return whether no step is to follow the one that was begun."""
        return self._agreement.is_last() if self._agreement else self._number is not None

    def ends_training(self) -> bool:
        """Return, after the last step, whether a signal is to end the run before the model is saved."""
        return self._stops_before(SAVING)

    def ends_run(self) -> bool:
        """Return, once the model is saved, whether a signal is to end the run."""
        return self._stops_before(END)

    def _stops_before(self, step: int) -> bool:
        return not self._agreement.begin(step) if self._agreement else self._number is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        failed = self._agreement is not None and self._agreement.failed
        if self._number is None and not failed:
            self._number, self._first = number, time.monotonic()
        elif failed or time.monotonic() - self._first > REPEAT_SECONDS:
            self._end_at_once(number, frame)

    def _end_at_once(self, number: int, frame: FrameType | None) -> None:
        """Do what the signal does outside of the block, at the place that it found."""
        outside = self._previous[number]
        self._restore()
        if callable(outside):
            outside(number, frame)
        else:
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        self._previous.clear()
        if self._agreement:
            self._agreement.restore_wakeup()
