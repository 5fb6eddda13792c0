"""What is counted while a run trains: its losses, its speed, its progress."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from callback.history import History
from callback.progressbar import ProgressBar
from processors.batching import TrainingPlan
from processors.loading import TrainingStep
from tools.machine.runtime import Runtime
from tools.run.run_record import RunRecord
from tools.run.step_figures import StepFigure, StepFigures
from tools.run.throughput import FpsCounter, Stopwatch, Throughput
from tools.run.training_state import TrainingState

logger = logging.getLogger(__name__)


class Meter:
    """Counts the steps of a training run, and writes down what comes of them.

    What the steps come to stays on the device until :meth:`read_losses` reads all of it at once, so that
    between two log lines no step waits for the device.

    Args:
        state: at the step that the run starts from.
        plan: of the whole training.
        history: gets the records.
        record: gets how far the training came, and how fast.
        padding: how the batches are padded, without which no FPS can be compared with another.
    """

    def __init__(
        self,
        runtime: Runtime,
        state: TrainingState,
        plan: TrainingPlan,
        history: History,
        record: RunRecord,
        padding: str,
    ) -> None:
        self._runtime, self._state, self._history = runtime, state, history
        self._record, self._steps_per_epoch, self._padding = record, plan.steps_per_epoch, padding
        self._figures, self._interval = StepFigures(), Stopwatch()  # Since the last log line.
        self._learning_rate = 0.0
        self._loss_sum, self._losses_read = 0.0, 0
        self._first_step = state.global_step
        self._note_progress()
        self._fps: FpsCounter
        runtime.device.reset_peak_memory()
        self._stopwatch = Stopwatch()
        self._progress = ProgressBar(
            "Training", plan.total_steps, state.global_step, runtime.is_main
        )

    def watch(self, steps: Iterable[TrainingStep]) -> Iterator[TrainingStep]:
        """Pass the steps on; the speed is counted anew in each epoch."""
        self._interval = Stopwatch()
        for step in steps:
            if step.opens_epoch:
                device, compilation = self._runtime.device, self._state.compilation
                self._fps = FpsCounter(device, step.steps_left, compilation)
            yield step

    def count(self, step: TrainingStep, loss: Tensor) -> None:
        """Count a step that is done; ``loss`` is its mean loss, a scalar on the device."""
        self._figures.add(loss, self._state.grad_norm, self._state.learning_rate)
        self._fps.count(step.examples)
        for watch in (self._stopwatch, self._interval):
            watch.count(step.examples, step.tokens, step.padded_tokens)
        self._progress.advance()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave what happens in the block out of the FPS, and of the speed between two log lines."""
        with self._fps.paused():
            yield
        self._interval = Stopwatch()

    def read_losses(self) -> dict[int, float]:
        """Read and record the steps since the last call; return their losses by their global step.

        The losses are averaged over the processes, and end with the first that is no finite number.
        """
        figures = self._figures.read(self._runtime.processes)
        speed, first = self._interval.result(), self._state.global_step - len(figures) + 1
        losses, rows = {}, []
        for global_step, figure in enumerate(figures, start=first):
            losses[global_step] = figure.loss
            rows.append(self._row(global_step, figure, speed))
            self._loss_sum += figure.loss
            self._losses_read += 1
            if not math.isfinite(figure.loss):
                break
        self._learning_rate = rows[-1]["learning_rate"]
        self._history.write_all("step", rows)
        self._note_progress()
        return losses

    def _row(self, global_step: int, figure: StepFigure, speed: Throughput) -> dict[str, Any]:
        norm = figure.grad_norm
        return {
            "step": global_step,
            "loss": figure.loss,
            "learning_rate": _rounded(figure.learning_rate, 7),
            "grad_norm": None if norm is None else _rounded(norm, 7),
            "epoch": round(global_step / self._steps_per_epoch, 6),
            "samples_per_second": _rounded(speed.samples_per_second, 5),
            "tokens_per_second": _rounded(speed.tokens_per_second, 5),
        }

    def _note_progress(self) -> None:
        global_step = self._state.global_step
        self._record.add("steps", global_step)
        self._record.add("epochs", round(global_step / self._steps_per_epoch, 4))

    def report(self, losses: dict[int, float]) -> None:
        """Show the last of these losses, its learning rate and the loss scale, which is recorded, too."""
        precision = self._state.precision
        scale, skipped = precision.loss_scale(), precision.skipped_steps
        if scale is not None:
            step = self._state.global_step
            self._history.write("scale", step=step, scale=scale, skipped_steps=skipped)
        *_, loss = losses.values()
        self._progress.report(loss, self._learning_rate, scale, skipped)

    def stop(self) -> dict[int, float]:
        """End between two log lines; read and return the losses that no log line had, by global step."""
        self._progress.close()
        return self.read_losses() if self._figures else {}

    def end_epoch(self, step: TrainingStep) -> None:
        """Log and record the speed of the epoch that ends with ``step``."""
        samples_per_second = self._fps.result()
        logger.info(" FPS = %.2f  padding = %s", samples_per_second, self._padding)
        self._history.write(
            "epoch", epoch=step.epoch, step=step.global_step, fps=samples_per_second
        )
        # That of the best epoch is what the launchers report.
        fastest = max(samples_per_second, self._record.values.get("fps") or 0.0)
        self._record.add("fps", fastest)

    def finish(self) -> None:
        """Log and record how fast the training was from end to end, and the memory that it took.

        Beside that the mean of the steps' losses, of those that this run did.
        """
        self._progress.close()
        if self._figures:  # The run stopped between two log lines.
            self.read_losses()
        if self._losses_read:
            logger.info(
                " global_step = %d, average loss = %.6g",
                self._state.global_step,
                self._loss_sum / self._losses_read,
            )
        speed = self._stopwatch.result()
        device, compilation = self._runtime.device, self._state.compilation
        memory = self._runtime.processes.all_reduce_max(device.peak_memory(), device)
        logger.info(
            "training took %.1f s: %.1f samples/s and %.0f tokens/s from end to end",
            speed.seconds,
            speed.samples_per_second,
            speed.tokens_per_second,
        )
        logger.info(
            "%.1f %% of the computed tokens were no padding", 100 * speed.padding_efficiency
        )
        logger.info("peak memory of a process: %.2f GiB", memory / 2**30)
        trained = self._state.global_step > self._first_step
        if not trained and self._history.has("training"):
            return  # The records of the run that is gone on with say what its training took.
        if compilation:
            seconds, graphs = compilation.seconds, compilation.graphs
            logger.info("torch compiled %d graphs in %.1f s of this", graphs, seconds)
            self._history.write("compilation", graphs=graphs, seconds=seconds)
        self._history.write("training", peak_memory_bytes=int(memory), **speed._asdict())
        self._record.add("peak_memory_bytes", int(memory))
        self._record.add("samples_per_second", speed.samples_per_second)
        self._record.add("tokens_per_second", speed.tokens_per_second)


def _rounded(value: float, digits: int) -> float:
    """Return a number with so many digits: a float32 has seven."""
    return float(f"{value:.{digits}g}")
