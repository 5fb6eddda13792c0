"""What a fused layer is made of, beside its attention."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from model.fused.sums import Sums

_MOST_PROGRAMS = 1024
_ROWS_OF_A_PROGRAM = 6
_GELU_ROWS, _GELU_COLUMNS, _GELU_PROGRAMS = 32, 128, 128


def block_of(columns: int) -> int:
    """Return the power of two that holds so many numbers."""
    return 1 << (columns - 1).bit_length()


class FusedLinear:
    """A linear map, for all its uses in one forward pass.

    Args:
        weight: [out, in].
        bias: [out].
        dtype: what to compute in.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self.sums, self._bias_sums = Sums(), None
        self._weight, self._bias = weight.to(dtype), bias.to(dtype)
        if torch.is_grad_enabled() and weight.requires_grad:
            self._weight, self._bias = _LinearSource.apply(weight, bias, dtype, self)
        self._uses = 0

    def leave_bias_to(self, sums: Sums, index: int) -> None:
        """Have the gradient of the bias added up by what comes next, in its parts' [:, index]."""
        self._bias_sums = sums, index

    def __call__(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B, S, in] to [B, S, out]; return that, and the inputs for what else takes them.

        So the product adds their gradients up. Whoever takes the second must let go of its gradient.
        """
        self._uses += 1
        return _LinearUse.apply(inputs, self._weight, self._bias, self, self._uses)

    def add(self, use: int, inputs: Tensor, output_gradient: Tensor) -> None:
        """Add the gradients of a use: [N, in] inputs, [N, out] gradients of its outputs."""
        sums = self.sums
        begins = sums.begins(use)
        if begins:
            sums.weight = output_gradient.t() @ inputs
        else:
            sums.weight.addmm_(output_gradient.t(), inputs)
        if self._bias_sums is None:
            column = output_gradient.sum(0, dtype=torch.float32)
            sums.parts = column if begins else sums.parts.add_(column)

    def gradients(self) -> tuple[Tensor, Tensor]:
        """Return the sums of weight and bias, and begin anew."""
        self.sums.take()
        if self._bias_sums is None:
            return self.sums.weight, self.sums.parts
        sums, index = self._bias_sums
        return self.sums.weight, sums.parts[:, index].sum(0)


class _LinearSource(torch.autograd.Function):
    """Where the weights enter. Its backward comes after those of all uses, and has their sums."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, bias: Tensor, dtype: torch.dtype, linear: FusedLinear
    ) -> tuple[Tensor, Tensor]:
        ctx.linear, ctx.dtypes = linear, (weight.dtype, bias.dtype)
        ctx.set_materialize_grads(False)
        return weight.to(dtype, copy=True), bias.to(dtype, copy=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: None) -> tuple[Tensor, Tensor, None, None]:
        weight, bias = ctx.linear.gradients()
        return weight.to(ctx.dtypes[0]), bias.to(ctx.dtypes[1]), None, None


class _LinearUse(torch.autograd.Function):
    """F.linear, but for its gradients of the weights."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, linear: FusedLinear, use: int
    ) -> tuple[Tensor, Tensor]:
        ctx.linear, ctx.use = linear, use
        ctx.save_for_backward(inputs, weight)
        ctx.set_materialize_grads(False)
        return F.linear(inputs, weight, bias), inputs.view_as(inputs)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Tensor, passed: Tensor | None
    ) -> tuple[Tensor, None, None, None, None]:
        inputs, weight = ctx.saved_tensors
        flat = gradient.flatten(0, -2)
        ctx.linear.add(ctx.use, inputs.flatten(0, -2), flat)
        if passed is None:
            return gradient @ weight, None, None, None, None
        passed.view(-1, passed.shape[-1]).addmm_(flat, weight)
        return passed, None, None, None, None


class FusedNorm:
    """LayerNorm(residual + dropout(z)), for all its uses in one forward pass.

    Args:
        norm: has weight, bias and epsilon.
        p: the share that dropout leaves out.
    """

    def __init__(self, norm: nn.LayerNorm, p: float) -> None:
        self.sums, self.p, self.eps = Sums(), p, norm.eps
        self.most_rows = 0  # of a use
        self._weight, self._bias = norm.weight, norm.bias
        if torch.is_grad_enabled() and norm.weight.requires_grad:
            self._weight, self._bias = _NormSource.apply(norm.weight, norm.bias, self)
        self._uses = 0

    def __call__(self, z: Tensor, residual: Tensor, seed: Tensor | None) -> Tensor:
        """Return [B, S, H] of as many; what is in ``z`` is lost.

        Args:
            seed: int64, of the random numbers; None where there is no dropout.
        """
        self._uses += 1
        return _NormUse.apply(z, residual, self._weight, self._bias, self, self._uses, seed)


class _NormSource(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, norm: FusedNorm) -> tuple[Tensor, Tensor]:
        ctx.norm, ctx.dtypes = norm, (weight.dtype, bias.dtype)
        ctx.set_materialize_grads(False)
        return weight.view_as(weight), bias.view_as(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: None) -> tuple[Tensor, Tensor, None]:
        sums = ctx.norm.sums
        sums.take()
        weight, bias = sums.parts[:, :2].sum(0)
        return weight.to(ctx.dtypes[0]), bias.to(ctx.dtypes[1]), None


class _NormUse(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        residual: Tensor,
        weight: Tensor,
        bias: Tensor,
        norm: FusedNorm,
        use: int,
        seed: Tensor | None,
    ) -> Tensor:
        from model.fused.kernels import norm_forward

        columns = z.shape[-1]
        rows = z.numel() // columns
        trains, drops = any(ctx.needs_input_grad), seed is not None
        residual, out = residual.contiguous(), torch.empty_like(z)
        kept = torch.empty_like(z, dtype=torch.int8) if drops else None
        mean, scale = z.new_empty(2, rows, dtype=torch.float32).unbind() if trains else (None, None)
        norm_forward[(rows,)](
            *(z, residual, out, kept, weight, bias, mean, scale, seed),
            *(columns, norm.eps, norm.p if drops else 0.0),
            DROPS=drops,
            TRAINS=trains,
            BLOCK=block_of(columns),
        )
        ctx.norm, ctx.use, norm.most_rows = norm, use, max(norm.most_rows, rows)
        # What is in the place of z now is the sum that was normalized.
        ctx.save_for_backward(z, kept, weight, mean, scale)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from model.fused.kernels import norm_backward

        total, kept, weight, mean, scale = ctx.saved_tensors
        norm, columns = ctx.norm, total.shape[-1]
        rows = total.numel() // columns
        gradient, to_residual = gradient.contiguous(), torch.empty_like(total)
        to_z = to_residual if kept is None else torch.empty_like(total)
        begins = norm.sums.begins(ctx.use)
        if begins:
            programs = min(-(-norm.most_rows // _ROWS_OF_A_PROGRAM), _MOST_PROGRAMS)
            norm.sums.parts = mean.new_empty(programs, 3, columns)
        norm_backward[(norm.sums.parts.shape[0],)](
            *(gradient, total, kept, weight, mean, scale, to_residual, to_z, norm.sums.parts),
            *(rows, int(begins), columns, norm.p),
            DROPS=kept is not None,
            BLOCK=block_of(columns),
        )
        return to_z, to_residual, None, None, None, None, None


class FusedGelu:
    """GELU, for all its uses in one forward pass; its sums are the gradient of a bias before it.

    Args:
        approximate: as torch.nn.GELU has it.
    """

    def __init__(self, approximate: str) -> None:
        self.sums, self.approximate = Sums(), approximate
        self.most_rows = 0
        self._uses = 0

    def __call__(self, inputs: Tensor) -> Tensor:
        self._uses += 1
        return _GeluUse.apply(inputs, self, self._uses)


class _GeluUse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, gelu: FusedGelu, use: int) -> Tensor:
        rows = inputs.numel() // inputs.shape[-1]
        ctx.gelu, ctx.use, gelu.most_rows = gelu, use, max(gelu.most_rows, rows)
        ctx.save_for_backward(inputs)
        return F.gelu(inputs, approximate=gelu.approximate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        from model.fused.kernels import gelu_backward

        (inputs,) = ctx.saved_tensors
        sums, columns = ctx.gelu.sums, inputs.shape[-1]
        rows = inputs.numel() // columns
        gradient, to_inputs = gradient.contiguous(), torch.empty_like(inputs)
        begins = sums.begins(ctx.use)
        if begins:
            programs = min(-(-ctx.gelu.most_rows // _GELU_ROWS), _GELU_PROGRAMS)
            sums.parts = inputs.new_empty(programs, 1, columns, dtype=torch.float32)
        gelu_backward[(-(-columns // _GELU_COLUMNS), sums.parts.shape[0])](
            *(gradient, inputs, to_inputs, sums.parts, rows, int(begins), columns),
            TANH=ctx.gelu.approximate == "tanh",
            ROWS=_GELU_ROWS,
            BLOCK=_GELU_COLUMNS,
        )
        return to_inputs, None, None
