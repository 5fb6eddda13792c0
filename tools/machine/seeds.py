"""Seeds of the random numbers: of a whole run, and of each of its steps."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy, and torch on every device."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_step(seed: int, global_step: int, rank: int) -> None:
    """Seed torch for one optimizer step (dropout).

    The random numbers of a step follow from its number, so a resumed run draws what the run without a
    stop would have drawn, and no generator state needs to be saved.
    """
    torch.manual_seed(int(np.random.SeedSequence([seed, global_step, rank]).generate_state(1)[0]))
