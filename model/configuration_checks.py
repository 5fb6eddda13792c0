"""Which sizes, rates and names an ALBERT can have: a slip or a damaged file is told from a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.json_files import shown

HIDDEN_ACTS = ("gelu", "gelu_new", "relu", "silu", "swish", "tanh")
# The most that is taken. ALBERT's largest has 12 layers of width 4,096; what is far above that is a slip
# or a damaged file, and would be computed for ever.
_MOST_LAYERS = 1000
_SIZES = {
    "vocab_size": 2**31 - 1,
    "embedding_size": 2**31 - 1,
    "hidden_size": 2**31 - 1,
    "num_hidden_layers": _MOST_LAYERS,
    "num_hidden_groups": _MOST_LAYERS,
    "inner_group_num": _MOST_LAYERS,
    "num_attention_heads": 2**31 - 1,
    "intermediate_size": 2**31 - 1,
    "max_position_embeddings": 2**31 - 1,
    "type_vocab_size": 2**31 - 1,
    "num_labels": 100_000,
}
_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout_prob")
_NUMBERS = {"layer_norm_eps": 1.0, "initializer_range": 1.0, "classifier_input_shift": 100.0}


def check_numbers(values: Mapping[str, Any]) -> None:
    """See that each field of :class:`model.configuration_albert.AlbertConfig` is possible, by its name.

    Raises:
        ValueError: one is not, or two do not go together; says which.
    """
    for name, most in _SIZES.items():
        value = values[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} is {shown(value)}, not a whole number above 0")
        if value > most:
            raise ValueError(f"{name} is {shown(value)}, but {most} is the most that is taken")
    for name in _DROPOUTS:
        value = values[name]
        if value is None and name == "classifier_dropout_prob":
            continue
        if not _is_number(value) or not 0 <= value < 1:
            raise ValueError(f"{name} is {shown(value)}, not a number in [0, 1)")
    for name, most in _NUMBERS.items():
        value = values[name]
        if not _is_number(value) or not 0 <= value <= most:
            raise ValueError(f"{name} is {shown(value)}, not a number from 0 to {most:g}")
    if values["hidden_act"] not in HIDDEN_ACTS:
        words = ", ".join(HIDDEN_ACTS)
        raise ValueError(f"hidden_act is {shown(values['hidden_act'])}, not one of {words}")
    width, heads = values["hidden_size"], values["num_attention_heads"]
    if width % heads:
        raise ValueError(f"hidden_size {width} is not a multiple of num_attention_heads {heads}")
    layers, groups = values["num_hidden_layers"], values["num_hidden_groups"]
    if layers < groups:
        raise ValueError(f"num_hidden_groups {groups} is more than num_hidden_layers {layers}")
    inner = values["inner_group_num"]
    if layers * inner > _MOST_LAYERS:
        raise ValueError(
            f"num_hidden_layers {layers} × inner_group_num {inner} "
            f"are more layers than the {_MOST_LAYERS} that are taken"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
