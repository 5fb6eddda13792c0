"""The network of the checks that run in a process of their own on the simulated NPU."""

import torch

from model.configuration_albert import AlbertConfig
from model.modeling_albert import AlbertForSequenceClassification


def small_albert():
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=50,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout_prob=0.0,
    )
    return AlbertForSequenceClassification(config)
