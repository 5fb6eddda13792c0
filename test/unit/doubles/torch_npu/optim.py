"""``torch_npu.optim``: the fused optimizers, which keep all weights and all gradients in two tensors.

The rules are those of torch_npu's own files, and so is what surprises: the tensors are joined once, at the
first step (or the first unscale or zero_grad) that finds gradients. A weight that has none then is never
updated; a gradient that is dropped and made anew, or a state that is loaded, after that is never seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from torch_npu import _device

_DTYPES = (torch.float32, torch.float16)


def _combine(tensors: list[Tensor]) -> Tensor | None:
    """Move tensors of one dtype into one new tensor, and return that."""
    if not tensors:
        return None
    for tensor in tensors:
        if tensor.device.type != "npu":
            raise RuntimeError(f"Tensors to combine must be on NPU, got {tensor.device.type}.")
        if not tensor.is_contiguous():
            raise RuntimeError("Tensors to combine must be contiguous.")
    combined = torch.cat([tensor.detach().flatten() for tensor in tensors])
    offset = 0
    for tensor in tensors:
        _device.change_memory(tensor, combined, offset)
        offset += tensor.numel()
    return combined


class NpuFusedOptimizerBase(Optimizer):
    """What the fused optimizers share: joining the tensors, zeroing and clipping the gradients."""

    def __init__(self, params: Iterable[Any], default: dict[str, Any]) -> None:
        super().__init__(params, default)
        self.is_fused_optimizer = True
        self.is_params_grads_combined = False
        self.is_states_combined = False
        self.params_all_group_combined: list[Tensor | None] = [None, None]
        self.grads_all_group_combined: list[Tensor | None] = [None, None]
        self._joined: list[list[tuple[Tensor, Tensor]]] = []  # (weight, gradient), by group
        self._moments: dict[Tensor, dict[str, Tensor]] = {}

    def _maybe_init_combined_params_and_grads(self) -> None:
        if self.is_params_grads_combined:
            return
        self._joined = [
            [(p, p.grad) for p in group["params"] if p.grad is not None]
            for group in self.param_groups
        ]
        pairs = [pair for group in self._joined for pair in group]
        for weight, _ in pairs:
            if weight.dtype not in _DTYPES:
                raise TypeError(
                    "Fused optimizer's parameters must be either float32 or float16, "
                    f"but received {weight.dtype}"
                )
        for index, dtype in enumerate(_DTYPES):
            own = [pair for pair in pairs if pair[0].dtype == dtype]
            self.params_all_group_combined[index] = _combine([weight for weight, _ in own])
            self.grads_all_group_combined[index] = _combine([gradient for _, gradient in own])
        self.is_params_grads_combined = bool(pairs)

    def _maybe_init_combined_states(self) -> None:
        if self.is_states_combined:
            return
        for group, pairs in zip(self.param_groups, self._joined, strict=True):
            for weight, _ in pairs:
                state = self.state[weight]
                state.setdefault("step", 0)
                names = self._moment_names(group)
                for name in names:
                    earlier = state.get(name)
                    state[name] = torch.zeros_like(weight)
                    if earlier is not None:
                        state[name].copy_(earlier)
                self._moments[weight] = {name: state[name] for name in names}
        self.is_states_combined = bool(self._moments)

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _update(self, group: dict[str, Any], weight: Tensor, gradient: Tensor, step: int) -> None:
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update the joined weights; returns ``closure``'s loss, if given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._maybe_init_combined_params_and_grads()
        self._maybe_init_combined_states()
        self._before_groups()
        for group, pairs in zip(self.param_groups, self._joined, strict=True):
            for weight, gradient in pairs:
                if weight.grad is not None:
                    self.state[weight]["step"] += 1
                self._update(group, weight, gradient, self.state[weight]["step"])
        return loss

    def _before_groups(self) -> None:
        pass

    @torch.no_grad()
    def zero_grad(self, set_to_none: bool = False) -> None:
        """Fill the gradients with 0; they cannot be dropped."""
        if set_to_none:
            raise ValueError("set_to_none is not supported in fused optimizers")
        self._maybe_init_combined_params_and_grads()
        if not self.is_params_grads_combined:
            super().zero_grad(set_to_none)
        for gradients in self.grads_all_group_combined:
            if gradients is not None:
                gradients.zero_()

    @torch.no_grad()
    def clip_grad_norm_fused_(self, max_norm: float, norm_type: float = 2) -> Tensor:
        """Scale the joined gradients so that their norm is at most ``max_norm``; return the norm."""
        self._maybe_init_combined_params_and_grads()
        gradients = [g for g in self.grads_all_group_combined if g is not None]
        if not gradients:
            return torch.tensor(0.0)
        norms = [torch.linalg.vector_norm(g.float(), norm_type) for g in gradients]
        total = torch.linalg.vector_norm(torch.stack(norms), norm_type)
        factor = max_norm / (total + 1e-6)
        if factor < 1:
            for gradient in gradients:
                gradient.mul_(factor)
        return total


class NpuFusedLamb(NpuFusedOptimizerBase):
    """LAMB without bias correction; ‖w‖ is clamped to [0, 10], and trust is 1 where a norm is 0.

    With ``use_global_grad_norm`` all gradients are divided by their joint norm where that exceeds 1.
    ``adam`` makes the trust 1. A step reads the global norm and two norms a tensor back to the host.
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
        _check(lr, betas, eps)
        self.adam = adam
        self.use_global_grad_norm = use_global_grad_norm
        self.global_grad_norm = torch.Tensor([1]).to("npu")
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    def _before_groups(self) -> None:
        gradients = [g for g in self.grads_all_group_combined if g is not None]
        if self.use_global_grad_norm and gradients:
            self.global_grad_norm = sum(g.pow(2).sum() for g in gradients).sqrt()

    def _update(self, group: dict[str, Any], weight: Tensor, gradient: Tensor, step: int) -> None:
        if self.global_grad_norm.item() > 1:
            gradient = gradient / self.global_grad_norm
        beta1, beta2 = group["betas"]
        mean, square = self._moments[weight].values()
        mean.mul_(beta1).add_(gradient, alpha=1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        update = mean / square.sqrt().add(group["eps"])
        if group["weight_decay"]:
            update.add_(weight, alpha=group["weight_decay"])
        weight_norm = weight.pow(2).sum().sqrt().clamp(0, 10)
        update_norm = update.pow(2).sum().sqrt()
        trust = torch.ones_like(weight_norm)
        if not self.adam and weight_norm and update_norm:
            trust = weight_norm / update_norm
        weight.addcmul_(update, trust, value=-group["lr"])


class NpuFusedAdamW(NpuFusedOptimizerBase):
    """AdamW: the weights decay by ``lr · weight_decay`` first; both moments are bias-corrected."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        _check(lr, betas, eps, weight_decay)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "amsgrad": amsgrad})

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[: 3 if group["amsgrad"] else 2]

    def _update(self, group: dict[str, Any], weight: Tensor, gradient: Tensor, step: int) -> None:
        beta1, beta2 = group["betas"]
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        mean, square, *largest = self._moments[weight].values()
        mean.mul_(beta1).add_(gradient, alpha=1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        if largest:
            largest[0].copy_(torch.maximum(largest[0], square))
            square = largest[0]
        denominator = (square.sqrt() / math.sqrt(1 - beta2**step)).add_(group["eps"])
        weight.addcdiv_(mean, denominator, value=-group["lr"] / (1 - beta1**step))


def _check(
    lr: float, betas: tuple[float, float], eps: float, weight_decay: float | None = None
) -> None:
    """Refuse what torch_npu refuses: LAMB there takes a negative weight decay, AdamW does not."""
    if lr < 0.0:
        raise ValueError(f"Invalid learning rate: {lr}")
    if eps < 0.0:
        raise ValueError(f"Invalid epsilon value: {eps}")
    for index, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {index}: {beta}")
    if weight_decay is not None and weight_decay < 0.0:
        raise ValueError(f"Invalid weight_decay value: {weight_decay}")
