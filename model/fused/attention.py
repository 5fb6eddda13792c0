"""Attention between the joint product of query, key and value and the product that follows it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.fused.parts import block_of
from model.sums import Sums

# Longer sequences go to torch's attention, which is as fast from here on (docs/benchmarks.md).
_MOST_BYTES = 128  # of a column of keys
_MOST_SIZE = 128
_LEAST_BLOCK = 16  # The units for products take no smaller ones.
_MOST_PROGRAMS = 64


def most_keys(dtype: torch.dtype) -> int:
    """Return how many tokens a sequence has at most that one program holds."""
    return _MOST_BYTES // dtype.itemsize


class FusedAttention:
    """Attention with all heads, for all its uses in one forward pass.

    Its sums are the gradient of the bias of the product before it: [programs, 1, 3 H].

    Args:
        heads: how many.
        p: the share of the weights that dropout leaves out.
    """

    def __init__(self, heads: int, p: float) -> None:
        self.sums, self.heads, self.p = Sums(), heads, p
        self._uses = 0

    def takes(self, states: Tensor) -> bool:
        """Return whether a program can hold all numbers of a sequence, [B, S, 3 H], that a head has."""
        _, keys, width = states.shape
        return keys <= most_keys(states.dtype) and width // 3 // self.heads <= _MOST_SIZE

    def __call__(
        self, states: Tensor, mask: Tensor | None, queries: int, seed: Tensor | None
    ) -> Tensor:
        """Return [B, queries, H].

        Args:
            states: [B, S, 3 H], query, key and value.
            mask: [B, S] bool, True where there is a token; None where there is one everywhere.
            queries: how many of the tokens ask, the first ones.
            seed: int64, of the random numbers; None where there is no dropout.
        """
        self._uses += 1
        p = self.p if seed is not None else 0.0
        return _Use.apply(states, mask, self.sums, self._uses, queries, self.heads, p, seed)


class _Use(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        mask: Tensor | None,
        sums: Sums,
        use: int,
        queries: int,
        heads: int,
        p: float,
        seed: Tensor | None,
    ) -> Tensor:
        from model.fused.attention_kernels import attention_forward

        batch, keys, width = states.shape
        size = width // 3 // heads
        drops = seed is not None
        out = states.new_empty(batch, queries, width // 3)
        log_sums = states.new_empty(batch, heads, queries, dtype=torch.float32)
        is_masked = int(mask is not None)
        mask = (
            mask.contiguous()
            if is_masked
            else torch.empty(1, dtype=torch.bool, device=states.device)
        )
        ctx.numbers = (queries, keys, is_masked, heads, size, size**-0.5, p)
        ctx.choices = {"DROPS": drops, **_blocks(keys, size)}
        attention_forward[(heads, batch)](
            *(states, mask, out, log_sums, seed), *ctx.numbers, **ctx.choices
        )
        ctx.sums, ctx.use, ctx.heads = sums, use, heads
        ctx.save_for_backward(states, mask, log_sums, seed)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from model.fused.attention_kernels import attention_backward

        states, mask, log_sums, seed = ctx.saved_tensors
        batch, _, width = states.shape
        sums, heads = ctx.sums, ctx.heads
        to_states = torch.empty_like(states)
        begins = sums.begins(ctx.use)
        if begins:
            programs = min(batch, _MOST_PROGRAMS)
            sums.parts = states.new_empty(programs, 1, width, dtype=torch.float32)
        attention_backward[(heads, sums.parts.shape[0])](
            *(gradient.contiguous(), states, mask, log_sums, to_states, sums.parts, seed),
            *(batch, int(begins), *ctx.numbers),
            **ctx.choices,
        )
        return to_states, *[None] * 7


def _blocks(keys: int, size: int) -> dict[str, int]:
    """Return how much a program takes at once, and with how many warps."""
    of_keys = max(_LEAST_BLOCK, block_of(keys))
    return {
        "KEYS": of_keys,
        "SIZE": max(_LEAST_BLOCK, block_of(size)),
        "num_warps": 1 if of_keys == _LEAST_BLOCK else 4,
    }


def torch_attention(
    states: Tensor, mask: Tensor | None, heads: int, p: float, queries: int
) -> Tensor:
    """Return what :class:`FusedAttention` does, by torch's attention, which takes any length."""
    query, key, value = (
        part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in states.chunk(3, -1)
    )
    mask = None if mask is None else mask[:, None, None, :]
    context = F.scaled_dot_product_attention(
        query[:, :, :queries], key, value, attn_mask=mask, dropout_p=p
    )
    return context.transpose(1, 2).flatten(2)
