"""The floating-point operations that a model needs, and no more than that.

The convention is that of model FLOPs utilization (Chowdhery et al. 2022, PaLM, arXiv:2204.02311, appendix
B): a multiply-add counts 2; the backward pass counts twice the forward; what is recomputed counts nothing,
and neither does what is no matrix product (lookups, softmax, LayerNorm, activations, the optimizer). In an
example of S tokens, with hidden size H, intermediate size I, embedding size E, each token costs::

    embedding mapping     2 · E · H
    each layer            2 · (4 · H² + 2 · H · I)  for query, key, value, output and the feed-forward
                          + 4 · S · H               for the scores and the weighted sum of the values
    once an example       2 · H² + 2 · H · classes  for the pooler and the head

Padding is not counted: it is no work that a model needs.
"""

from __future__ import annotations

import numpy as np

from model.configuration_albert import AlbertConfig

TRAINING = 3  # A training step is this multiple of the forward pass.


def model_flops(config: AlbertConfig, lengths: np.ndarray) -> float:
    """Return the operations of a forward pass over examples of these lengths, as published."""
    layers = config.num_hidden_layers * config.inner_group_num
    return _outside_layers(config, lengths) + layers * _layer(config, lengths)


def needed_flops(config: AlbertConfig, lengths: np.ndarray) -> float:
    """Return the same without what nobody reads: the last layer's outputs other than the first token's.

    There, all tokens have keys and values, 4 · H² each, and one token an example has all else: its maps,
    and 4 · S · H for its scores and its weighted sum.
    """
    hidden = config.hidden_size
    layers = config.num_hidden_layers * config.inner_group_num
    keys_values = 4 * hidden**2
    last = (keys_values + 4 * hidden) * lengths.sum()
    last += (_maps(config) - keys_values) * len(lengths)
    return float(_outside_layers(config, lengths) + (layers - 1) * _layer(config, lengths) + last)


def _outside_layers(config: AlbertConfig, lengths: np.ndarray) -> float:
    mapping = 2 * config.embedding_size * config.hidden_size
    head = 2 * config.hidden_size * (config.hidden_size + config.num_labels)
    return float(mapping * lengths.sum() + head * len(lengths))


def _layer(config: AlbertConfig, lengths: np.ndarray) -> float:
    return float(_maps(config) * lengths.sum() + 4 * config.hidden_size * (lengths**2).sum())


def _maps(config: AlbertConfig) -> int:
    """Return the operations of a layer's linear maps on one token."""
    hidden, inner = config.hidden_size, config.intermediate_size
    return 2 * (4 * hidden**2 + 2 * hidden * inner)
