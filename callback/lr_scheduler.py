"""Learning-rate schedules with warm-up, as factors of the peak rate.

Each equals the function of the same purpose in Hugging Face's transformers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def _constant(progress: float) -> float:
    return 1.0


def _linear(progress: float) -> float:
    return 1.0 - progress


def _cosine(progress: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def _cosine_with_restarts(progress: float) -> float:
    """Two half waves, each from the peak to 0 (SGDR, Loshchilov and Hutter 2017, arXiv:1608.03983)."""
    return 0.0 if progress >= 1.0 else _cosine(2 * progress % 1.0)


# After the warm-up, these map the share of the remaining steps done to a factor of the peak rate.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": _linear,
    "constant": _constant,
    "cosine": _cosine,
    "cosine_with_restarts": _cosine_with_restarts,
}


def build_schedule(
    name: str, optimizer: Optimizer, warmup_steps: int, total_steps: int
) -> LambdaLR:
    """Rise linearly from 0 over ``warmup_steps``, then follow one of :data:`SCHEDULES`.

    Step t (from 0) uses ``lr · t / warmup_steps``, then ``lr · f(progress)`` with ``progress = (t -
    warmup_steps) / (total_steps - warmup_steps)``; ``linear`` is BERT's and the references' schedule.
    """
    after_warmup = SCHEDULES[name]

    def factor(step: int) -> float:
        if step < warmup_steps:
            return step / warmup_steps
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return max(0.0, after_warmup(min(1.0, progress)))

    return LambdaLR(optimizer, factor)


class DeviceSchedule:
    """A schedule whose rates lie on the device, with the number of the steps taken.

    So a step that is left out there after an overflow holds the schedule without a word to the host, and
    a CUDA graph finds the rate of each step. It takes the place of ``schedule``, with the same state.

    Args:
        schedule: of the optimizer, all of whose groups have one rate.
        total_steps: after these its rate stays what it is by then, as that of ``schedule`` does.
    """

    def __init__(self, schedule: LambdaLR, total_steps: int, device: torch.device) -> None:
        self._schedule = schedule
        (peak, *_), (factor, *_) = schedule.base_lrs, schedule.lr_lambdas
        rates = [peak * factor(step) for step in range(total_steps + 1)]
        self._rates = torch.tensor(rates, dtype=torch.float32, device=device)
        self._taken = torch.zeros(1, dtype=torch.int64, device=device)
        self._rate = torch.empty((), dtype=torch.float32, device=device)
        self._give_rate()

    def _give_rate(self) -> None:
        for group in self._schedule.optimizer.param_groups:
            group["lr"] = self._rate

    def set_rate(self) -> None:
        """Give the optimizer the rate of the next step."""
        self._rate.copy_(self._rates[self._place()].squeeze(0))

    def _place(self) -> Tensor:
        return self._taken.clamp(max=len(self._rates) - 1)

    def step(self, updated: bool | Tensor = True) -> None:
        """Count a step, if it updated the weights."""
        self._taken += updated

    def last_rate(self) -> Tensor:
        """Return the rate that the last step used, a scalar on the device that later steps leave alone."""
        return self._rate.clone()

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs, and the schedule that this one took the place of."""
        taken = int(self._taken)
        self._schedule.last_epoch = taken
        self._schedule._step_count = taken + 1
        self._schedule._last_lr = self._rates[self._place()].tolist() * len(self._schedule.base_lrs)
        return self._schedule.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; the optimizer is to have its own state by now."""
        self._schedule.load_state_dict(state)
        self._taken.fill_(self._schedule.last_epoch)
        self._give_rate()
