"""Attention between the joint product of query, key and value and the product that follows it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.fused.parts import block_of
from model.fused.sums import Sums

# Longer sequences go to torch's attention.
_MOST_KEYS = 128
_LEAST_BLOCK = 16  # The units for products take no smaller ones.
_QUERIES = 64
_MOST_PROGRAMS = 64


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

    @staticmethod
    def takes(keys: int) -> bool:
        """Return whether it is made for sequences of this length."""
        return keys <= _MOST_KEYS

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
        return _Use.apply(states, mask, self, queries, seed, self._uses)


class _Use(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        mask: Tensor | None,
        attention: FusedAttention,
        queries: int,
        seed: Tensor | None,
        use: int,
    ) -> Tensor:
        from model.fused.attention_kernels import attention_forward

        batch, keys, width = states.shape
        heads = attention.heads
        size = width // 3 // heads
        trains, drops = states.requires_grad, seed is not None
        out = states.new_empty(batch, queries, width // 3)
        log_sums = None
        if trains:
            log_sums = states.new_empty(batch, heads, queries, dtype=torch.float32)
        blocks = _blocks(keys, size)
        ctx.numbers = (queries, keys, heads, size, size**-0.5, attention.p if drops else 0.0)
        ctx.choices = {"MASKED": mask is not None, "DROPS": drops, **blocks}
        attention_forward[(heads, batch, -(-queries // blocks["QUERIES"]))](
            *(states, mask, out, log_sums, seed),
            *ctx.numbers,
            TRAINS=trains,
            **ctx.choices,
            num_warps=_warps(blocks),
        )
        ctx.attention, ctx.use = attention, use
        ctx.save_for_backward(states, mask, log_sums, seed)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from model.fused.attention_kernels import attention_backward

        states, mask, log_sums, seed = ctx.saved_tensors
        batch, _, width = states.shape
        sums, heads = ctx.attention.sums, ctx.attention.heads
        to_states = torch.empty_like(states)
        begins = sums.begins(ctx.use)
        if begins:
            programs = min(batch, _MOST_PROGRAMS)
            sums.parts = states.new_empty(programs, 1, width, dtype=torch.float32)
        attention_backward[(heads, sums.parts.shape[0])](
            *(gradient.contiguous(), states, mask, log_sums, to_states, sums.parts, seed),
            *(batch, *ctx.numbers),
            FIRST=begins,
            **ctx.choices,
            num_warps=_warps(ctx.choices),
        )
        return to_states, None, None, None, None, None


def _blocks(keys: int, size: int) -> dict[str, int]:
    """Return how much a program takes at once."""
    of_keys = max(_LEAST_BLOCK, block_of(keys))
    return {
        "KEYS": of_keys,
        "QUERIES": min(_QUERIES, of_keys),
        "SIZE": max(_LEAST_BLOCK, block_of(size)),
    }


def _warps(blocks: dict[str, int]) -> int:
    return 1 if blocks["KEYS"] <= 16 else 4 if blocks["KEYS"] <= 64 else 8


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
