"""ALBERT and its sequence classifier (Lan et al. 2020, arXiv:1909.11942).

Parameter names are Hugging Face's ``AlbertForSequenceClassification``, so that a saved state loads
there and the other way round. Nothing outside model/ but torch is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.classifier_loss import classifier_loss
from model.configuration_albert import AlbertConfig
from model.fused.layer import FusedLayer
from model.shared_linear import SharedLinear
from model.torch_releases import autocast_dtype, is_compiling, register_pytree

ACTIVATIONS = {
    "gelu": nn.GELU,
    "gelu_new": lambda: nn.GELU(approximate="tanh"),
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
}


class AlbertEmbeddings(nn.Module):
    """Sum of word, position and token-type embeddings, normalized: [B, S] ids → [B, S, E]."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        size = config.embedding_size
        self.word_embeddings = nn.Embedding(
            config.vocab_size, size, padding_idx=config.pad_token_id
        )
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        # The first S rows are positions 0 … S-1; they broadcast over the batch, whatever its size.
        embeddings = (
            self.word_embeddings(input_ids)
            + self.position_embeddings.weight[: input_ids.shape[1]]
            + (
                self.token_type_embeddings.weight[0]
                if token_type_ids is None
                else self.token_type_embeddings(token_type_ids)
            )
        )
        return self.dropout(self.LayerNorm(embeddings))


class SharedProjections(NamedTuple):
    """A layer's linear maps: query, key and value in one; attention's output; the feed-forward's two."""

    query_key_value: SharedLinear
    dense: SharedLinear
    ffn: SharedLinear
    ffn_output: SharedLinear


class AlbertAttention(nn.Module):
    """Multi-head self-attention with its residual connection and LayerNorm: [B, S, H] → [B, S, H].

    Attributes:
        most_keys_as_products: compute it in half precision as two plain products for sequences of at most
            so many tokens, on a device whose own attention has a slow backward pass there; 0 = for none.
            The products keep the weights of all pairs of tokens for that pass.
        as_products_in_fp32: compute it so in fp32, whatever the length: what is exported does.
    """

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.attention_dropout = config.attention_probs_dropout_prob
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.dense = nn.Linear(size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.output_dropout = nn.Dropout(config.hidden_dropout_prob)
        self.most_keys_as_products = 0
        self.as_products_in_fp32 = False

    def joint_parameters(self) -> tuple[Tensor, Tensor]:
        """Return weight [3 H, H] and bias [3 H] of query, key and value as one linear map."""
        parts = (self.query, self.key, self.value)
        weight, bias = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("weight", "bias")
        )
        return weight, bias

    def joint_projection(self) -> SharedLinear:
        """Return query, key and value as one linear map, [..., H] → [..., 3 H]."""
        weight, bias = self.joint_parameters()
        if (dtype := autocast_dtype(weight.device.type)) is not None:
            # Autocast keeps the casts of parameters only; this one it would cast in every layer.
            weight, bias = weight.to(dtype), bias.to(dtype)
        return SharedLinear(weight, bias)

    def forward(
        self, hidden: Tensor, mask: Tensor | None, projections: SharedProjections, first_only: bool
    ) -> Tensor:
        query, key, value = projections.query_key_value(hidden).chunk(3, -1)
        if first_only:  # The first token alone asks; it still sees all of them.
            query, hidden = query[:, :1], hidden[:, :1]
            mask = None if mask is None else mask[:, :, :1]
        attend = F.scaled_dot_product_attention
        is_short = key.shape[1] <= self.most_keys_as_products
        if self.as_products_in_fp32 if query.dtype == torch.float32 else is_short:
            attend = attention_as_products
        context = attend(
            *(self._split_heads(states) for states in (query, key, value)),
            attn_mask=mask,
            dropout_p=self.attention_dropout if self.training else 0.0,
        )
        context = context.transpose(1, 2).flatten(2)
        return self.LayerNorm(hidden + self.output_dropout(projections.dense(context)))

    def _split_heads(self, states: Tensor) -> Tensor:
        """Return [B, S, H] states as [B, heads, S, H / heads]."""
        return states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def attention_as_products(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float
) -> Tensor:
    """Return what ``F.scaled_dot_product_attention`` does: [B, heads, Q, D] of keys [B, heads, S, D].

    Args:
        attn_mask: bool, True where a key is seen; broadcast to [B, heads, Q, S].
    """
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, torch.finfo(scores.dtype).min)
    weights = F.dropout(scores.softmax(-1, dtype=torch.float32), dropout_p)
    return weights.to(value.dtype) @ value


class AlbertLayer(nn.Module):
    """One post-LN transformer layer: attention, then a two-layer feed-forward network.

    Its linear layers hold the weights under their saved names. The products are those of
    :meth:`shared_projections`, so forward hooks on these layers do not run.
    """

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.attention = AlbertAttention(config)
        self.ffn = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACTIVATIONS[config.hidden_act]()
        self.ffn_output = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.full_layer_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def shared_projections(self) -> SharedProjections:
        """Return the layer's linear maps for one forward pass through all layers that share them."""
        attention = self.attention
        linears = (attention.dense, self.ffn, self.ffn_output)
        others = (SharedLinear(linear.weight, linear.bias) for linear in linears)
        return SharedProjections(attention.joint_projection(), *others)

    def forward(
        self, hidden: Tensor, mask: Tensor | None, projections: SharedProjections, first_only: bool
    ) -> Tensor:
        hidden = self.attention(hidden, mask, projections, first_only)
        output = self.dropout(projections.ffn_output(self.activation(projections.ffn(hidden))))
        return self.full_layer_layer_norm(hidden + output)


class AlbertLayerGroup(nn.Module):
    """The layers that are applied one after the other each time the group's turn comes."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.albert_layers = nn.ModuleList(
            AlbertLayer(config) for _ in range(config.inner_group_num)
        )


class AlbertTransformer(nn.Module):
    """``num_hidden_layers`` passes through ``num_hidden_groups`` sets of shared weights.

    With ``gradient_checkpointing``, training keeps only what enters each layer and computes the rest
    again in the backward pass (Chen et al. 2016, arXiv:1604.06174): a third more work, far less memory.
    With ``fused``, layers are :class:`model.fused.layer.FusedLayer`'s, for devices that Triton knows.

    Args:
        maps_embeddings: whether a linear map leads from the embeddings to the first layer.
    """

    def __init__(self, config: AlbertConfig, maps_embeddings: bool = True) -> None:
        super().__init__()
        self.embedding_hidden_mapping_in = (
            nn.Linear(config.embedding_size, config.hidden_size)
            if maps_embeddings
            else nn.Identity()
        )
        self.albert_layer_groups = nn.ModuleList(
            AlbertLayerGroup(config) for _ in range(config.num_hidden_groups)
        )
        layers, groups = config.num_hidden_layers, config.num_hidden_groups
        self.group_of_layer = [int(layer / (layers / groups)) for layer in range(layers)]
        self.widest = config.intermediate_size
        self.gradient_checkpointing = False
        self.fused = False

    def forward(self, embeddings: Tensor, mask: Tensor | None, first_only: bool = False) -> Tensor:
        """Return the last hidden states: [B, S, H], or of the first token alone [B, 1, H]."""
        hidden = self.embedding_hidden_mapping_in(embeddings)
        if self.fused and self._can_fuse(hidden):
            return self._fused_layers(hidden, mask, first_only)
        groups = [
            [(layer, layer.shared_projections()) for layer in group.albert_layers]
            for group in self.albert_layer_groups
        ]
        passes = [layer for group in self.group_of_layer for layer in groups[group]]
        last = len(passes) - 1
        for index, (layer, projections) in enumerate(passes):
            arguments = (hidden, mask, projections, first_only and index == last)
            if self.gradient_checkpointing and self.training:
                hidden = checkpoint(layer, *arguments, use_reentrant=False)
            else:
                hidden = layer(*arguments)
        return hidden

    def _can_fuse(self, hidden: Tensor) -> bool:
        # The kernels count their numbers in 32 bits.
        widest = max(self.widest, 3 * hidden.shape[-1])
        fits = hidden.shape[0] * hidden.shape[1] * widest < 2**31
        return fits and not self.gradient_checkpointing and not is_compiling()

    def _fused_layers(self, hidden: Tensor, mask: Tensor | None, first_only: bool) -> Tensor:
        dtype = autocast_dtype(hidden.device.type) or hidden.dtype
        mask = None if mask is None else mask[:, 0, 0]
        hidden = hidden.to(dtype)
        groups = [
            [FusedLayer(layer, dtype) for layer in group.albert_layers]
            for group in self.albert_layer_groups
        ]
        passes = [layer for group in self.group_of_layer for layer in groups[group]]
        seeds = None
        if self.training:  # They follow from the generator that other dropout draws from.
            seeds = torch.empty(len(passes), 3, dtype=torch.int64, device=hidden.device).random_()
        for index, layer in enumerate(passes):
            of_layer = None if seeds is None else seeds[index]
            hidden = layer(hidden, mask, first_only and index == len(passes) - 1, of_layer)
        return hidden


class AlbertModel(nn.Module):
    """ALBERT's encoder with the pooler: token ids → all hidden states and one vector a sequence.

    Attributes:
        mask_every_query: give attention a mask [B, 1, S, S], with a row for each token that asks, in place
            of one row for all, [B, 1, 1, S]: the same, for a device that broadcasts no mask.
    """

    def __init__(self, config: AlbertConfig, maps_embeddings: bool = True) -> None:
        super().__init__()
        self.embeddings = AlbertEmbeddings(config)
        self.encoder = AlbertTransformer(config, maps_embeddings)
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size)
        self.mask_every_query = False

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        first_only: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            input_ids: [B, S] integer token ids.
            attention_mask: [B, S], non-zero (or True) where there is a token, 0 where there is
                padding; None when nothing is padded.
            token_type_ids: [B, S] integers, 0 for the first text and 1 for the second; None = all 0.
            first_only: compute in the last layer the first token alone. Nothing else reaches the
                pooler.

        Returns:
            hidden states [B, S, H], or [B, 1, H] with ``first_only``; and ``tanh(linear(first token))``
            [B, H].
        """
        mask = None if attention_mask is None else attention_mask[:, None, None, :].bool()
        if mask is not None and self.mask_every_query:
            mask = mask.expand(-1, -1, mask.shape[-1], -1).contiguous()
        hidden = self.encoder(self.embeddings(input_ids, token_type_ids), mask, first_only)
        return hidden, torch.tanh(self.pooler(hidden[:, 0]))


@dataclass(frozen=True)
class ClassifierOutput:
    """``loss`` is a scalar, or None where no labels were given; ``logits`` is [B, num_labels]."""

    loss: Tensor | None
    logits: Tensor


# Exporters and torch.func look for tensors in what a network returns, and know no other classes.
register_pytree(ClassifierOutput)


class AlbertForSequenceClassification(nn.Module):
    """ALBERT with a linear head over the pooled vector, for a class, labels or a number a sequence.

    The head is ``classifier(dropout(pooled + shift))``; ``shift`` is 0.1 in albert_pytorch and 0 in
    Hugging Face (``AlbertConfig.classifier_input_shift``).

    Args:
        maps_embeddings: whether a linear map leads from the embeddings to the first layer. Hugging Face
            always has one, albert_pytorch and Google only where ``embedding_size`` is not ``hidden_size``.

    Attributes:
        label_smoothing: share of each target that goes to all classes alike (Szegedy et al. 2016,
            arXiv:1512.00567). Neither this nor the classes' weights are saved.

    Raises:
        ValueError: it is to have no map, and the two sizes differ.
    """

    def __init__(self, config: AlbertConfig, maps_embeddings: bool = True) -> None:
        super().__init__()
        if not maps_embeddings and config.embedding_size != config.hidden_size:
            raise ValueError(
                f"embedding_size {config.embedding_size} needs a map to hidden_size {config.hidden_size}"
            )
        self.config = config
        self.albert = AlbertModel(config, maps_embeddings)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.label_smoothing = 0.0
        self.register_buffer("class_weights", None, persistent=False)
        self.apply(self._init_weights)

    @property
    def is_untrained(self) -> bool:
        """Whether each LayerNorm is as it was made, which a single step of training changes."""
        norms = [module for module in self.modules() if isinstance(module, nn.LayerNorm)]
        return all(bool((norm.weight == 1).all() and (norm.bias == 0).all()) for norm in norms)

    @property
    def maps_embeddings(self) -> bool:
        """Whether a linear map leads from the embeddings to the first layer."""
        return isinstance(self.albert.encoder.embedding_hidden_mapping_in, nn.Linear)

    def weigh_classes(self, weights: Sequence[float]) -> None:
        """Multiply the loss of an example with the weight of its class, of which there are [C].

        The mean stays one over the examples, not over their weights: which of them share a batch changes
        nothing.
        """
        like = self.classifier.weight
        self.class_weights = torch.tensor(weights, dtype=torch.float32, device=like.device)

    def _init_weights(self, module: nn.Module) -> None:
        """Draw weights from N(0, initializer_range); biases start at 0 and LayerNorms at 1."""
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> ClassifierOutput:
        """Score a batch; the first three arguments are :class:`AlbertModel`'s.

        Args:
            labels: [B] classes or numbers, or in a multi-label model [B, num_labels] of 0 and 1;
                :func:`model.classifier_loss.classifier_loss` says what their loss is. See also
                :meth:`weigh_classes` and ``label_smoothing``.
        """
        _, pooled = self.albert(input_ids, attention_mask, token_type_ids, first_only=True)
        logits = self.classifier(self.dropout(pooled + self.config.classifier_input_shift))
        if labels is None:
            return ClassifierOutput(None, logits)
        loss = classifier_loss(
            logits, labels, self.config.is_multi_label, self.label_smoothing, self.class_weights
        )
        return ClassifierOutput(loss, logits)
