"""Write TensorFlow checkpoints as Google's ALBERT does, with what its network computes.

python google_albert.py cases.json

This is Google's network in TensorFlow 1's terms: the scopes below give the variables the names, and the
layout, that Google's code (albert/modeling.py) gives them. Nothing of this project is imported. Each case
has ``prefix`` (the checkpoint to write), ``config``, ``scope`` ("" or "module"), ``labels`` (None: a
pretrained model), and the inputs ``ids``, ``mask`` and ``types``, [B, S] each. The results go to
``<prefix>.npz``.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf


def variable(name, *shape, around=0.0):
    """Random, also where Google starts at 0 or 1: a forgotten or a swapped one shows."""
    return tf.get_variable(
        name, shape, initializer=tf.random_normal_initializer(around, 0.2), dtype=tf.float32
    )


def dense(x, size, name):
    with tf.variable_scope(name):
        return tf.matmul(x, variable("kernel", x.shape[-1], size)) + variable("bias", size)


def layer_norm(x, name="LayerNorm"):
    with tf.variable_scope(name):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        gamma, beta = variable("gamma", x.shape[-1], around=1.0), variable("beta", x.shape[-1])
        return (x - mean) / tf.sqrt(variance + 1e-12) * gamma + beta


def gelu(x):
    return 0.5 * x * (1.0 + tf.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def self_attention(x, adder, heads):
    batch, length, size = x.shape

    def project(name):
        split = tf.reshape(dense(x, size, name), [batch, length, heads, size // heads])
        return tf.transpose(split, [0, 2, 1, 3])

    query, key, value = (project(name) for name in ("query", "key", "value"))
    scores = tf.matmul(query, key, transpose_b=True) / math.sqrt(size // heads) + adder
    context = tf.matmul(tf.nn.softmax(scores), value)
    return tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [batch, length, size])


def layer(x, adder, config):
    size = config["hidden_size"]
    with tf.variable_scope("attention_1"):
        with tf.variable_scope("self"):
            context = self_attention(x, adder, config["num_attention_heads"])
        with tf.variable_scope("output"):
            attended = dense(context, size, "dense")
    x = layer_norm(x + attended)
    with tf.variable_scope("ffn_1"), tf.variable_scope("intermediate"):
        inner = gelu(dense(x, config["intermediate_size"], "dense"))
        with tf.variable_scope("output"):
            output = dense(inner, size, "dense")
    return layer_norm(x + output, "LayerNorm_1")


def albert(config, ids, mask, types):
    """Return the hidden states [B, S, H] and the pooled output [B, H]."""
    size = config["embedding_size"]
    with tf.variable_scope("bert"):
        with tf.variable_scope("embeddings"):
            x = tf.gather(variable("word_embeddings", config["vocab_size"], size), ids)
            x += tf.gather(
                variable("token_type_embeddings", config["type_vocab_size"], size), types
            )
            positions = variable("position_embeddings", config["max_position_embeddings"], size)
            x = layer_norm(x + positions[: x.shape[1]])
        adder = (1.0 - tf.cast(mask, tf.float32)[:, None, None, :]) * -10000.0
        with tf.variable_scope("encoder"):
            x = dense(x, config["hidden_size"], "embedding_hidden_mapping_in")
            layers, groups = config["num_hidden_layers"], config["num_hidden_groups"]
            for index in range(layers):
                scope = f"transformer/group_{int(index / layers * groups)}"
                for inner in range(config["inner_group_num"]):
                    with tf.variable_scope(f"{scope}/inner_group_{inner}", reuse=tf.AUTO_REUSE):
                        x = layer(x, adder, config)
        with tf.variable_scope("pooler"):
            return x, tf.tanh(dense(x[:, 0], config["hidden_size"], "dense"))


def pretraining_heads(config, hidden, pooled):
    with tf.variable_scope("cls/predictions"):
        with tf.variable_scope("transform"):
            layer_norm(dense(hidden, config["embedding_size"], "dense"))
        variable("output_bias", config["vocab_size"])
    with tf.variable_scope("cls/seq_relationship"):
        variable("output_weights", 2, pooled.shape[-1])
        variable("output_bias", 2)


def write(case):
    tf.set_random_seed(5)
    inputs = [tf.constant(case[name]) for name in ("ids", "mask", "types")]
    with tf.variable_scope(case["scope"]):
        hidden, pooled = albert(case["config"], *inputs)
        if case["labels"] is None:
            pretraining_heads(case["config"], hidden, pooled)
    results = {"hidden": hidden, "pooled": pooled}
    if case["labels"] is not None:  # as in Google's run_classifier.py
        weights = variable("output_weights", case["labels"], pooled.shape[-1])
        bias = variable("output_bias", case["labels"])
        results["logits"] = tf.matmul(pooled, weights, transpose_b=True) + bias
    for trained in tf.trainable_variables():
        for slot in ("adam_m", "adam_v"):
            variable(f"{trained.op.name}/{slot}", *trained.shape)
    tf.train.get_or_create_global_step()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, case["prefix"])
        np.savez(f"{case['prefix']}.npz", **session.run(results))


if __name__ == "__main__":
    with Path(sys.argv[1]).open() as file:
        cases = json.load(file)
    for case in cases:
        with tf.Graph().as_default():
            write(case)
