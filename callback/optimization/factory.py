"""Which parameters decay, and the optimizer that a name stands for."""

from __future__ import annotations

import torch
from torch import nn

from callback.optimization.lamb import Lamb

OPTIMIZERS = {"lamb": Lamb, "adamw": torch.optim.AdamW}


def build_optimizer(
    name: str, model: nn.Module, learning_rate: float, adam_epsilon: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Build an optimizer over ``model``'s parameters.

    Biases and LayerNorm weights never decay (BERT's rule): these are the parameters of fewer than two
    dimensions.

    Raises:
        ValueError: no optimizer has that name, or an argument is outside its range.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"no optimizer is called {name!r}: there are {', '.join(OPTIMIZERS)}")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return OPTIMIZERS[name](groups, lr=learning_rate, eps=adam_epsilon)
