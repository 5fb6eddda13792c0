"""What ``amp.initialize`` does to an optimizer: master weights, a step that can be skipped, zero_grad.

There are two ways. One takes the gradients as it finds them. The other, ``combine_grad``, joins those
that the first backward pass makes into one tensor, and works on that from then on: a weight without a
gradient then is never updated, and a gradient that is dropped and made anew is never unscaled.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch_npu import _chip

from apex.amp._scaler import LossScaler


class Stash:
    """An optimizer's weights and gradients as apex sees them, and takes them one by one."""

    def __init__(self, optimizer: Optimizer, master_weights: bool) -> None:
        self.has_scaled_gradients = False
        self.masters: list[tuple[Tensor, Tensor]] = []  # (fp16 weight of the model, its master)
        self._optimizer = optimizer
        self._wants_masters = master_weights
        self._earlier: dict[Tensor, Tensor | None] = {}
        self._skips = False

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

    def own(self) -> list[Tensor]:
        """Return the optimizer's weights that are the model's own."""
        masters = {id(master) for _, master in self.masters}
        groups = self._optimizer.param_groups
        return [w for group in groups for w in group["params"] if id(w) not in masters]

    def before_backward(self) -> None:
        """Put the gradients that are there aside: those to come are scaled."""
        self.make_masters()
        for weight, _ in self.masters:
            weight.grad = None
        for weight in self.own():
            self._earlier[weight] = weight.grad
            weight.grad = None

    @torch.no_grad()
    def after_backward(self, scaler: LossScaler) -> None:
        """Unscale the new gradients, and add them to those from before."""
        made = [(weight, master) for weight, master in self.masters if weight.grad is not None]
        if scaler.overflow or scaler.finds_overflow(weight.grad for weight, _ in made):
            return
        for weight, master in made:
            # apex unscales in the gradient's own type, and what is too small for that is lost.
            unscaled = (weight.grad / scaler.scale).float()
            master.grad = unscaled if master.grad is None else master.grad + unscaled
        for weight in self.own():
            earlier = self._earlier.pop(weight, None)
            if weight.grad is None:
                weight.grad = earlier
            elif not scaler.finds_overflow([weight.grad]):
                weight.grad.div_(scaler.scale)
                if earlier is not None:
                    weight.grad.add_(earlier)

    @torch.no_grad()
    def after_step(self) -> None:
        """Give the model its weights."""
        for weight, master in self.masters:
            weight.copy_(master)
        self.drop_master_gradients()

    def drop_master_gradients(self) -> None:
        """Drop the gradients that ``model.zero_grad`` does not reach."""
        for _, master in self.masters:
            master.grad = None

    def zero_grad(self, of_torch: Any) -> None:
        """Zero the gradients in a way of apex's; ``of_torch`` is the optimizer's own."""
        self.make_masters()
        if not self.masters:
            of_torch()
            return
        for weight in (*(weight for weight, _ in self.masters), *self.own()):
            if weight.grad is not None:
                weight.grad.detach_()
                weight.grad.zero_()
        self.drop_master_gradients()

    def skip_next_step(self, loss_id: int, scaler: LossScaler, quiet: bool) -> None:
        """Replace ``optimizer.step`` for one call."""
        if self._skips:
            return
        self._skips = True
        step = self._optimizer.step

        def skip(closure: Any = None) -> None:
            _refuse(closure)
            if not quiet:
                print(
                    f"Gradient overflow.  Skipping step, loss scaler {loss_id} "
                    f"reducing loss scale to {scaler.scale}"
                )
            self.drop_master_gradients()
            self._optimizer.step = step
            self._skips = False

        self._optimizer.step = skip


class JoinedStash(Stash):
    """The same for ``combine_grad``: what counts are the gradients that were joined."""

    def __init__(self, optimizer: Optimizer, master_weights: bool) -> None:
        super().__init__(optimizer, master_weights)
        self._gradients: list[tuple[Tensor, Tensor]] = []  # (of an fp16 weight, of its master)
        self._own_gradients: list[Tensor] = []
        self._by_weight: dict[Tensor, Tensor] = {}
        self._own_earlier: list[Tensor] = []
        self._joined, self._zeroed = False, True
        self._first: dict[int, Tensor] = {}

    def before_backward(self) -> None:
        """Put the gradients aside, unless they are zero."""
        if not self._joined:
            super().before_backward()
        elif not self._zeroed:
            self._own_earlier = [gradient.clone() for gradient in self._own_gradients]
            for gradient in (*(g for g, _ in self._gradients), *self._own_gradients):
                gradient.zero_()

    @torch.no_grad()
    def _join(self) -> None:
        if self._joined:
            return
        self._joined = True
        for weight, master in self.masters:
            if weight.grad is not None:
                master.grad = torch.zeros_like(master)
                self._gradients.append((weight.grad, master.grad))
                self._by_weight[master] = master.grad
        own = {w: w.grad for w in self.own() if w.grad is not None}
        self._own_gradients = list(own.values())
        self._by_weight |= own

    def joined(self) -> dict[Tensor, Tensor]:
        """Return the joined gradients, of the weights that the optimizer updates."""
        return self._by_weight

    @torch.no_grad()
    def after_backward(self, scaler: LossScaler) -> None:
        """Unscale the joined gradients, in fp32, and add those from before."""
        self._join()
        fresh, self._zeroed = self._zeroed, False
        if not scaler.overflow and not scaler.finds_overflow(g for g, _ in self._gradients):
            for index, (gradient, of_master) in enumerate(self._gradients):
                earlier = 0.0 if fresh else of_master.clone()
                of_master.copy_(gradient).mul_(1 / scaler.scale).add_(earlier)
                if _chip.is_planted("frozen"):
                    of_master.copy_(self._first.setdefault(index, of_master.clone()))
        if not scaler.overflow and not scaler.finds_overflow(self._own_gradients):
            for gradient in self._own_gradients:
                gradient.mul_(1 / scaler.scale)
            if not fresh:
                for gradient, earlier in zip(self._own_gradients, self._own_earlier, strict=False):
                    gradient.add_(earlier)

    def drop_master_gradients(self) -> None:
        """Zero the masters' gradients: they are joined."""
        for _, of_master in self._gradients:
            of_master.zero_()

    def zero_grad(self, of_torch: Any) -> None:
        """Zero the joined gradients."""
        self.make_masters()
        self._zeroed = True
        if not self._joined:
            super().zero_grad(of_torch)
        for gradient in (*(g for pair in self._gradients for g in pair), *self._own_gradients):
            gradient.zero_()


def _refuse(closure: Any) -> None:
    if closure is not None:
        raise RuntimeError("Currently, Amp does not support closure use with optimizers.")


def patch_optimizer(optimizer: Optimizer, master_weights: bool, joins: bool) -> None:
    """Give an optimizer its stash; its ``step`` and ``zero_grad`` may be others from now on.

    That ``zero_grad`` takes no arguments, as in apex.
    """
    if hasattr(optimizer, "_amp_stash"):
        raise RuntimeError("A given optimizer should only be passed through amp.initialize once.")
    joins = joins or getattr(optimizer, "is_npu_fused_optimizer", False)
    stash = optimizer._amp_stash = (JoinedStash if joins else Stash)(optimizer, master_weights)
    step, zero_grad = optimizer.step, optimizer.zero_grad

    def step_masters(self: Optimizer, closure: Any = None) -> Any:
        _refuse(closure)
        result = step()
        stash.after_step()
        return result

    if master_weights:
        optimizer.step = MethodType(step_masters, optimizer)
    if master_weights or joins:
        optimizer.zero_grad = lambda: stash.zero_grad(zero_grad)
