"""Weights and configuration from and to a folder.

Two layouts are read and written: Hugging Face's (keys ``albert.*``, saved as ``model.safetensors``) and
albert_pytorch's (keys ``bert.*``, saved as ``pytorch_model.bin``). Either file may hold either layout.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from model.configuration_albert import AlbertConfig
from model.file_names import CONFIG_NAME, WEIGHTS_NAMES
from model.modeling_albert import AlbertForSequenceClassification
from model.weight_names import albert_pytorch_key, kinds_of, name_weights, shown_name
from model.weights_file import check_numbers, find_weights, read_names, read_state

logger = logging.getLogger(__name__)

Shapes = Mapping[str, Sequence[int]]
HEAD = ("classifier.weight", "classifier.bias")
MAPPING = tuple(f"albert.encoder.embedding_hidden_mapping_in.{kind}" for kind in ("weight", "bias"))
_POOLER = ("albert.pooler.weight", "albert.pooler.bias")
# These are pretraining heads, and a buffer that older releases of transformers saved.
_UNUSED = re.compile(r"(predictions|cls|sop_classifier)\.|.*\bembeddings\.position_ids$")

# A layout's classifier adds this to the pooled vector. Its bias is saved so that it is right with that.
INPUT_SHIFTS = {"huggingface": 0.0, "albert_pytorch": 0.1}
LAYOUTS = tuple(INPUT_SHIFTS)
NEW_HEAD_SHIFT = INPUT_SHIFTS["albert_pytorch"]  # A new head is the reference's.


@dataclass(frozen=True)
class Weights:
    """The state found in a folder, in Hugging Face's names, and which of :data:`LAYOUTS` it had.

    Attributes:
        changes: what is not as the file has it, a phrase for each.
    """

    path: Path
    layout: str
    state: dict[str, Tensor]
    changes: tuple[str, ...] = ()


class OutputsError(ValueError):
    """A trained classifier has another number of outputs than is asked for.

    Attributes:
        path: of its weights.
        found, wanted: the outputs that it has, and those asked for.
    """

    def __init__(self, path: Path, found: int, wanted: int) -> None:
        super().__init__(f"{path} holds a classifier {outputs(found)}, not {outputs(wanted)}")
        self.path, self.found, self.wanted = path, found, wanted


def outputs(count: int) -> str:
    """Return what a classifier with ``count`` outputs is for."""
    return "with one output, for a number" if count == 1 else f"for {count} classes"


def read_weights(folder: str | Path) -> Weights:
    """Read the weights in ``folder``, whichever layout they have, to the CPU.

    Raises:
        FileNotFoundError: there are none.
        OSError: the file cannot be read.
        ValueError: the file is none of weights, damaged, or not ALBERT's.
    """
    path = find_weights(folder)
    state = read_state(path)
    try:
        layout, names, renamed = name_weights(state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    changes = (f"renamed: {', '.join(renamed)}",) if renamed else ()
    return Weights(path, layout, {names[key]: value for key, value in state.items()}, changes)


def has_classifier(folder: str | Path) -> bool:
    """Return whether ``folder`` holds a trained classifier; False also where it holds no weights.

    Raises:
        OSError, ValueError: as :func:`read_weights`.
    """
    try:
        path = find_weights(folder)
    except FileNotFoundError:
        return False
    names = read_names(path)
    if names is None:
        return "classifier.weight" in read_weights(folder).state
    try:
        return "classifier.weight" in name_weights(names).names.values()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def load_model(folder: str | Path, config: AlbertConfig) -> AlbertForSequenceClassification:
    """Build the classifier that ``config`` describes, with the weights in ``folder``.

    A folder without a classifier (a pretrained model) gets a new one in the reference's convention,
    ``config.classifier_input_shift`` = 0.1; the log says so. Pretraining heads are left out. All else must
    be there, and nothing more: see :func:`load_for_training`.

    Raises:
        FileNotFoundError: there are no weights.
        OutputsError: the classifier has another number of outputs than the configuration.
        ValueError: they do not fit the configuration, or are no numbers of a trained model; the message
            names the keys.
    """
    return _build(read_weights(folder), config)


def load_for_training(
    folder: str | Path,
    config: AlbertConfig,
    take_head: Callable[[Weights], Weights],
    zero_head: bool = False,
) -> AlbertForSequenceClassification:
    """Build the classifier that ``config`` describes with what ``folder`` has of it, to train it.

    Any model with ALBERT's encoder will do. A pooler that it lacks is new. What is neither the encoder's
    nor the classifier's is left out; one log line says all that.

    Args:
        take_head: returns the weights without the classifier, where that is not the task's.
        zero_head: whether a new classifier on a trained encoder starts at 0. LAMB changes weights in
            proportion to their size: random ones that tell the encoder's features apart the wrong way
            round may stay so while the encoder learns the examples by heart.

    Raises:
        FileNotFoundError, ValueError: as :func:`load_model`.
    """
    weights = take_head(read_weights(folder))
    used = {k: v for k, v in weights.state.items() if k.startswith("albert.") or k in HEAD}
    changes = weights.changes
    if others := kinds_of([key for key in weights.state if key not in used]):
        more = f" and {len(others) - 6} more" if others[6:] else ""
        changes += (f"left out: {', '.join(map(shown_name, others[:6]))}{more}",)
    new = () if any(key in used for key in _POOLER) else _POOLER
    if new:
        changes += ("new: the pooler",)
    model = _build(replace(weights, state=used, changes=changes), config, new)
    if zero_head and HEAD[0] not in used and not model.is_untrained:
        nn.init.zeros_(model.classifier.weight)
    return model


def without_head(weights: Weights, change: str) -> Weights:
    """Return the weights without the classifier; ``change`` is the phrase for it."""
    state = {key: value for key, value in weights.state.items() if key not in HEAD}
    return replace(weights, state=state, changes=(*weights.changes, change))


def _build(
    weights: Weights, config: AlbertConfig, new: Collection[str] = ()
) -> AlbertForSequenceClassification:
    """Build the classifier with its weights, and log what they are; those called ``new`` are random."""
    state = {k: v for k, v in weights.state.items() if not _UNUSED.match(k)}
    for name, value in state.items():
        check_numbers(weights.path, name, value)
    new_head = not any(key in state for key in HEAD)
    if new_head or weights.layout == "albert_pytorch":
        config.classifier_input_shift = NEW_HEAD_SHIFT
    maps = config.embedding_size != config.hidden_size or (
        weights.layout == "huggingface" and not _is_identity(state)
    )
    if not maps:
        state = {key: value for key, value in state.items() if key not in MAPPING}
    model = AlbertForSequenceClassification(config, maps)
    fresh = model.state_dict()
    state |= {key: fresh[key] for key in (*new, *(HEAD if new_head else ()))}
    _check_outputs(weights.path, shapes(state), shapes(fresh))
    check_fit(weights.path, shapes(state), shapes(fresh))
    if not new_head:
        _move_shift(state, INPUT_SHIFTS[weights.layout], config.classifier_input_shift)
    model.load_state_dict(state)
    head = "a new classifier" if new_head else "its classifier"
    logger.info(
        "weights: %s (%s layout), with %s (it adds %s to its input)%s",
        weights.path,
        weights.layout,
        head,
        config.classifier_input_shift,
        "".join(f"; {change}" for change in weights.changes),
    )
    return model


def _is_identity(state: Mapping[str, Tensor]) -> bool:
    """Return whether the map from embeddings to hidden states changes nothing: so is none written."""
    weight, bias = (state.get(key) for key in MAPPING)
    if weight is None or bias is None or weight.dim() != 2 or len(weight) != weight.shape[1]:
        return False
    return torch.equal(weight.float(), torch.eye(len(weight))) and not bias.any()


def check_layout(model: AlbertForSequenceClassification, layout: str) -> None:
    """See that ``model`` can be written in one of :data:`LAYOUTS`.

    Raises:
        ValueError: albert_pytorch has no place for a map that the model has.
    """
    config = model.config
    same = config.embedding_size == config.hidden_size
    if layout == "albert_pytorch" and same and model.maps_embeddings:
        raise ValueError(
            f"embedding_size is hidden_size ({config.hidden_size}): there albert_pytorch has no linear "
            "map from the one to the other, and the model has one"
        )


def check_fit(
    path: Path, found: Shapes, wanted: Shapes, configuration: str | Path = CONFIG_NAME
) -> None:
    """See that the weights in ``path`` are those, and of the shapes, that ``configuration`` calls for.

    Raises:
        ValueError: they are not; names the first six that are missing, unknown or of another shape.
    """
    problems = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    problems += [f"{shown_name(name)} is unknown" for name in sorted(found.keys() - wanted.keys())]
    problems += [
        f"{name} is {list(found[name])}, not {list(wanted[name])}"
        for name in sorted(wanted.keys() & found.keys())
        if tuple(found[name]) != tuple(wanted[name])
    ]
    if problems:
        rest = f"; and {len(problems) - 6} more" if problems[6:] else ""
        wrong = "; ".join(problems[:6])
        raise ValueError(
            f"{path} does not fit {configuration}: {wrong}{rest}; take both from one model"
        )


def _check_outputs(path: Path, found: Shapes, wanted: Shapes) -> None:
    """See that the classifier has the outputs asked for, where nothing else is wrong with the weights.

    Raises:
        OutputsError: it has others.
    """
    weight, bias = (tuple(found.get(key, ())) for key in HEAD)
    count, width = wanted[HEAD[0]]
    others = (key for key in wanted if key not in HEAD)
    if all(tuple(found.get(key, ())) == tuple(wanted[key]) for key in others) and (
        weight == (*bias, width) and bias and bias != (count,)
    ):
        raise OutputsError(path, bias[0], count)


def shapes(state: dict[str, Tensor]) -> Shapes:
    """Return the shape of each tensor by its name."""
    return {name: value.shape for name, value in state.items()}


def _move_shift(state: dict[str, Tensor], old: float, new: float) -> None:
    """Make a classifier bias that is right with input shift ``old`` right with ``new``."""
    if old != new:
        change = (old - new) * state["classifier.weight"].double().sum(1)
        state["classifier.bias"] = state["classifier.bias"] + change.float()


def build_model(
    config: AlbertConfig, layout: str = "huggingface"
) -> AlbertForSequenceClassification:
    """Build the classifier that ``config`` describes, with random weights, to be written in ``layout``."""
    config.classifier_input_shift = NEW_HEAD_SHIFT
    same = config.embedding_size == config.hidden_size
    return AlbertForSequenceClassification(config, not (same and layout == "albert_pytorch"))


def save_model(
    model: AlbertForSequenceClassification,
    folder: str | Path,
    layout: str = "huggingface",
    with_classifier: bool = True,
) -> None:
    """Write ``model`` to ``folder`` as config.json and weights in one of :data:`LAYOUTS`, in fp32.

    Hugging Face's ALBERT adds nothing to the classifier's input, so there the shift goes into the saved
    bias and the logits are the same; :func:`load_model` takes it out again.
    It always maps embeddings to hidden states: a model that does not gets the identity for that.
    ``with_classifier=False`` leaves the head out, as in a pretrained model's folder.

    Raises:
        ValueError: a weight is no finite number, or as :func:`check_layout`; nothing is written.
    """
    check_layout(model, layout)
    if not all(value.isfinite().all() for value in model.state_dict().values()):
        raise ValueError("the weights are no finite numbers: try a lower --learning_rate")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: value.detach().float().cpu() for key, value in model.state_dict().items()}
    if not model.maps_embeddings:
        size = model.config.hidden_size
        state |= dict(zip(MAPPING, (torch.eye(size), torch.zeros(size)), strict=True))
    _move_shift(state, model.config.classifier_input_shift, INPUT_SHIFTS[layout])
    architecture = "AlbertForSequenceClassification"
    if not with_classifier:
        state = {key: value for key, value in state.items() if not key.startswith("classifier.")}
        architecture = "AlbertModel"
    config = model.config.to_dict() | {"architectures": [architecture]}
    (folder / CONFIG_NAME).write_text(AlbertConfig.from_dict(config).to_json(), encoding="utf-8")
    if layout == "albert_pytorch":
        state = {albert_pytorch_key(key): value for key, value in state.items()}
        # Into a path torch writes by itself, and does not say what went wrong.
        with (folder / WEIGHTS_NAMES[1]).open("wb") as file:
            torch.save(state, file)
        return
    weights = folder / WEIGHTS_NAMES[0]
    save_file({k: v.contiguous() for k, v in state.items()}, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors makes it readable by its owner alone.
