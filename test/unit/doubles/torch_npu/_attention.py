"""``F.scaled_dot_product_attention`` on an NPU: npu_fusion_attention, or torch's own where there is none.

The shapes of a mask are those that torch_npu's npu_fusion_attention documents: [B, N, S, T], [B, 1, S, T],
[1, 1, S, T] or [S, T] for S tokens that ask and T that answer. torch_npu before its 26.1 line hands a mask
on as it comes; later ones expand it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from torch_npu import _chip

_libraries: list[torch.library.Library] = []


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if attn_mask is not None and _chip.has(_chip.FUSED_ATTENTION):
        _check_mask(tuple(attn_mask.shape), query, key)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        hidden = torch.zeros_like(attn_mask, dtype=query.dtype)
        attn_mask = hidden.masked_fill(attn_mask.logical_not(), -torch.inf)
    return torch.ops.aten._scaled_dot_product_attention_math(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale
    )[0]


def _check_mask(shape: tuple[int, ...], query: Tensor, key: Tensor) -> None:
    batch, heads, tokens, _ = query.shape
    ends = (tokens, key.shape[-2])
    taken = (ends, (1, 1, *ends), (batch, 1, *ends), (batch, heads, *ends))
    if _chip.is_planted("mask") or shape not in taken:
        raise RuntimeError(
            f"npu_fusion_attention: atten_mask has the shape {list(shape)}, and must be one of "
            f"[B, N, S, T], [B, 1, S, T], [1, 1, S, T], [S, T] with S, T = {ends}"
        )


def register() -> None:
    """Register attention for the device, once in a process."""
    library = torch.library.Library("aten", "IMPL")
    library.impl("scaled_dot_product_attention", _attend, "AutogradPrivateUse1")
    _libraries.append(library)
