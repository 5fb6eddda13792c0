"""What a run must be resumed with unchanged, so that it ends as if it had never stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from tools.cli.errors import UsageError
from tools.precision.base import Precision
from tools.run.flags import TrainingFlags

# All other fields of TrainingFlags must be as they were. These may change, each for its reason.
MAY_CHANGE = {
    "batch_size": "the global batch is compared, which another number of processes can make, too",
    "amp_backend": "what it chose is compared, as the precision in use",
    "gradient_checkpointing": "it computes the same numbers in less memory",
    "fused_kernels": "they compute the same to rounding, with other random numbers for dropout",
    "cuda_graphs": "the steps are the same, to the bit with LAMB and to rounding with AdamW",
    "stop_point": "it says when a run ends and changes no step of it",
}


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


class Settings:
    """What :func:`resume_settings` returns, as a part of a checkpoint's state."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def state_dict(self) -> dict[str, Any]:
        """Return the settings."""
        return self._values

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Check that a checkpoint's settings are these.

        Raises:
            ValueError: they are not; names the first that differs.
        """
        for name, value in self._values.items():
            if state.get(name) != value:
                raise ValueError(f"{name} was {state.get(name)} there and is {value} now")
