"""Progress: a bar on a terminal, plain lines in a log file."""

from __future__ import annotations

import logging
import sys
import time

from tqdm import tqdm

from callback.heartbeat import OUTER_QUIET_SECONDS, Heartbeat

logger = logging.getLogger(__name__)


class ProgressBar:
    """Steps done out of ``total``, with the latest loss.

    On a terminal it is a tqdm bar on standard error. Elsewhere it is log lines in the references'
    form, ``[Training] 80/306 … loss: 0.6931``: one whenever :meth:`report` is called, and one without
    a loss when the log had no line for a while, in the middle of a step, too.

    Args:
        name: what is going on: ``Training``, ``Evaluating`` …
        total: number of steps.
        initial: steps done before (a resumed run).
        enabled: False for all processes but the first.
        quiet: after so many seconds without a line in the log there is one.
    """

    def __init__(
        self,
        name: str,
        total: int,
        initial: int = 0,
        enabled: bool = True,
        quiet: float = OUTER_QUIET_SECONDS,
    ) -> None:
        self.name, self.total, self.done = name, total, initial
        self._enabled = enabled
        self._began, self._initial = time.monotonic(), initial
        self._bar = None
        self._heartbeat = Heartbeat(self._still, quiet)
        if enabled and sys.stderr.isatty():
            self._bar = tqdm(
                total=total, initial=initial, desc=name, dynamic_ncols=True, leave=False
            )
        elif enabled:
            self._heartbeat.start()

    def advance(self) -> None:
        """Count one step."""
        self.done += 1
        if self._bar is not None:
            self._bar.update()

    def report(
        self, loss: float, learning_rate: float, loss_scale: float | None = None, skipped: int = 0
    ) -> None:
        """Show the loss of the step just counted, and the learning rate it used.

        With a scaled loss also its factor, and how many steps were ``skipped`` so far.
        """
        text = f"loss: {loss:.4f}  lr: {learning_rate:.2e}"
        if loss_scale is not None:
            text += f"  scale: {loss_scale:g}  skipped: {skipped}"
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        elif self._enabled:
            self._line(f"  {text}")

    def close(self) -> None:
        """Take the bar off the terminal."""
        self._heartbeat.stop()
        if self._bar is not None:
            self._bar.close()

    def _still(self) -> None:
        self._line("")

    def _line(self, text: str) -> None:
        if self.done == self._initial:  # Nobody knows yet how long a step takes.
            logger.info("[%s] %d/%d%s", self.name, self.done, self.total, text)
            return
        per_step = (time.monotonic() - self._began) / (self.done - self._initial)
        left = int(per_step * (self.total - self.done))
        eta = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
        logger.info("[%s] %d/%d%s  ETA %s", self.name, self.done, self.total, text, eta)
