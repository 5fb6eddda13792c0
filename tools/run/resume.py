"""What a run must be resumed with unchanged, so that it ends as if it had never stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from callback.history import History
from tools.cli.errors import UsageError
from tools.precision.base import Precision
from tools.run.flags import TrainingFlags

# All other fields of TrainingFlags must be as they were, but for the length of a constant schedule.
# These may change, each for its reason.
MAY_CHANGE = {
    "batch_size": "the global batch is compared, which another number of processes can make, too",
    "amp_backend": "what it chose is compared, as the precision in use",
    "gradient_checkpointing": "it computes the same numbers in less memory",
    "fused_kernels": "they compute the same to rounding, with other random numbers for dropout",
    "cuda_graphs": "the steps are the same, to the bit with LAMB and to rounding with AdamW",
    "stop_point": "it says when a run ends and changes no step of it",
}

# A training with a constant rate may become longer.
_LENGTH = ("num_train_epochs", "max_steps", "optimizer steps")


def resume_settings(
    flags: TrainingFlags, precision: Precision, facts: dict[str, Any]
) -> dict[str, Any]:
    """Return, by name, what a checkpoint keeps for the comparison with the run that goes on from it.

    Args:
        precision: what the flags came to on this machine.
        facts: what the flags do not tell: of the data, the task and the plan of the batches.
    """
    compared = {name: value for name, value in asdict(flags).items() if name not in MAY_CHANGE}
    return {**compared, **facts, "precision in use": type(precision).__name__}


@contextmanager
def resuming() -> Iterator[None]:
    """Say of a checkpoint that does not fit what can be done about it.

    Raises:
        UsageError: the block raised a ValueError.
    """
    try:
        yield
    except ValueError as error:
        raise UsageError(
            f"--resume: {error}: resume it with what it had, or train anew with --overwrite_output_dir"
        ) from error


def check_no_model_is_lost(history: History, steps: int) -> None:
    """See that a run of so many ``steps`` leaves no model in place of one that was trained for longer.

    Raises:
        UsageError: it would.
    """
    done = history.end_step()
    if done is not None and done > steps:
        raise UsageError(
            f"--resume: the model in {history.path.parent} was trained for {done} steps, and one of "
            f"{steps} would take its place: give the --num_train_epochs or --max_steps that it had, or "
            "more; or train anew with --overwrite_output_dir, which keeps it"
        )


class Settings:
    """What :func:`resume_settings` returns, as a part of a checkpoint's state."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def state_dict(self) -> dict[str, Any]:
        """Return the settings."""
        return self._values

    def check(self, state: dict[str, Any], done: int, rated: int) -> None:
        """See that a checkpoint's settings are these, or those of a training that is only longer now.

        Args:
            state: of the checkpoint, as :meth:`state_dict` returned it there.
            done: the steps that were done there.
            rated: those of them that the schedule counted.

        Raises:
            ValueError: they are not; names the first that differs.
        """
        differ = [name for name, value in self._values.items() if state.get(name) != value]
        # What else differs weighs more than the length.
        for name in sorted(differ, key=lambda name: name in _LENGTH):
            words = f"{name} was {state.get(name)} there and is {self._values[name]} now"
            if name not in _LENGTH:
                raise ValueError(words)
            if reason := self._why_not_longer(done, rated):
                raise ValueError(f"{words}, {reason}")

    def _why_not_longer(self, done: int, rated: int) -> str | None:
        """Return why the steps done are not the first ones of a training of this length."""
        schedule, total = self._values["lr_schedule"], self._values["optimizer steps"]
        warmup_steps = int(total * self._values["warmup_proportion"])
        if schedule != "constant":
            return (
                f"on which the rates of --lr_schedule {schedule} depend (those of constant do not; "
                "another run, with --model_name_or_path and another --output_dir, trains it further)"
            )
        if total < done:
            return f"but {done} steps are done"
        if rated < warmup_steps:
            return f"but its warm-up would be {warmup_steps} steps, of which only {rated} are done"
        return None
