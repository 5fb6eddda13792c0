"""How a training ends that does not come to its end: diverged, in vain, or stopped by a signal."""

from __future__ import annotations

import math
from pathlib import Path

from tools.cli.errors import StoppedError, ended_by


def stop_if_diverged(losses: dict[int, float]) -> None:
    """End the run where a loss, by its global step, is no finite number.

    Raises:
        ValueError: names the step and the remedy.
    """
    for global_step, loss in losses.items():
        if not math.isfinite(loss):
            if global_step == 1:  # No weight has changed yet.
                raise ValueError(
                    f"the loss is {loss} at the first step: the weights that the training starts from, or "
                    "its numbers, are too large; in fp16 --bf16 may do in place of --fp16"
                )
            raise ValueError(
                f"the loss is {loss} at step {global_step}: try a lower --learning_rate"
            )


def stop_if_nothing_changed(steps: int, skipped_steps: int) -> None:
    """End the run where every step overflowed: its model is the one that it started with.

    Raises:
        ValueError: says so, and the remedy.
    """
    if 0 < steps <= skipped_steps:
        raise ValueError(
            f"each of the {steps} steps overflowed in fp16, so that no weight changed: train for more "
            "steps, which the loss scale needs to adapt, or with --bf16 in place of --fp16"
        )


def stopped(number: int, global_step: int, checkpoint: Path) -> StoppedError:
    """Return how a training ends that a signal stopped after ``global_step``."""
    what = ended_by(number)
    if not global_step:
        return StoppedError(number, f"{what} before the first step")
    return StoppedError(
        number,
        f"{what} after step {global_step}: {checkpoint} is saved; --resume goes on from there",
    )


def stopped_at_the_end(number: int, output_dir: Path) -> StoppedError:
    """Return how a run ends that a signal stopped when its training was through."""
    what = f"{ended_by(number)} after the last step"
    return StoppedError(number, f"{what}: {output_dir} has the trained model")
