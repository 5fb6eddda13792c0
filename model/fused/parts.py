"""What a fused layer is made of, beside its attention."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from model.sums import LinearSource, LinearSums, Sums

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
        self.sums: LinearSums | None = None
        if _learns(weight, bias):
            self.sums = LinearSums()
            self._weight, self._bias = LinearSource.apply(weight, bias, dtype, self.sums)
        else:
            self._weight, self._bias = weight.to(dtype), bias.to(dtype)
        self._uses = 0

    def leave_bias_to(self, sums: Sums, index: int) -> None:
        """Do as :meth:`LinearSums.leave_bias_to`, if the weights learn."""
        if self.sums is not None:
            self.sums.leave_bias_to(sums, index)

    def __call__(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B, S, in] to [B, S, out]; return that, and the inputs for what else takes them.

        So the product adds their gradients up. Whoever takes the second must let go of its gradient.
        """
        self._uses += 1
        return _LinearUse.apply(inputs, self._weight, self._bias, self.sums, self._uses)

    def with_gelu(self, inputs: Tensor) -> Tensor:
        """Map [B, S, in] to [B, S, out] and take the product's own GELU of that, without gradients.

        It is torch.nn.GELU's where :func:`product_has_gelu` says so.
        """
        return _product_and_gelu(self._bias, inputs.flatten(0, -2), self._weight).unflatten(
            0, inputs.shape[:-1]
        )


def _product_and_gelu(bias: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    return torch._addmm_activation(bias, inputs, weight.t(), use_gelu=True)


@lru_cache
def product_has_gelu(approximate: str, dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether a product here can take this GELU itself, before it writes what it has.

    That saves to write and read the widest numbers of a layer once more. torch leaves it open which of
    the two kinds of GELU a product has (on a GPU it is that with tanh, on a CPU the other), and so it is
    asked, of numbers where the kinds differ by up to 5e-4.

    Args:
        approximate: as torch.nn.GELU has it.
        dtype: of the product.
    """
    numbers = torch.linspace(-6, 6, 256, dtype=dtype, device=device)
    nothing = numbers.new_zeros(16, 16), numbers.new_zeros(len(numbers), 16)
    try:
        found = _product_and_gelu(numbers, *nothing)[0]
    except (AttributeError, RuntimeError):  # It is no public function of torch.
        return False
    wanted = F.gelu(numbers, approximate=approximate)
    return torch.allclose(found, wanted, rtol=2 * torch.finfo(dtype).eps, atol=1e-4)


def _learns(*parameters: Tensor) -> bool:
    return torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters)


class _LinearUse(torch.autograd.Function):
    """F.linear, but for its gradients of the weights."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, sums: LinearSums | None, use: int
    ) -> tuple[Tensor, Tensor]:
        ctx.sums, ctx.use = sums, use
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
        if ctx.sums is not None:
            ctx.sums.add(ctx.use, inputs.flatten(0, -2), flat)
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
        self.sums, self.p, self._eps = Sums(), p, norm.eps
        self._weight, self._bias = norm.weight, norm.bias
        if _learns(norm.weight, norm.bias):
            self._weight, self._bias = _NormSource.apply(norm.weight, norm.bias, self.sums)
        self._uses = 0

    def __call__(self, z: Tensor, residual: Tensor, seed: Tensor | None) -> Tensor:
        """Return [B, S, H] of as many; what is in ``z`` is lost.

        Args:
            seed: int64, of the random numbers; None where there is no dropout.
        """
        self._uses += 1
        self.sums.most_rows = max(self.sums.most_rows, z.numel() // z.shape[-1])
        numbers = (self._eps, self.p if seed is not None else 0.0)
        trains = _learns(z, residual, self._weight, self._bias)
        return _NormUse.apply(
            *(z, residual, self._weight, self._bias),
            *(self.sums, self._uses, seed, numbers, trains),
        )


class _NormSource(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, sums: Sums) -> tuple[Tensor, Tensor]:
        ctx.sums, ctx.dtypes = sums, (weight.dtype, bias.dtype)
        ctx.set_materialize_grads(False)
        return weight.view_as(weight), bias.view_as(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: None) -> tuple[Tensor, Tensor, None]:
        ctx.sums.take()
        weight, bias = ctx.sums.parts[:, :2].sum(0)
        return weight.to(ctx.dtypes[0]), bias.to(ctx.dtypes[1]), None


class _NormUse(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        residual: Tensor,
        weight: Tensor,
        bias: Tensor,
        sums: Sums,
        use: int,
        seed: Tensor | None,
        numbers: tuple[float, float],
        trains: bool,
    ) -> Tensor:
        from model.fused.kernels import norm_forward

        columns = z.shape[-1]
        rows = z.numel() // columns
        drops = seed is not None
        residual, out = residual.contiguous(), torch.empty_like(z)
        kept = torch.empty_like(z, dtype=torch.int8) if drops else None
        mean, scale = z.new_empty(2, rows, dtype=torch.float32).unbind() if trains else (None, None)
        norm_forward[(rows,)](
            *(z, residual, out, kept, weight, bias, mean, scale, seed),
            *(columns, *numbers),
            DROPS=drops,
            TRAINS=trains,
            BLOCK=block_of(columns),
        )
        ctx.sums, ctx.use, ctx.p = sums, use, numbers[1]
        # What is in the place of z now is the sum that was normalized.
        ctx.save_for_backward(z, kept, weight, mean, scale)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from model.fused.kernels import norm_backward

        total, kept, weight, mean, scale = ctx.saved_tensors
        sums, columns = ctx.sums, total.shape[-1]
        rows = total.numel() // columns
        gradient, to_residual = gradient.contiguous(), torch.empty_like(total)
        to_z = to_residual if kept is None else torch.empty_like(total)
        begins = sums.begins(ctx.use)
        if begins:
            programs = min(-(-sums.most_rows // _ROWS_OF_A_PROGRAM), _MOST_PROGRAMS)
            sums.parts = mean.new_empty(programs, 3, columns)
        norm_backward[(sums.parts.shape[0],)](
            *(gradient, total, kept, weight, mean, scale, to_residual, to_z, sums.parts),
            *(rows, int(begins), columns, ctx.p),
            DROPS=kept is not None,
            BLOCK=block_of(columns),
        )
        return to_z, to_residual, *[None] * 7


class FusedGelu:
    """GELU, for all its uses in one forward pass; its sums are the gradient of a bias before it.

    Args:
        approximate: as torch.nn.GELU has it.
    """

    def __init__(self, approximate: str) -> None:
        self.sums, self._approximate = Sums(), approximate
        self._uses = 0

    def __call__(self, inputs: Tensor) -> Tensor:
        self._uses += 1
        self.sums.most_rows = max(self.sums.most_rows, inputs.numel() // inputs.shape[-1])
        return _GeluUse.apply(inputs, self.sums, self._uses, self._approximate)


class _GeluUse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, sums: Sums, use: int, approximate: str) -> Tensor:
        ctx.sums, ctx.use, ctx.approximate = sums, use, approximate
        ctx.save_for_backward(inputs)
        return F.gelu(inputs, approximate=approximate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        from model.fused.kernels import gelu_backward

        (inputs,) = ctx.saved_tensors
        sums, columns = ctx.sums, inputs.shape[-1]
        rows = inputs.numel() // columns
        gradient, to_inputs = gradient.contiguous(), torch.empty_like(inputs)
        begins = sums.begins(ctx.use)
        if begins:
            programs = min(-(-sums.most_rows // _GELU_ROWS), _GELU_PROGRAMS)
            sums.parts = inputs.new_empty(programs, 1, columns, dtype=torch.float32)
        gelu_backward[(-(-columns // _GELU_COLUMNS), sums.parts.shape[0])](
            *(gradient, inputs, to_inputs, sums.parts, rows, int(begins), columns),
            TANH=ctx.approximate == "tanh",
            ROWS=_GELU_ROWS,
            BLOCK=_GELU_COLUMNS,
        )
        return to_inputs, None, None, None
