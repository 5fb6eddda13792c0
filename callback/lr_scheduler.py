"""Learning-rate schedules with warm-up."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def linear_schedule_with_warmup(
    optimizer: Optimizer, warmup_steps: int, total_steps: int
) -> LambdaLR:
    """Rise linearly from 0 over ``warmup_steps``, then fall linearly to 0 at ``total_steps``.

    Step t (from 0) uses ``lr · t / warmup_steps``, then ``lr · (total_steps - t) / (total_steps -
    warmup_steps)``: BERT's schedule, as in transformers' function of the same purpose.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return step / warmup_steps
        return max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))

    return LambdaLR(optimizer, factor)
