"""The clock of a training run: after which steps it logs, saves, evaluates and stops."""

from __future__ import annotations

from collections.abc import Mapping

from processors.loading import TrainingStep
from tools.run.flags import RecordFlags


class Due:
    """Says of each step, once it is done, what comes after it.

    Args:
        flags: every how many steps.
        total_steps: of the run. After the last step the story itself goes on to the evaluation.
        evaluates: whether there is a dev set to score.
        stop_point: the value of ``metric`` that ends the run; 1.0 never does.
    """

    def __init__(
        self,
        flags: RecordFlags,
        total_steps: int,
        evaluates: bool,
        metric: str,
        stop_point: float,
    ) -> None:
        self._flags, self._total_steps, self._evaluates = flags, total_steps, evaluates
        self._metric, self._stop_point = metric, stop_point

    def log(self, step: TrainingStep) -> bool:
        """Return whether the losses up to ``step`` are read and shown: also before anything slower."""
        first_or_last = step.global_step in (1, self._total_steps)
        every = step.global_step % self._flags.logging_steps == 0
        return first_or_last or every or self.save(step) or self.evaluate(step)

    def save(self, step: TrainingStep) -> bool:
        """Return whether a checkpoint is written."""
        return self._flags.save_steps > 0 and step.global_step % self._flags.save_steps == 0

    def evaluate(self, step: TrainingStep) -> bool:
        """Return whether the dev set is scored."""
        if not self._evaluates or step.global_step == self._total_steps:
            return False
        if self._flags.eval_steps:
            return step.global_step % self._flags.eval_steps == 0
        return step.closes_epoch

    def stop(self, metrics: Mapping[str, float]) -> bool:
        """Return whether the run ends with these metrics of an evaluation, or with none of them ({})."""
        return bool(metrics) and metrics[self._metric] >= self._stop_point < 1
