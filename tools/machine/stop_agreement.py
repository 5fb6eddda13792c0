"""At which step several processes stop, when a signal reaches one of them or all, sooner or later."""

from __future__ import annotations

import os
import select
import signal
import threading
import time

from tools.machine.distributed import Processes
from tools.machine.store import number_at, open_store

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Terminals, Slurm and torchrun together send a signal more than once; what comes later is meant.
REPEAT_SECONDS = 1.0
# A process looks so often whether another was asked to stop.
_POLL_SECONDS = 0.2
# All processes say within this time how far they are, or one of them is gone.
_ANSWER_SECONDS = 5.0
_ASK_SECONDS = 0.02
_OVER = b"\0"
# What follows the steps counts as two more: the model is saved, and the training is over.
SAVING = 2**62
END = SAVING + 1


class StopAgreement:
    """Has all processes of a run stop after the same step.

    The processes tell each other at the run's store, each in a thread of its own, so that no step waits
    for another process or a device. One that is asked to stop says so; then each says which step it
    began last and begins no other until all have said it. The largest of these is the last step for all.

    Args:
        processes: of the run, at least two.

    Attributes:
        number: the signal that came to one of them, once all know the last step.
        failed: whether a process did not answer.
    """

    def __init__(self, processes: Processes) -> None:
        self.number: int | None = None
        self.failed = False
        self._rank, self._world_size = processes.rank, processes.world_size
        self._condition = threading.Condition()
        self._begun = 0
        self._last: int | None = None
        self._frozen = False
        self._store = open_store(_ANSWER_SECONDS)
        # torchrun keeps one store for all rounds of processes where it lets machines come and go.
        for key in ("asked", f"begun/{self._rank}"):
            self._store.delete_key(key)
        processes.barrier()
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        # A signal is read here, too, while this process is in foreign code, where no handler runs.
        self._wakeup = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._run, name="stop", daemon=True)
        self._thread.start()

    def restore_wakeup(self) -> None:
        """Have signals wake up what they woke up before; for the main thread."""
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)

    def close(self) -> None:
        """End the thread."""
        os.write(self._writing, _OVER)
        self._thread.join(_ANSWER_SECONDS)
        if not self._thread.is_alive():
            os.close(self._reading)
            os.close(self._writing)

    def begin(self, step: int) -> bool:
        """Say that this process begins ``step``; returns False where all stop before it.

        :data:`SAVING` and :data:`END` count as steps as well.
        """
        with self._condition:
            # A handler of the signal ends this, should the others not answer.
            self._condition.wait_for(lambda: not self._frozen or self._last is not None)
            if self._last is not None and step > self._last:
                return False
            self._begun = step
        return True

    def is_last(self) -> bool:
        """Return whether the step that this process began is the last one for all."""
        return self._last is not None and self._last <= self._begun

    def _run(self) -> None:
        number, is_own = self._wait_until_asked()
        if number is None:
            return
        first = time.monotonic() if is_own else None
        try:
            last = self._agree(number)
        except RuntimeError:
            self._give_up(number)
            return
        with self._condition:
            self.number, self._last = number, last
            self._condition.notify_all()
        self._watch_the_end(first)

    def _wait_until_asked(self) -> tuple[int | None, bool]:
        """Return the signal, None once the training is over; and whether it came to this process."""
        has_store = True
        while True:
            if select.select([self._reading], [], [], _POLL_SECONDS)[0]:
                read = os.read(self._reading, 1)
                if read == _OVER:
                    return None, False
                if read[0] in SIGNALS:
                    return read[0], True
            elif has_store:
                try:
                    if number := number_at(self._store, "asked"):
                        return number, False
                except RuntimeError:
                    has_store = False

    def _agree(self, number: int) -> int:
        """Return the last step for all processes.

        Raises:
            RuntimeError: the store is gone, or a process does not answer.
        """
        self._store.set("asked", str(int(number)))
        with self._condition:
            self._frozen, begun = True, self._begun
        self._store.set(f"begun/{self._rank}", str(begun + 1))  # 0 says nothing.
        until = time.monotonic() + _ANSWER_SECONDS
        return max(self._wait_for(f"begun/{rank}", until) for rank in range(self._world_size)) - 1

    def _wait_for(self, key: str, until: float) -> int:
        """Return a number that a process is to set; the store's own way of waiting prints lines in vain.

        Raises:
            RuntimeError: the process has not by the time ``until``, or the store is gone.
        """
        while not (number := number_at(self._store, key)):
            if time.monotonic() > until:
                raise RuntimeError("a process does not answer")
            time.sleep(_ASK_SECONDS)
        return number

    def _watch_the_end(self, first: float | None) -> None:
        """See that this process ends soon on a signal that is meant, also in foreign code.

        A step and a checkpoint may take as long as they do: the collectives say whether a process is gone.

        Args:
            first: when this process got a signal; None where another one did.
        """
        while (read := os.read(self._reading, 1)) != _OVER:
            if read[0] not in SIGNALS:
                continue
            if first is None:
                first = time.monotonic()
            elif time.monotonic() - first > REPEAT_SECONDS:
                self._wake_up(read[0])
                return

    def _give_up(self, number: int) -> None:
        """Have this process end as the signal ends it outside of a training."""
        self.failed = True
        self._wake_up(number)
        signal.pthread_kill(threading.main_thread().ident, number)

    def _wake_up(self, number: int) -> None:
        if self._wakeup >= 0:
            os.write(self._wakeup, bytes([number]))
