"""Weights and configuration from and to a folder.

Two layouts are read: Hugging Face's (keys ``albert.*``) and albert_pytorch's (keys ``bert.*``), each as
``model.safetensors`` or ``pytorch_model.bin``. One is written: Hugging Face's, as safetensors.
"""

from __future__ import annotations

import logging
import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.configuration_albert import CONFIG_NAME, AlbertConfig
from model.files import find_file
from model.modeling_albert import AlbertForSequenceClassification

logger = logging.getLogger(__name__)

WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
PRETRAINING_HEADS = ("predictions.", "cls.", "sop_classifier.")
# albert_pytorch adds this to the pooled vector before the classifier; a new head here does too.
REFERENCE_INPUT_SHIFT = 0.1

# albert_pytorch → Hugging Face, applied in this order.
_KEY_RULES = (
    (r"^bert\.", "albert."),
    (r"encoder\.transformer\.group\.(\d+)\.inner_group\.(\d+)\.",
     r"encoder.albert_layer_groups.\1.albert_layers.\2."),
    (r"attention\.self\.(query|key|value)\.", r"attention.\1."),
    (r"attention\.output\.dense\.", "attention.dense."),
    (r"(albert_layers\.\d+\.)LayerNorm\.", r"\1attention.LayerNorm."),
    (r"\.LayerNorm_1\.", ".full_layer_layer_norm."),
    (r"\.ffn\.intermediate\.dense\.", ".ffn."),
    (r"\.ffn\.intermediate\.output\.dense\.", ".ffn_output."),
    (r"\.pooler\.dense\.", ".pooler."),
)  # fmt: skip


def huggingface_key(key: str) -> str:
    """Return Hugging Face's name of a weight that albert_pytorch calls ``key``."""
    for pattern, replacement in _KEY_RULES:
        key = re.sub(pattern, replacement, key)
    return key


@dataclass(frozen=True)
class Weights:
    """The state found in a folder, in Hugging Face's names.

    ``shift_folded`` says what the classifier's bias means: True (Hugging Face's layout) where it is to
    be added to ``classifier(pooled)``, False (albert_pytorch's) to ``classifier(pooled + 0.1)``.
    """

    path: Path
    layout: str
    state: dict[str, Tensor]
    shift_folded: bool


def find_weights(folder: str | Path) -> Path:
    """Return the weights file in ``folder``.

    Raises:
        FileNotFoundError: there is none.
    """
    return find_file(folder, WEIGHTS_NAMES, "weights")


def read_weights(folder: str | Path) -> Weights:
    """Read the weights in ``folder``, whichever layout they have, to the CPU.

    Raises:
        FileNotFoundError: there are none.
        ValueError: the file cannot be read as weights, or they are not ALBERT's.
    """
    path = find_weights(folder)
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
            raise pickle.UnpicklingError
    except (pickle.UnpicklingError, EOFError) as error:  # torch's own words are on other matters
        reason = "it is cut off, or holds something other than named tensors"
        raise ValueError(f"{path} cannot be read as model weights: {reason}") from error
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} cannot be read as model weights: {reason}") from error
    if any(key.startswith("albert.") for key in state):
        return Weights(path, "Hugging Face", state, shift_folded=True)
    if any(key.startswith("bert.encoder.transformer.group.") for key in state):
        state = {huggingface_key(key): value for key, value in state.items()}
        return Weights(path, "albert_pytorch", state, shift_folded=False)
    example = next(iter(state), "nothing")
    raise ValueError(
        f"{path} holds no ALBERT: its first key is {example!r}, not albert.* or bert.*"
    )


def has_classifier(folder: str | Path) -> bool:
    """Return whether ``folder`` holds a trained classifier; False also where it holds no weights."""
    try:
        path = find_weights(folder)
    except FileNotFoundError:
        return False
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return "classifier.weight" in file.keys()  # noqa: SIM118 (not a dict)
    return "classifier.weight" in read_weights(folder).state


def load_model(folder: str | Path, config: AlbertConfig) -> AlbertForSequenceClassification:
    """Build the classifier that ``config`` describes, with the weights in ``folder``.

    A folder without a classifier (a pretrained model) gets a new one in the reference's convention,
    ``config.classifier_input_shift`` = 0.1; the log says so. Pretraining heads are left out.

    Raises:
        FileNotFoundError: there are no weights.
        ValueError: they do not fit the configuration; the message names the keys.
    """
    weights = read_weights(folder)
    state = {k: v for k, v in weights.state.items() if not k.startswith(PRETRAINING_HEADS)}
    new_head = "classifier.weight" not in state and "classifier.bias" not in state
    if new_head or not weights.shift_folded:
        config.classifier_input_shift = REFERENCE_INPUT_SHIFT
    model = AlbertForSequenceClassification(config)
    own = model.state_dict()
    if new_head:
        state |= {key: own[key] for key in ("classifier.weight", "classifier.bias")}
    problems = [f"{key} is missing" for key in sorted(own.keys() - state.keys())]
    problems += [f"{key} is unknown" for key in sorted(state.keys() - own.keys())]
    problems += [
        f"{key} is {list(state[key].shape)}, not {list(own[key].shape)}"
        for key in sorted(own.keys() & state.keys())
        if own[key].shape != state[key].shape
    ]
    if problems:
        shown = "; ".join(problems[:6]) + (
            f"; and {len(problems) - 6} more" if problems[6:] else ""
        )
        raise ValueError(f"{weights.path} does not fit {CONFIG_NAME}: {shown}")
    model.load_state_dict(state)
    if weights.shift_folded and not new_head:
        _shift_bias(model, -config.classifier_input_shift)
    head = "a new classifier" if new_head else "its classifier"
    logger.info("weights: %s (%s layout), with %s", weights.path, weights.layout, head)
    return model


def build_model(config: AlbertConfig) -> AlbertForSequenceClassification:
    """Build the classifier that ``config`` describes, with random weights."""
    config.classifier_input_shift = REFERENCE_INPUT_SHIFT
    return AlbertForSequenceClassification(config)


def save_model(
    model: AlbertForSequenceClassification, folder: str | Path, with_classifier: bool = True
) -> None:
    """Write ``model`` to ``folder`` as config.json and model.safetensors, in fp32.

    ``with_classifier=False`` leaves the head out, as in a pretrained model's folder.

    The classifier's input shift is folded into the saved bias, so that Hugging Face's ALBERT, which
    has no shift, gives the same logits; :func:`load_model` takes it out again.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: value.detach().float().cpu() for key, value in model.state_dict().items()}
    shift = _bias_of_shift(state["classifier.weight"], model.config.classifier_input_shift)
    state["classifier.bias"] = state["classifier.bias"] + shift
    architecture = "AlbertForSequenceClassification"
    if not with_classifier:
        state = {key: value for key, value in state.items() if not key.startswith("classifier.")}
        architecture = "AlbertModel"
    config = model.config.to_dict() | {"architectures": [architecture]}
    (folder / CONFIG_NAME).write_text(AlbertConfig.from_dict(config).to_json(), encoding="utf-8")
    contiguous = {key: value.contiguous() for key, value in state.items()}
    weights = folder / WEIGHTS_NAMES[0]
    save_file(contiguous, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors makes it readable by its owner alone


def _bias_of_shift(weight: Tensor, shift: float) -> Tensor:
    """Return what adding ``shift`` to a linear layer's input adds to its output: [num_labels]."""
    return (shift * weight.double().sum(1)).float()


def _shift_bias(model: AlbertForSequenceClassification, shift: float) -> None:
    with torch.no_grad():
        model.classifier.bias += _bias_of_shift(model.classifier.weight, shift)
