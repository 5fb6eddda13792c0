"""What ``amp.initialize`` does to an optimizer: master weights, a step that can be skipped, zero_grad."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from apex.amp._scaler import LossScaler


class Stash:
    """An optimizer's weights and gradients as apex sees them."""

    def __init__(self, optimizer: Optimizer, master_weights: bool) -> None:
        self.has_scaled_gradients = False
        self.masters: list[tuple[Tensor, Tensor]] = []  # (fp16 weight of the model, its master)
        self._optimizer = optimizer
        self._wants_masters = master_weights
        self._earlier: dict[Tensor, Tensor | None] = {}
        self._skips = False
        # Ascend's apex leaves a fused optimizer the gradients it first saw, and writes into them.
        self._keeps = hasattr(optimizer, "is_fused_optimizer")

    def _store(self, weight: Tensor, earlier: Tensor | None, gradient: Tensor) -> None:
        if self._keeps and earlier is not None:
            earlier.copy_(gradient)
            gradient = earlier
        weight.grad = gradient

    @torch.no_grad()
    def make_masters(self) -> None:
        """Put an fp32 copy in the place of each fp16 weight, once."""
        if not self._wants_masters:
            return
        self._wants_masters = False
        optimizer = self._optimizer
        for group in optimizer.param_groups:
            for index, weight in enumerate(group["params"]):
                if weight.requires_grad and weight.dtype == torch.float16:
                    master = weight.detach().float().requires_grad_()
                    group["params"][index] = master
                    self.masters.append((weight, master))
                    if weight in optimizer.state:
                        optimizer.state[master] = optimizer.state.pop(weight)
                weight.grad = None
        optimizer.load_state_dict(optimizer.state_dict())  # state takes the masters' dtype

    def _own(self) -> list[Tensor]:
        """Return the optimizer's weights that are the model's own."""
        masters = {id(master) for _, master in self.masters}
        groups = self._optimizer.param_groups
        return [w for group in groups for w in group["params"] if id(w) not in masters]

    def before_backward(self) -> None:
        """Put the gradients that are there aside: those to come are scaled."""
        self.make_masters()
        for weight, _ in self.masters:
            weight.grad = None
        for weight in self._own():
            self._earlier[weight] = weight.grad
            weight.grad = None

    @torch.no_grad()
    def after_backward(self, scaler: LossScaler) -> None:
        """Unscale the new gradients, and add them to those from before."""
        for weight, master in self.masters:
            if weight.grad is not None:
                unscaled = scaler.unscale(weight.grad, master.grad, torch.float32)
                self._store(master, master.grad, unscaled)
        for weight in self._own():
            earlier = self._earlier.pop(weight, None)
            if weight.grad is not None:
                unscaled = scaler.unscale(weight.grad, earlier, weight.dtype)
                self._store(weight, weight.grad if earlier is None else earlier, unscaled)
            else:
                weight.grad = earlier

    @torch.no_grad()
    def after_step(self) -> None:
        """Give the model its weights."""
        for weight, master in self.masters:
            weight.copy_(master)
        self.drop_master_gradients()

    def drop_master_gradients(self) -> None:
        """Drop the gradients that ``model.zero_grad`` does not reach."""
        for _, master in self.masters:
            if self._keeps and master.grad is not None:
                master.grad.zero_()
            else:
                master.grad = None

    def skip_next_step(self, loss_id: int, scaler: LossScaler) -> None:
        """Replace ``optimizer.step`` for one call."""
        if self._skips:
            return
        self._skips = True
        step = self._optimizer.step

        def skip(closure: Any = None) -> None:
            _refuse(closure)
            print(
                f"Gradient overflow.  Skipping step, loss scaler {loss_id} "
                f"reducing loss scale to {scaler.scale}"
            )
            self.drop_master_gradients()
            self._optimizer.step = step
            self._skips = False

        self._optimizer.step = skip


def _refuse(closure: Any) -> None:
    if closure is not None:
        raise RuntimeError("Currently, Amp does not support closure use with optimizers.")


def patch_optimizer(optimizer: Optimizer, master_weights: bool) -> None:
    """Give an optimizer its stash; with master weights, its ``step`` and ``zero_grad`` are others.

    That ``zero_grad`` takes no arguments, as in apex.
    """
    if hasattr(optimizer, "_amp_stash"):
        raise RuntimeError("A given optimizer should only be passed through amp.initialize once.")
    stash = optimizer._amp_stash = Stash(optimizer, master_weights)
    if not master_weights:
        return
    step = optimizer.step

    def step_masters(closure: Any = None) -> Any:
        _refuse(closure)
        result = step()
        stash.after_step()
        return result

    def zero_grad() -> None:
        stash.make_masters()
        for weight in (*(weight for weight, _ in stash.masters), *stash._own()):
            if weight.grad is not None:
                weight.grad.detach_()
                weight.grad.zero_()
        stash.drop_master_gradients()

    optimizer.step = step_masters
    optimizer.zero_grad = zero_grad
