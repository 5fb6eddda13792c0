"""Weights and configuration from and to a folder.

Two layouts are read and written: Hugging Face's (keys ``albert.*``, saved as ``model.safetensors``) and
albert_pytorch's (keys ``bert.*``, saved as ``pytorch_model.bin``). Either file may hold either layout.
"""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Mapping, Sequence
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

Shapes = Mapping[str, Sequence[int]]
WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
# These are pretraining heads, and a buffer that older releases of transformers saved.
_UNUSED = re.compile(r"(predictions|cls|sop_classifier)\.|.*\bembeddings\.position_ids$")

# A layout's classifier adds this to the pooled vector. Its bias is saved so that it is right with that.
INPUT_SHIFTS = {"huggingface": 0.0, "albert_pytorch": 0.1}
LAYOUTS = tuple(INPUT_SHIFTS)
NEW_HEAD_SHIFT = INPUT_SHIFTS["albert_pytorch"]  # A new head is the reference's.

# albert_pytorch's names within a layer stand for Hugging Face's.
_LAYER_KEYS = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.dense",
    "LayerNorm": "attention.LayerNorm",
    "LayerNorm_1": "full_layer_layer_norm",
    "ffn.intermediate.dense": "ffn",
    "ffn.intermediate.output.dense": "ffn_output",
}
_LAYER_KEYS_BACK = {ours: theirs for theirs, ours in _LAYER_KEYS.items()}
_THEIR_LAYER = re.compile(
    r"bert\.encoder\.transformer\.group\.(\d+)\.inner_group\.(\d+)\.(.+)\.(\w+)"
)
_OUR_LAYER = re.compile(
    r"albert\.encoder\.albert_layer_groups\.(\d+)\.albert_layers\.(\d+)\.(.+)\.(\w+)"
)


def huggingface_key(key: str) -> str:
    """Return Hugging Face's name of a weight that albert_pytorch calls ``key``."""
    if match := _THEIR_LAYER.fullmatch(key):
        group, layer, name, kind = match.groups()
        name = _LAYER_KEYS.get(name, name)
        return f"albert.encoder.albert_layer_groups.{group}.albert_layers.{layer}.{name}.{kind}"
    return re.sub(r"^bert\.", "albert.", key).replace("albert.pooler.dense.", "albert.pooler.")


def albert_pytorch_key(key: str) -> str:
    """Return albert_pytorch's name of a weight that Hugging Face calls ``key``."""
    if match := _OUR_LAYER.fullmatch(key):
        group, layer, name, kind = match.groups()
        name = _LAYER_KEYS_BACK[name]
        return f"bert.encoder.transformer.group.{group}.inner_group.{layer}.{name}.{kind}"
    return re.sub(r"^albert\.", "bert.", key).replace("bert.pooler.", "bert.pooler.dense.")


@dataclass(frozen=True)
class Weights:
    """The state found in a folder, in Hugging Face's names, and which of :data:`LAYOUTS` it had."""

    path: Path
    layout: str
    state: dict[str, Tensor]


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
    path.open("rb").close()  # This says so where it may not be read; the libraries below do not.
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(
            isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
        ):
            raise pickle.UnpicklingError
    except (pickle.UnpicklingError, EOFError) as error:  # torch's own words are on other matters.
        reason = "it is cut off, or holds something other than named tensors"
        raise ValueError(f"{path} cannot be read as model weights: {reason}") from error
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} cannot be read as model weights: {reason}") from error
    if any(key.startswith("albert.") for key in state):
        return Weights(path, "huggingface", state)
    if any(key.startswith("bert.encoder.transformer.group.") for key in state):
        state = {huggingface_key(key): value for key, value in state.items()}
        return Weights(path, "albert_pytorch", state)
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
        try:
            with safe_open(path, "pt") as file:
                return "classifier.weight" in file.keys()  # noqa: SIM118 (not a dict)
        except SafetensorError:
            pass  # Reading it all says what is wrong.
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
    state = {k: v for k, v in weights.state.items() if not _UNUSED.match(k)}
    new_head = "classifier.weight" not in state and "classifier.bias" not in state
    if new_head or weights.layout == "albert_pytorch":
        config.classifier_input_shift = NEW_HEAD_SHIFT
    model = AlbertForSequenceClassification(config)
    fresh = model.state_dict()
    if new_head:
        state |= {key: fresh[key] for key in ("classifier.weight", "classifier.bias")}
    check_fit(weights.path, shapes(state), shapes(fresh))
    if not new_head:
        _move_shift(state, INPUT_SHIFTS[weights.layout], config.classifier_input_shift)
    model.load_state_dict(state)
    head = "a new classifier" if new_head else "its classifier"
    logger.info(
        "weights: %s (%s layout), with %s (it adds %s to its input)",
        weights.path,
        weights.layout,
        head,
        config.classifier_input_shift,
    )
    return model


def check_fit(
    path: Path, found: Shapes, wanted: Shapes, configuration: str | Path = CONFIG_NAME
) -> None:
    """See that the weights in ``path`` are those, and of the shapes, that ``configuration`` calls for.

    Raises:
        ValueError: they are not; names the first six that are missing, unknown or of another shape.
    """
    problems = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    problems += [f"{name} is unknown" for name in sorted(found.keys() - wanted.keys())]
    problems += [
        f"{name} is {list(found[name])}, not {list(wanted[name])}"
        for name in sorted(wanted.keys() & found.keys())
        if tuple(found[name]) != tuple(wanted[name])
    ]
    if problems:
        rest = f"; and {len(problems) - 6} more" if problems[6:] else ""
        raise ValueError(f"{path} does not fit {configuration}: {'; '.join(problems[:6])}{rest}")


def shapes(state: dict[str, Tensor]) -> Shapes:
    """Return the shape of each tensor by its name."""
    return {name: value.shape for name, value in state.items()}


def _move_shift(state: dict[str, Tensor], old: float, new: float) -> None:
    """Make a classifier bias that is right with input shift ``old`` right with ``new``."""
    if old != new:
        change = (old - new) * state["classifier.weight"].double().sum(1)
        state["classifier.bias"] = state["classifier.bias"] + change.float()


def build_model(config: AlbertConfig) -> AlbertForSequenceClassification:
    """Build the classifier that ``config`` describes, with random weights."""
    config.classifier_input_shift = NEW_HEAD_SHIFT
    return AlbertForSequenceClassification(config)


def save_model(
    model: AlbertForSequenceClassification,
    folder: str | Path,
    layout: str = "huggingface",
    with_classifier: bool = True,
) -> None:
    """Write ``model`` to ``folder`` as config.json and weights in one of :data:`LAYOUTS`, in fp32.

    Hugging Face's ALBERT adds nothing to the classifier's input, so there the shift goes into the saved
    bias and the logits are the same; :func:`load_model` takes it out again.
    ``with_classifier=False`` leaves the head out, as in a pretrained model's folder.

    Raises:
        ValueError: a weight is no finite number; nothing is written.
    """
    if not all(value.isfinite().all() for value in model.state_dict().values()):
        raise ValueError("the weights are no finite numbers: try a lower --learning_rate")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: value.detach().float().cpu() for key, value in model.state_dict().items()}
    _move_shift(state, model.config.classifier_input_shift, INPUT_SHIFTS[layout])
    architecture = "AlbertForSequenceClassification"
    if not with_classifier:
        state = {key: value for key, value in state.items() if not key.startswith("classifier.")}
        architecture = "AlbertModel"
    config = model.config.to_dict() | {"architectures": [architecture]}
    (folder / CONFIG_NAME).write_text(AlbertConfig.from_dict(config).to_json(), encoding="utf-8")
    if layout == "albert_pytorch":
        state = {albert_pytorch_key(key): value for key, value in state.items()}
        torch.save(state, folder / WEIGHTS_NAMES[1])
        return
    weights = folder / WEIGHTS_NAMES[0]
    save_file({k: v.contiguous() for k, v in state.items()}, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors makes it readable by its owner alone.
