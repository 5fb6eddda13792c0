"""``apex.optimizers``: Ascend's fused LAMB, which works on what ``amp.initialize`` joins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["NpuFusedLamb"]


class NpuFusedLamb(Optimizer):
    """LAMB without bias correction; ‖w‖ is clamped to [0, 10], and trust is 1 where a norm is 0.

    With ``use_global_grad_norm`` all gradients are divided by their joint norm where that exceeds 1.
    ``adam`` makes the trust 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0,
        adam: bool = False,
        use_global_grad_norm: bool = False,
    ) -> None:
        self.adam, self.use_global_grad_norm = adam, use_global_grad_norm
        self.is_npu_fused_optimizer = True
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update the weights that had a gradient when they were joined."""
        if not hasattr(self, "_amp_stash"):
            raise RuntimeError("apex.optimizers.NpuFusedLamb should be used with AMP.")
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        joined = self._amp_stash.joined()
        norm = torch.ones((), device="npu")
        if self.use_global_grad_norm:
            norm = torch.stack([g.pow(2).sum() for g in joined.values()]).sum().sqrt()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight in joined:
                    self._update(group, weight, joined[weight] / norm.clamp(min=1.0))
        return loss

    def _update(self, group: dict[str, Any], weight: Tensor, gradient: Tensor) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.mul_(beta1).add_(gradient, alpha=1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        update = mean / square.sqrt().add(group["eps"])
        if group["weight_decay"]:
            update.add_(weight, alpha=group["weight_decay"])
        weight_norm, update_norm = weight.norm().clamp(0, 10), update.norm()
        trust = 1.0
        if not self.adam and weight_norm and update_norm:
            trust = (weight_norm / update_norm).item()
        weight.add_(update, alpha=-group["lr"] * trust)
