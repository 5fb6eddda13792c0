"""What each training step comes to, left on the device until all of it is read at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tools.machine.distributed import Processes


class StepFigure(NamedTuple):
    """What one step came to.

    ``grad_norm`` is that of the gradients before they were clipped, without the loss scale; None where it
    is not known, as after an overflow.
    """

    loss: float
    grad_norm: float | None
    learning_rate: float


class StepFigures:
    """Collects the figures of steps: tensors, which nobody waits for, and what the host knows anyway."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._norms: list[Tensor | None] = []
        self._rates: list[Tensor | float] = []

    def __len__(self) -> int:
        return len(self._losses)

    def add(self, loss: Tensor, grad_norm: Tensor | None, learning_rate: Tensor | float) -> None:
        """Keep the figures of a step, scalars on the device that no later step may change."""
        self._losses.append(loss)
        self._norms.append(grad_norm)
        self._rates.append(learning_rate)

    def read(self, processes: Processes) -> list[StepFigure]:
        """Return the figures of the steps since the last call, and forget them.

        The losses are averaged over the processes; the rest is the same in all of them. All numbers come
        from the device in one transfer.
        """
        losses = processes.all_reduce(torch.stack(self._losses)) / processes.world_size
        others = [value for value in (*self._norms, *self._rates) if isinstance(value, Tensor)]
        on_device = [losses, *(value.float().reshape(1) for value in others)]
        numbers = iter(torch.cat(on_device).tolist())
        means = [next(numbers) for _ in self._losses]
        norms = [None if norm is None else next(numbers) for norm in self._norms]
        rates = [next(numbers) if isinstance(rate, Tensor) else rate for rate in self._rates]
        self.__init__()
        return [
            StepFigure(loss, None if norm is None or not math.isfinite(norm) else norm, rate)
            for loss, norm, rate in zip(means, norms, rates, strict=True)
        ]
