"""Linear maps whose weights every layer of a forward pass shares, as ALBERT's do."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.sums import LinearSource, LinearSums
from model.torch_releases import autocast_dtype, is_compiling

_linear = F.linear  # apex's O1 puts a function of its own there, which casts.


class SharedLinear:
    """A linear map for all its uses in one forward pass; make a new one for the next.

    Autograd computes a weight gradient for each use and adds them up, which moves every weight through
    memory four times a layer. Here each use's matrix product adds to the sum itself (addmm).
    That is for fp32 and bf16, and for autocast to bf16, for which the weights are cast here, once. In
    fp16, and where operations are compiled or not recorded, each use is F.linear.
    The gradients themselves have none (a second derivative is an error), and torch.func does not pass.
    Each use must depend on the one before, as layers do: then a backward pass meets them in turn.

    Args:
        weight: [out, in].
        bias: [out].
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight, bias
        self._uses = 0
        self._sums: LinearSums | None = None
        dtype = autocast_dtype(weight.device.type) or weight.dtype
        if _sums_itself(weight, dtype):
            self._sums = LinearSums()
            self._weight, self._bias = LinearSource.apply(weight, bias, dtype, self._sums)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Map [B, ..., in] to [B, ..., out]."""
        if self._sums is None:
            return F.linear(inputs, self._weight, self._bias)
        self._uses += 1
        inputs = inputs.to(self._weight.dtype)
        return _Use.apply(inputs, self._weight, self._bias, self._sums, self._uses)


def _sums_itself(weight: Tensor, dtype: torch.dtype) -> bool:
    return (
        weight.requires_grad
        and torch.is_grad_enabled()
        and dtype in (torch.float32, torch.bfloat16)
        and weight.dtype in (torch.float32, dtype)
        and not is_compiling()
        and F.linear is _linear
    )


class _Use(torch.autograd.Function):
    """F.linear, but for its gradient of the weights."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, sums: LinearSums, use: int
    ) -> Tensor:
        ctx.sums, ctx.use = sums, use
        ctx.save_for_backward(inputs, weight)
        return F.linear(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, output_gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        inputs, weight = ctx.saved_tensors
        ctx.sums.add(ctx.use, inputs.flatten(0, -2), output_gradient.flatten(0, -2))
        return output_gradient @ weight, None, None, None, None
