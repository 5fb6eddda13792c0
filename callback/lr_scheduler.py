"""Learning-rate schedules with warm-up, as factors of the peak rate.

Each equals the function of the same purpose in Hugging Face's transformers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

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
