"""Linear maps whose weights every layer of a forward pass shares, as ALBERT's do."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.torch_releases import autocast_dtype, is_compiling

_linear = F.linear  # apex's O1 puts a function of its own there, which casts.


class SharedLinear:
    """A linear map for all its uses in one forward pass; make a new one for the next.

    Autograd computes a weight gradient for each use and adds them up, which moves every weight through
    memory four times a layer. Here each use's matrix product adds to the sum itself (addmm).
    That is for plain fp32: where operations are cast, compiled or not recorded, each use is F.linear.
    The gradients themselves have none (a second derivative is an error), and torch.func does not pass.
    Each use must depend on the one before, as layers do: then a backward pass meets them in turn.

    Args:
        weight: [out, in].
        bias: [out].
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight, bias
        self._uses = 0
        self._gradients: _Gradients | None = None
        if _sums_itself(weight):
            self._gradients = _Gradients()
            self._weight, self._bias = _Source.apply(weight, bias, self._gradients)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Map [B, ..., in] to [B, ..., out]."""
        if self._gradients is None:
            return F.linear(inputs, self._weight, self._bias)
        self._uses += 1
        return _Use.apply(inputs, self._weight, self._bias, self._gradients, self._uses)


def _sums_itself(weight: Tensor) -> bool:
    return (
        weight.requires_grad
        and torch.is_grad_enabled()
        and weight.dtype == torch.float32
        and autocast_dtype(weight.device.type) is None
        and not is_compiling()
        and F.linear is _linear
    )


class _Gradients:
    """The sums over the uses that the backward pass has been through, the last use first."""

    def __init__(self) -> None:
        self.weight: Tensor | None = None
        self.bias: Tensor | None = None
        self._reached = 0

    def add(self, use: int, inputs: Tensor, output_gradient: Tensor) -> None:
        """Add those of a use, by its number: [N, in] inputs, [N, out] gradients of its outputs."""
        # A pass goes from later uses to earlier ones, so a use that is no earlier is a new pass's first.
        # It drops what a pass before it left, which failed or needed no weight's gradient.
        if self.weight is None or use >= self._reached:
            self.weight = output_gradient.t() @ inputs
            self.bias = output_gradient.sum(0)
        else:
            self.weight.addmm_(output_gradient.t(), inputs)
            self.bias.add_(output_gradient.sum(0))
        self._reached = use

    def take(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the sums and begin anew."""
        sums = self.weight, self.bias
        self.weight = self.bias = None
        return sums


class _Source(torch.autograd.Function):
    """Where the weights enter. Its backward comes after those of all uses, and has their sums."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, bias: Tensor, gradients: _Gradients
    ) -> tuple[Tensor, Tensor]:
        ctx.gradients = gradients
        ctx.set_materialize_grads(False)  # The uses pass on nothing.
        return weight.view_as(weight), bias.view_as(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: None) -> tuple[Tensor | None, Tensor | None, None]:
        return *ctx.gradients.take(), None


class _Use(torch.autograd.Function):
    """F.linear, but for its gradient of the weights."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, gradients: _Gradients, use: int
    ) -> Tensor:
        ctx.gradients, ctx.use = gradients, use
        ctx.save_for_backward(inputs, weight)
        return F.linear(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, output_gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        inputs, weight = ctx.saved_tensors
        ctx.gradients.add(ctx.use, inputs.flatten(0, -2), output_gradient.flatten(0, -2))
        return output_gradient @ weight, None, None, None, None
