"""LAMB (You et al. 2020, arXiv:1904.00962) as albert_pytorch has it, over all tensors at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_MAX_WEIGHT_NORM = 10.0  # The reference clamps ‖w‖ to this before it forms the trust ratio.

_WHOLE = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # Types of whole numbers by their bytes.


class Lamb(torch.optim.Optimizer):
    """Layer-wise adaptive moments, without bias correction.

    For each tensor w with gradient g::

        m ← β₁ m + (1 - β₁) g          v ← β₂ v + (1 - β₂) g²
        u = m / (√v + ε) + λ w         trust = clamp(‖w‖, 0, 10) / ‖u‖, or 1 where a norm is 0
        w ← w - lr · trust · u

    The norms stay on the device: a step reads nothing back to the host. Each operation is one call for
    all tensors of a group; torch's kernels take them together, but for the last, whose factors differ.

    Args:
        params: tensors or groups, as in torch.optim.
        lr: learning rate. A group's may become a scalar tensor on the device.
        betas: decay of the two moments.
        eps: ε, added to √v.
        weight_decay: λ.
        capturable: for CUDA graphs: under torch's GradScaler, leave a step after an overflow out on the
            device, without a word to the host.
        block: if above 0, all of the rule but its last line is computed for so many numbers at a time,
            which stay in the caches of a CPU meanwhile. The norms are then those of blocks, joined.

    Raises:
        ValueError: an argument is outside its range.
        RuntimeError: a gradient is sparse.
    """

    # These are torch's own methods without the wrapper that keeps torch.compile out: its first call
    # loads the compiler, two seconds of every start, and nothing is compiled here.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        capturable: bool = False,
        block: int = 0,
    ) -> None:
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            if value < 0:
                raise ValueError(f"LAMB: {name} is {value}, below 0")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"LAMB: betas are {betas}, not both in [0, 1)")
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )
        # GradScaler asks for this name; it then sets ``found_inf`` around each step.
        self._step_supports_amp_scaling = capturable
        self._block = block

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every tensor that has a gradient; returns ``closure``'s loss, if given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            tensors = [tensor for tensor in group["params"] if tensor.grad is not None]
            for tensor in tensors:
                if tensor.grad.is_sparse:
                    raise RuntimeError("LAMB has no update for sparse gradients")
                if not self.state[tensor]:
                    self.state[tensor]["exp_avg"] = torch.zeros_like(tensor)
                    self.state[tensor]["exp_avg_sq"] = torch.zeros_like(tensor)
            if self._goes_in_blocks(tensors):
                self._update_in_blocks(tensors, group)
            elif tensors:
                self._update(tensors, group)
        return loss

    def _goes_in_blocks(self, weights: list[Tensor]) -> bool:
        if not self._block or self._step_supports_amp_scaling:
            return False
        return all(weight.is_contiguous() for weight in weights)

    def _update(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        gradients = [weight.grad for weight in weights]
        means = [self.state[weight]["exp_avg"] for weight in weights]
        squares = [self.state[weight]["exp_avg_sq"] for weight in weights]
        rate = -group["lr"]

        if self._step_supports_amp_scaling and getattr(self, "found_inf", None) is not None:
            overflowed = self.found_inf.bool()
            # Of bits, read as whole numbers, even what is no number is 0 times 0.
            bits = [gradient.view(_WHOLE[gradient.element_size()]) for gradient in gradients]
            torch._foreach_mul_(bits, (self.found_inf == 0).to(bits[0].dtype))
            # With these and no gradient, all stays as it is.
            share = torch.where(overflowed, 0.0, 1 - beta1)
            beta2 = torch.where(overflowed, 1.0, beta2)
            rate = torch.where(overflowed, 0.0, rate)
            torch._foreach_lerp_(means, gradients, [share] * len(means))
        else:
            torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["betas"][1])

        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, group["eps"])
        updates = torch._foreach_div(means, roots)
        if group["weight_decay"]:
            torch._foreach_add_(updates, weights, alpha=group["weight_decay"])

        weight_norms = torch.stack(torch._foreach_norm(weights))
        update_norms = torch.stack(torch._foreach_norm(updates))
        trust = _trust(weight_norms, update_norms)
        torch._foreach_addcmul_(weights, updates, list((trust * rate).unbind()))

    def _update_in_blocks(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        roots = torch.empty(0)
        for weight in weights:
            update = torch.empty_like(weight)
            moments = (self.state[weight][name] for name in ("exp_avg", "exp_avg_sq"))
            whole = [part.view(-1) for part in (*moments, update, weight)]
            whole.append(weight.grad.reshape(-1))
            if roots.dtype != weight.dtype:
                roots = weight.new_empty(self._block)
            norms = []
            for mean, square, u, w, gradient in zip(
                *(part.split(self._block) for part in whole), strict=True
            ):
                mean.lerp_(gradient, 1 - beta1)
                square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
                root = torch.sqrt(square, out=roots[: len(square)]).add_(group["eps"])
                torch.div(mean, root, out=u)
                if group["weight_decay"]:
                    u.add_(w, alpha=group["weight_decay"])
                norms += [torch.linalg.vector_norm(w), torch.linalg.vector_norm(u)]
            weight_norm, update_norm = torch.stack(norms).view(-1, 2).norm(dim=0).unbind()
            weight.addcmul_(update, _trust(weight_norm, update_norm) * -group["lr"])


def _trust(weight_norms: Tensor, update_norms: Tensor) -> Tensor:
    return torch.where(
        (weight_norms > 0) & (update_norms > 0),
        weight_norms.clamp(max=_MAX_WEIGHT_NORM) / update_norms,
        1.0,
    )
