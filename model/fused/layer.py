"""The fused layer: its parts in their order."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from model.fused.attention import FusedAttention, most_keys, torch_attention
from model.fused.parts import FusedGelu, FusedLinear, FusedNorm, product_has_gelu

# Of the size of all numbers together. What bf16 rounds comes to a hundredth, a kernel that is wrong to
# about all of it.
_MOST_APART = 0.05


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
        self._product_has_gelu = False
        # The gradient of a bias is a sum over rows, which what follows its product goes through anyway.
        if isinstance(layer.activation, nn.GELU):
            approximate = layer.activation.approximate
            self._activation = FusedGelu(approximate)
            self._product_has_gelu = not torch.is_grad_enabled() and product_has_gelu(
                approximate, dtype, layer.ffn.weight.device
            )
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
        if self._product_has_gelu:
            inner = self._ffn.with_gelu(hidden)
        else:
            inner, hidden = self._ffn(hidden)
            inner = self._activation(inner)
        output, _ = self._ffn_output(inner)
        norm = self._output_norm
        return norm(output, hidden, _seed(seeds, 2, norm.p))


def _seed(seeds: Tensor | None, index: int, p: float) -> Tensor | None:
    return seeds[index] if p and seeds is not None else None


def _linear(linear: nn.Linear, dtype: torch.dtype) -> FusedLinear:
    return FusedLinear(linear.weight, linear.bias, dtype)


def try_kernels(layer: nn.Module, dtype: torch.dtype) -> None:
    """Compile and run what a training with these layers runs, and what scores them in fp32 afterwards.

    What comes out is held to the plain layer in fp32, for a compiler that is wrong on some device says
    nothing. The weights are random, since trained ones may be sensitive to rounding. With dropout no two
    trainings are alike, and so what one computes is compared where there is none.
    The two sequences are as long as the attention's kernels take: shorter ones need less of the GPU.

    Args:
        layer: a :class:`model.modeling_albert.AlbertLayer`; it stays as it is.

    Raises:
        ArithmeticError: the two differ by more than rounding.
        Exception: whatever stands in the way of the kernels.
    """
    layer = copy.deepcopy(layer).train()
    size, device = layer.ffn.in_features, layer.ffn.weight.device
    generator = torch.Generator(device).manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5, generator=generator)
    plain = copy.deepcopy(layer).float()
    shape = 2, most_keys(dtype), size
    hidden, gradient = (torch.randn(shape, generator=generator, device=device) for _ in range(2))
    seeds = torch.ones(3, dtype=torch.int64, device=device)

    given = hidden.to(dtype).requires_grad_()
    output = FusedLayer(layer, dtype)(given, None, False, seeds)
    output.backward(gradient.to(dtype))
    if not any(part.p for part in layer.modules() if isinstance(part, nn.Dropout)) and (
        not layer.attention.attention_dropout
    ):
        wanted = given.detach().float().requires_grad_()
        plain_output = plain(wanted, None, plain.shared_projections(), False)
        plain_output.backward(gradient)
        _check_near(output, plain_output, f"the outputs in {dtype}")
        _check_near(given.grad, wanted.grad, f"the gradients of the inputs in {dtype}")
        for name, are_matrices in (("weights", True), ("biases", False)):
            ours, theirs = (_gradients(part, are_matrices) for part in (layer, plain))
            _check_near(ours, theirs, f"the gradients of the {name} in {dtype}")

    hidden = hidden[:, : most_keys(torch.float32)]
    mask = torch.ones(hidden.shape[:2], dtype=torch.bool, device=device)
    mask[1, hidden.shape[1] // 2 :] = False
    plain.eval()
    with torch.no_grad():
        scored = FusedLayer(layer.eval(), torch.float32)(hidden, mask, False, None)
        wanted = plain(hidden, mask[:, None, None], plain.shared_projections(), False)
    _check_near(scored, wanted, "the outputs of an evaluation")


def _gradients(layer: nn.Module, are_matrices: bool) -> Tensor:
    """Return in one row the gradients of all weights, or of what is no matrix: biases and LayerNorms."""
    parameters = (p for p in layer.parameters() if (p.ndim > 1) == are_matrices)
    return torch.cat([parameter.grad.flatten().float() for parameter in parameters])


def _check_near(found: Tensor, wanted: Tensor, name: str) -> None:
    """See that ``found`` is ``wanted`` but for rounding.

    Raises:
        ArithmeticError: it is not.
    """
    apart = ((found.float() - wanted).norm() / wanted.norm()).item()
    if not apart <= _MOST_APART:
        raise ArithmeticError(
            f"the kernels compute wrong numbers here: {name} are {apart:.1%} of their size away from the "
            "plain layer's"
        )
