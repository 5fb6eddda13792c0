"""An ALBERT layer whose steps between the matrix products are kernels of its own (model/fused_kernels.py).

It computes what model/modeling_albert.py's layer does, in the type of its matrix products throughout: in
half precision its LayerNorms read and write that, and sum in fp32. Gradients of the weights that all
layers share are added up by the products and kernels themselves. As in model/shared_linear.py each use
must depend on the one before, and there are no second derivatives.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_MOST_PROGRAMS = 1024
_ROWS_OF_A_PROGRAM = 6
_GELU_ROWS, _GELU_COLUMNS, _GELU_PROGRAMS = 16, 128, 64


class Sums:
    """Gradients of shared weights, added up from the last use to the first.

    Attributes:
        weight: [out, in], or None before the first use that the backward pass meets.
        parts: [programs, k, n] fp32, the parts of sums over rows.
    """

    def __init__(self) -> None:
        self.weight: Tensor | None = None
        self.parts: Tensor | None = None
        self._reached = 0

    def begins(self, use: int) -> bool:
        """Return whether a use is the first that a backward pass meets; the sums are dropped then.

        A pass goes from later uses to earlier ones. So it also drops what a pass left that failed.
        """
        begins = self._reached == 0 or use >= self._reached
        self._reached = use
        if begins:
            self.weight = self.parts = None
        return begins

    def take(self) -> None:
        """Have the next use begin anew."""
        self._reached = 0


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

    def __call__(self, inputs: Tensor) -> Tensor:
        """Map [B, S, in] to [B, S, out]."""
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
    ) -> Tensor:
        ctx.linear, ctx.use = linear, use
        ctx.save_for_backward(inputs, weight)
        return F.linear(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        inputs, weight = ctx.saved_tensors
        ctx.linear.add(ctx.use, inputs.flatten(0, -2), gradient.flatten(0, -2))
        return gradient @ weight, None, None, None, None


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
        from model.fused_kernels import norm_forward

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
            BLOCK=_block(columns),
        )
        ctx.norm, ctx.use, norm.most_rows = norm, use, max(norm.most_rows, rows)
        # What is in the place of z now is the sum that was normalized.
        ctx.save_for_backward(z, kept, weight, mean, scale)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from model.fused_kernels import norm_backward

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
            *(rows, columns, norm.p),
            DROPS=kept is not None,
            FIRST=begins,
            BLOCK=_block(columns),
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
        from model.fused_kernels import gelu_backward

        (inputs,) = ctx.saved_tensors
        sums, columns = ctx.gelu.sums, inputs.shape[-1]
        rows = inputs.numel() // columns
        gradient, to_inputs = gradient.contiguous(), torch.empty_like(inputs)
        begins = sums.begins(ctx.use)
        if begins:
            programs = min(-(-ctx.gelu.most_rows // _GELU_ROWS), _GELU_PROGRAMS)
            sums.parts = inputs.new_empty(programs, 1, columns, dtype=torch.float32)
        gelu_backward[(-(-columns // _GELU_COLUMNS), sums.parts.shape[0])](
            *(gradient, inputs, to_inputs, sums.parts, rows, columns),
            TANH=ctx.gelu.approximate == "tanh",
            FIRST=begins,
            ROWS=_GELU_ROWS,
            BLOCK=_GELU_COLUMNS,
        )
        return to_inputs, None, None


def _block(columns: int) -> int:
    """Return the power of two that holds a row."""
    return 1 << (columns - 1).bit_length()


class FusedLayer:
    """A layer's parameters for one forward pass through all layers that share them.

    Args:
        layer: a :class:`model.modeling_albert.AlbertLayer`, which says what it computes.
        dtype: of the products, and of the hidden states that go in and come out.
    """

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        attention = layer.attention
        self._num_heads = attention.num_heads
        self._attention_dropout = attention.attention_dropout if layer.training else 0.0
        self._query_key_value = FusedLinear(*attention.joint_parameters(), dtype)
        self._dense = _linear(attention.dense, dtype)
        self._ffn, self._ffn_output = _linear(layer.ffn, dtype), _linear(layer.ffn_output, dtype)
        drops = (attention.output_dropout.p, layer.dropout.p) if layer.training else (0.0, 0.0)
        self._attention_norm = FusedNorm(attention.LayerNorm, drops[0])
        self._output_norm = FusedNorm(layer.full_layer_layer_norm, drops[1])
        self._activation = layer.activation
        if isinstance(layer.activation, nn.GELU):
            self._activation = FusedGelu(layer.activation.approximate)
            self._ffn.leave_bias_to(self._activation.sums, 0)
        self._dense.leave_bias_to(self._attention_norm.sums, 2)
        self._ffn_output.leave_bias_to(self._output_norm.sums, 2)

    def __call__(
        self, hidden: Tensor, mask: Tensor | None, first_only: bool, seeds: Tensor | None
    ) -> Tensor:
        """Return the next hidden states, [B, S, H] or with ``first_only`` [B, 1, H].

        Args:
            seeds: [2] int64; None without dropout.
        """
        query, key, value = self._query_key_value(hidden).chunk(3, -1)
        if first_only:  # The first token alone asks; it still sees all of them.
            query, hidden = query[:, :1], hidden[:, :1]
            mask = None if mask is None else mask[:, :, :1]
        context = F.scaled_dot_product_attention(
            *(
                part.unflatten(-1, (self._num_heads, -1)).transpose(1, 2)
                for part in (query, key, value)
            ),
            attn_mask=mask,
            dropout_p=self._attention_dropout,
        )
        context = context.transpose(1, 2).flatten(2)
        hidden = self._norm(self._attention_norm, self._dense(context), hidden, seeds, 0)
        output = self._ffn_output(self._activation(self._ffn(hidden)))
        return self._norm(self._output_norm, output, hidden, seeds, 1)

    @staticmethod
    def _norm(
        norm: FusedNorm, output: Tensor, hidden: Tensor, seeds: Tensor | None, index: int
    ) -> Tensor:
        return norm(output, hidden, seeds[index] if norm.p and seeds is not None else None)


def _linear(linear: nn.Linear, dtype: torch.dtype) -> FusedLinear:
    return FusedLinear(linear.weight, linear.bias, dtype)


def try_kernels(device: torch.device) -> None:
    """Compile and run a kernel.

    Raises:
        Exception: whatever stands in the way of that.
    """
    norm = FusedNorm(nn.LayerNorm(8, device=device), 0.0)
    norm(torch.randn(1, 1, 8, device=device), torch.zeros(1, 1, 8, device=device), None)
