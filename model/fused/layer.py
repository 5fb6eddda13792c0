"""The fused layer: its parts in their order."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from model.fused.attention import FusedAttention, most_keys, torch_attention
from model.fused.parts import FusedGelu, FusedLinear, FusedNorm


class FusedLayer:
    """A layer's parameters for one forward pass through all layers that share them.

    Args:
        layer: a :class:`model.modeling_albert.AlbertLayer`, which says what it computes.
        dtype: of the products, and of the hidden states that go in and come out.
    """

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        attention = layer.attention
        p = 0.0
        drops = (0.0, 0.0)
        if layer.training:
            p, drops = attention.attention_dropout, (attention.output_dropout.p, layer.dropout.p)
        self._query_key_value = FusedLinear(*attention.joint_parameters(), dtype)
        self._attention = FusedAttention(attention.num_heads, p)
        self._dense = _linear(attention.dense, dtype)
        self._attention_norm = FusedNorm(attention.LayerNorm, drops[0])
        self._ffn, self._ffn_output = _linear(layer.ffn, dtype), _linear(layer.ffn_output, dtype)
        self._output_norm = FusedNorm(layer.full_layer_layer_norm, drops[1])
        self._activation = layer.activation
        # The gradient of a bias is a sum over rows, which what follows its product goes through anyway.
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
            mask: [B, S] bool, or None.
            seeds: [3] int64; None without dropout.
        """
        attention, keys = self._attention, hidden.shape[1]
        queries = 1 if first_only else keys
        states, hidden = self._query_key_value(hidden)
        if attention.takes(states):
            self._query_key_value.leave_bias_to(attention.sums, 0)
            context = attention(states, mask, queries, _seed(seeds, 0, attention.p))
        else:
            context = torch_attention(states, mask, attention.heads, attention.p, queries)
        output, _ = self._dense(context)
        norm = self._attention_norm
        hidden = norm(output, hidden[:, :queries], _seed(seeds, 1, norm.p))
        inner, hidden = self._ffn(hidden)
        output, _ = self._ffn_output(self._activation(inner))
        norm = self._output_norm
        return norm(output, hidden, _seed(seeds, 2, norm.p))


def _seed(seeds: Tensor | None, index: int, p: float) -> Tensor | None:
    return seeds[index] if p and seeds is not None else None


def _linear(linear: nn.Linear, dtype: torch.dtype) -> FusedLinear:
    return FusedLinear(linear.weight, linear.bias, dtype)


def try_kernels(layer: nn.Module, dtype: torch.dtype) -> None:
    """Compile and run what a training with these layers runs, and what scores them in fp32 afterwards.

    The two sequences are as long as the attention's kernels take: shorter ones need less of the GPU.

    Args:
        layer: a :class:`model.modeling_albert.AlbertLayer`; it stays as it is.

    Raises:
        Exception: whatever stands in the way of that.
    """
    layer = copy.deepcopy(layer).train()
    size, device = layer.ffn.in_features, layer.ffn.weight.device
    keys = most_keys(dtype)
    hidden = torch.randn(2, keys, size, dtype=dtype, device=device, requires_grad=True)
    seeds = torch.ones(3, dtype=torch.int64, device=device)
    FusedLayer(layer, dtype)(hidden, None, False, seeds).sum().backward()
    layer.eval()
    with torch.no_grad():
        scored = hidden[:, : most_keys(torch.float32)].float()
        FusedLayer(layer, torch.float32)(scored, None, False, None)
