"""Gradients of shared weights, added up while the backward pass goes through their uses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Sums:
    """Gradients of shared weights, added up from the last use to the first.

    Nodes of the graph know the sums alone: what held weights, too, would be held by them for ever.

    Attributes:
        parts: [programs, k, n] fp32, the parts of sums over rows; None before the first use that the
            backward pass meets.
        most_rows: of a use.
    """

    def __init__(self) -> None:
        self.parts: Tensor | None = None
        self.most_rows = 0
        self._reached = 0

    def begins(self, use: int) -> bool:
        """Return whether a use is the first that a backward pass meets; the sums are dropped then.

        A pass goes from later uses to earlier ones. So it also drops what a pass left that failed.
        """
        begins = self._reached == 0 or use >= self._reached
        self._reached = use
        if begins:
            self.parts = None
        return begins

    def take(self) -> None:
        """Have the next use begin anew."""
        self._reached = 0


class LinearSums(Sums):
    """The gradients of a linear map, which each use's matrix product itself adds up.

    That of the weight is in the type of the products: in bf16 the product adds in fp32, and rounds once a
    use, where a sum of separate gradients rounds twice. That of the bias is in fp32.
    """

    def __init__(self) -> None:
        super().__init__()
        self._weight: Tensor | None = None
        self._of_bias: tuple[Sums, int] | None = None

    def leave_bias_to(self, sums: Sums, index: int) -> None:
        """Have the gradient of the bias added up by what comes next, in its parts' [:, index]."""
        self._of_bias = sums, index

    def add(self, use: int, inputs: Tensor, output_gradient: Tensor) -> None:
        """Add the gradients of a use: [N, in] inputs, [N, out] gradients of its outputs."""
        begins = self.begins(use)
        if begins:
            self._weight = output_gradient.t() @ inputs
        else:
            self._weight.addmm_(output_gradient.t(), inputs)
        if self._of_bias is None:
            # A column's sum may be too large for fp16. On a CPU one in bf16 takes half the time, and adds
            # in fp32 all the same.
            wide = torch.float32 if output_gradient.dtype == torch.float16 else None
            column = output_gradient.sum(0, dtype=wide).float()
            self.parts = column if begins else self.parts.add_(column)

    def gradients(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the sums of weight [out, in] and bias [out], keep none of them, and begin anew.

        They are None where no use has added to them.
        """
        self.take()
        weight, bias = self._weight, self.parts
        if self._of_bias is not None and weight is not None:
            sums, index = self._of_bias
            bias = sums.parts[:, index].sum(0)
        # Autograd takes over without a copy what nobody else holds.
        self._weight = self.parts = None
        return weight, bias


class LinearSource(torch.autograd.Function):
    """Where the weights of a linear map enter, and are cast once for all its uses.

    Its backward comes after those of all uses, and has their sums.
    """

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, bias: Tensor, dtype: torch.dtype, sums: LinearSums
    ) -> tuple[Tensor, Tensor]:
        ctx.sums, ctx.dtypes = sums, (weight.dtype, bias.dtype)
        ctx.set_materialize_grads(False)  # The uses pass on nothing.
        # A view where there is nothing to cast: a function must not return what it was given.
        return weight.to(dtype).view_as(weight), bias.to(dtype).view_as(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: None) -> tuple[Tensor | None, Tensor | None, None, None]:
        sums = zip(ctx.sums.gradients(), ctx.dtypes, strict=True)
        weight, bias = (None if found is None else found.to(dtype) for found, dtype in sums)
        return weight, bias, None, None
