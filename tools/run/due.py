"""The clock of a training run: after which steps it logs, saves, evaluates and stops."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from callback.history import History
from processors.loading import TrainingStep
from processors.metrics import LOWER_IS_BETTER
from tools.machine.runtime import Runtime
from tools.run.flags import RecordFlags


class Missed(IntEnum):
    """What a run that ended between two things left undone."""

    NOTHING = 0
    EVALUATION = 1
    STOP = 2


class Due:
    """Says of each step, once it is done, what comes after it.

    Args:
        flags: every how many steps.
        total_steps: of the run. After the last step the story itself goes on to the evaluation.
        evaluates: whether there is a dev set to score.
        stop_point: the value of ``metric`` that ends the run; 1.0 never does.

    Attributes:
        stop_point: that value.
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
        self._metric, self.stop_point = metric, stop_point

    def log(self, step: TrainingStep) -> bool:
        """Return whether the losses up to ``step`` are read and shown: also before anything slower."""
        first_or_last = step.global_step in (1, self._total_steps)
        every = step.global_step % self._flags.logging_steps == 0
        return first_or_last or every or self.save(step) or self.evaluate(step)

    def save(self, step: TrainingStep) -> bool:
        """Return whether a checkpoint is written."""
        every = self._flags.save_steps
        if self._flags.save_epochs and step.closes_epoch:
            return True
        return every > 0 and step.global_step % every == 0

    def evaluate(self, step: TrainingStep) -> bool:
        """Return whether the dev set is scored."""
        return self._evaluate_at(step.global_step, step.closes_epoch)

    def _evaluate_at(self, global_step: int, closes_epoch: bool) -> bool:
        if not self._evaluates or global_step == self._total_steps:
            return False
        if self._flags.eval_steps:
            return global_step % self._flags.eval_steps == 0
        return closes_epoch

    def score(self, metrics: Mapping[str, float]) -> float:
        """Return how good an evaluation is, by the first metric: the more the better."""
        value = metrics[self._metric]
        return -value if self._metric in LOWER_IS_BETTER else value

    def shown(self, score: float) -> str:
        """Return the first metric and its value, of a score."""
        value = -score if self._metric in LOWER_IS_BETTER else score
        return f"{self._metric} = {value:.4g} on dev"

    def stop(self, metrics: Mapping[str, float]) -> bool:
        """Return whether the run ends with these metrics of an evaluation, or with none of them ({})."""
        return bool(metrics) and metrics[self._metric] >= self.stop_point < 1

    def scores(self, history: History) -> dict[int, float]:
        """Return how good the evaluations of the training were so far, by their step."""
        rows = history.evaluations.items()
        known = {s: row for s, row in rows if isinstance(row.get(self._metric), int | float)}
        return {step: self.score(row) for step, row in known.items()}

    def missed(
        self, global_step: int, closes_epoch: bool, history: History, runtime: Runtime
    ) -> Missed:
        """Return what was due after the step that a run goes on from, and was not done, in all processes.

        A run may end when a checkpoint is written and the evaluation of its step is not.

        Args:
            history: of the main process, which has the records.
        """
        missed = Missed.NOTHING
        if runtime.is_main and self._evaluate_at(global_step, closes_epoch):
            metrics = history.evaluations.get(global_step, {})
            if global_step not in self.scores(history):
                missed = Missed.EVALUATION
            elif self.stop(metrics):
                missed = Missed.STOP
        return Missed(int(runtime.processes.all_reduce_max(missed, runtime.device)))
