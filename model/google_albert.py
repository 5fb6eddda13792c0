"""What Google's own ALBERT (github.com/google-research/albert) writes, in this project's terms.

Its checkpoints are TensorFlow's. They come here as arrays by name, so this needs no TensorFlow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from model.checkpoint import MAPPING, check_fit, shapes
from model.configuration_albert import AlbertConfig
from model.modeling_albert import AlbertForSequenceClassification
from model.weight_names import albert_pytorch_key
from model.weights_file import check_numbers

GOOGLE_CONFIG_NAME = "albert_config.json"
# Google's run_classifier.py makes the classifier outside the scope of the model.
CLASSIFIER = {"classifier.weight": "output_weights", "classifier.bias": "output_bias"}
# These are the pretraining heads, and what the optimizers keep.
_UNUSED = re.compile(r"cls/.+|global_step|.+/((adam|lamb)_[mv]|\w+Optimizer(_1)?)")


def is_used(variable: str) -> bool:
    """Return whether a variable is one of the encoder's or the classifier's, or an unknown one."""
    return not _UNUSED.fullmatch(variable)


def variable_name(key: str) -> str:
    """Return Google's name of the weight that Hugging Face calls ``key``."""
    if key in CLASSIFIER:
        return CLASSIFIER[key]
    # These are Google's names but for the spelling.
    *path, kind = albert_pytorch_key(key).split(".")
    name = re.sub(r"group/(\d+)", r"group_\1", "/".join(path))
    name = name.replace("/attention/", "/attention_1/").replace("/ffn/", "/ffn_1/")
    if name.endswith("_embeddings"):
        return name
    names = ("gamma", "beta") if path[-1].startswith("LayerNorm") else ("kernel", "bias")
    return f"{name}/{names[kind == 'bias']}"


def read_google_config(path: str | Path) -> AlbertConfig:
    """Read Google's ``albert_config.json``.

    Google's code computes "gelu" with tanh (albert/modeling.py). In ``config.json`` that is "gelu_new",
    and "gelu" is the exact one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no ALBERT configuration.
    """
    config = AlbertConfig.from_file(path)
    if config.hidden_act == "gelu":
        config.hidden_act = "gelu_new"
    return config


def build_from_variables(
    variables: Mapping[str, np.ndarray], config: AlbertConfig, path: Path, config_path: Path
) -> AlbertForSequenceClassification:
    """Build the model that ``config`` describes from Google's variables.

    Args:
        variables: arrays by name, those that :func:`is_used` does not know left out. A dense layer's
            kernel is [in, out], the classifier's weights are [labels, hidden].
        config: gets the number of outputs where there is a classifier. Nothing is added to its input.
        path, config_path: where variables and configuration are from, for the message.

    Returns:
        the model; its classifier is random where the variables have none.

    Raises:
        ValueError: the variables do not fit the configuration, or are no numbers of a trained model; the
            message names them.
    """
    weights = variables.get(CLASSIFIER["classifier.weight"])
    if weights is not None:
        outputs = len(weights)
        config.set_task(None if outputs == 1 else [str(index) for index in range(outputs)])
    # Google's network has a map from the embeddings only where it changes their size.
    maps = config.embedding_size != config.hidden_size or variable_name(MAPPING[0]) in variables
    model = AlbertForSequenceClassification(config, maps)
    tensors = {}  # They are the model's, by Google's names and in Google's layout.
    for key, value in model.state_dict().items():
        name = variable_name(key)
        if weights is not None or key not in CLASSIFIER:
            tensors[name] = value.T if name.endswith("/kernel") else value
    found = {name: np.shape(value) for name, value in variables.items()}
    check_fit(path, found, shapes(tensors), config_path)
    for name, value in tensors.items():
        array = variables[name]
        if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
            raise ValueError(
                f"{path}: {name} is {array.dtype}, but weights are floating-point numbers"
            )
        # What is beyond fp32 becomes infinite there, and is named as such.
        with np.errstate(over="ignore"):
            tensor = torch.from_numpy(np.asarray(array, dtype=np.float32))
        check_numbers(path, name, tensor)
        value.copy_(tensor)
    return model
