"""Files of weights: found, read as what they hold and not as what they are called, and checked."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from model.file_kinds import (
    AGAIN,
    PICKLE,
    SAFETENSORS,
    is_zip,
    read_head,
    weights_kind,
    what_a_zip_is,
    what_it_is,
    why_missing,
)
from model.file_names import INDEX_NAMES, WEIGHTS_NAMES
from model.files import system_error
from model.json_files import read_json_object, shown
from model.weight_names import shown_name

logger = logging.getLogger(__name__)

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
# This is fp16's largest number. A network with a larger weight could not be trained or used in fp16, as
# ALBERT is: what is above it comes of damage, or of a run that diverged.
LARGEST = torch.finfo(torch.float16).max

# Others that people have, by a pattern of their names, and what is to be done.
_CALL_IT = "is there: if it holds the weights, call it"
_OTHERS = {
    "*.ckpt*.index": "is a TensorFlow checkpoint: python -m tools.convert_tf_checkpoint reads it",
    "variables/*.index": "is a TensorFlow Hub module's: python -m tools.convert_tf_checkpoint reads it",
    "tf_model.h5": "is Keras's, which is not read here: get the model's model.safetensors",
    "flax_model.msgpack": "is Flax's, which is not read here: get the model's model.safetensors",
    "adapter_model.*": "is an adapter (LoRA) and no model: merge it into its model and save that",
    "*.tar.gz": "is still packed: unpack it there (tar xf)",
    "*.tgz": "is still packed: unpack it there (tar xf)",
    "*.tar": "is still packed: unpack it there (tar xf)",
    "*.zip": "is still packed: unpack it there (unzip)",
    "*.gguf": "is GGUF, as llama.cpp has it, which is not read here: get the model's model.safetensors",
    "*.onnx": "is ONNX, which is not read here: get the model's model.safetensors",
    "*.safetensors": f"{_CALL_IT} {WEIGHTS_NAMES[0]}",
    "*.pth": f"{_CALL_IT} {WEIGHTS_NAMES[1]}",
    "*.pt": f"{_CALL_IT} {WEIGHTS_NAMES[1]}",
    "*.bin": f"{_CALL_IT} {WEIGHTS_NAMES[1]}",
}
_ALONE = "save the model's state_dict() alone"
_NO_WEIGHTS = ("training_args.bin", "optimizer.pt", "scheduler.pt", "training_state.pt")
# Where others keep the named tensors among what else they save.
_INSIDE = ("state_dict", "model_state_dict", "model", "module", "net")
# torch's words for a class that a pickle names and its reader does not make.
_CLASS = re.compile(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)")


def find_weights(folder: str | Path) -> Path:
    """Return the weights file in ``folder``, or the index of those that are in several.

    Raises:
        FileNotFoundError: there is none; says what is there in its place.
    """
    folder = Path(folder)
    for path in _candidates(folder):
        if path.is_file():
            return path
    looked = f"no weights in {folder}: looked for {' and '.join(WEIGHTS_NAMES)}"
    raise FileNotFoundError("; ".join([looked, *in_place_of_weights(folder)[:2]]))


def in_place_of_weights(folder: Path) -> list[str]:
    """Return what is said of all in ``folder`` that has the name of weights, or is of another program."""
    return [*filter(None, map(why_missing, _candidates(folder))), *_other_weights(folder)]


def _candidates(folder: Path) -> list[Path]:
    return [folder / name for name in (*WEIGHTS_NAMES, *INDEX_NAMES)]


def _other_weights(folder: Path) -> Iterator[str]:
    for pattern, what in _OTHERS.items() if folder.is_dir() else ():
        for file in sorted(folder.glob(pattern)):
            if file.name not in (*_NO_WEIGHTS, *WEIGHTS_NAMES):
                yield f"{file.relative_to(folder)} {what}"


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the named tensors in a file or, for an index, in all files that it lists, to the CPU.

    A file is read as what it holds, safetensors or ``torch.save``'s, whatever it is called. Named tensors
    inside another dictionary (``state_dict``, ``model`` …) are found there.

    Raises:
        FileNotFoundError: one of several files is missing.
        OSError: the file cannot be read.
        ValueError: it is none of weights; says what it is, and what to do.
    """
    if path.name in INDEX_NAMES:
        return _read_shards(path)
    head = read_head(path)
    if _is_safetensors(path, head):
        return _read_safetensors(path)
    if found := what_a_zip_is(path) if is_zip(head) else what_it_is(head):
        raise ValueError(f"{path} {found}")
    if (kind := weights_kind(head)) not in (None, SAFETENSORS, PICKLE):
        raise ValueError(
            f"{path} is {kind}, which is not read here: get the model's {' or '.join(WEIGHTS_NAMES)}"
        )
    state = _inside(path, _read_pickle(path))
    size = path.stat().st_size
    for name, value in state.items():
        _check_tensor(path, name, value, size)
    return state


def read_names(path: Path) -> list[str] | None:
    """Return the names of the tensors in a file, or None where only :func:`read_state` tells them."""
    if path.name in INDEX_NAMES:
        return list(_weight_map(path))
    if not _is_safetensors(path, read_head(path)):
        return None
    try:
        with safe_open(path, "pt") as file:
            return list(file.keys())
    except Exception:  # Reading it all says what is wrong.
        return None


def check_numbers(path: Path, name: str, value: Tensor) -> None:
    """See that a weight holds numbers as a network has them.

    Raises:
        ValueError: it is of another type than fp32, fp16, bf16 or fp64, or holds a number that is not
            finite, or larger than :data:`LARGEST`.
    """
    if value.dtype not in DTYPES:
        kind = str(value.dtype).removeprefix("torch.")
        raise ValueError(
            f"{path}: {shown_name(name)} is {kind}, but weights are fp32, fp16, bf16 or fp64: get the "
            "model as it was before it was quantized or converted"
        )
    if not value.numel():
        return
    value = value.detach()
    low, high = torch.aminmax(value.float() if value.element_size() < 4 else value)
    for number in (low.item(), high.item()):
        if not abs(number) <= LARGEST:  # So is NaN refused.
            raise ValueError(
                f"{path}: {shown_name(name)} holds {number:g}, which is no weight of a trained model: the "
                "file is damaged, or was saved by a training that diverged; take another"
            )


def _is_safetensors(path: Path, head: bytes) -> bool:
    """Return whether a file is safetensors: eight bytes of a length, then JSON of that length."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length <= path.stat().st_size


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except OSError as error:
        raise _own_error(path, error) from error
    except Exception as error:  # The type of the error says nothing of what is wrong.
        raise _own_error(path, error, str(error)) from error


def _read_pickle(path: Path) -> object:
    """Return what ``torch.save`` wrote; nothing but tensors and plain containers is ever made of it."""
    try:
        # torch warns of what an odd pickle may hold, where the errors say enough; and a path it would read
        # as safetensors where it is called so.
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if match := _CLASS.search(str(error)):
            raise ValueError(
                f"{path} cannot be read as model weights: beside tensors it holds "
                f"{shown_name(match[1])}, and code in a file is never run here: {_ALONE}"
            ) from error
        raise _own_error(path, error) from error
    except Exception as error:  # A damaged pickle raises errors of every type.
        raise _own_error(path, error) from error


def _own_error(path: Path, error: Exception, reason: str = "") -> Exception:
    """Return the error to raise where a library's reader failed on ``path`` with ``error``.

    EINVAL is what a jump to a nonsensical place in the file gives. Others are the system's own.
    """
    number = system_error(error)
    if number not in (None, errno.EINVAL, errno.EOVERFLOW):
        return OSError(number, os.strerror(number), str(path))
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        size = path.stat().st_size
        return ValueError(
            f"{path} asks for more memory than is free: it is damaged, or with its {size:,} bytes too "
            "large for this machine"
        )
    line = reason.partition("\n")[0]
    return ValueError(
        f"{path} cannot be read as model weights: it is damaged or cut off"
        f"{f' ({line})' if line else ''}: copy or download it again"
    )


def _inside(path: Path, loaded: object) -> dict[str, Tensor]:
    """Return the named tensors in what was loaded."""
    if _is_state(loaded):
        return dict(loaded)
    if not isinstance(loaded, Mapping):
        kind = type(loaded).__name__
        raise ValueError(
            f"{path} cannot be read as model weights: it holds one {kind}, no named tensors: {_ALONE}"
        )
    states = [key for key, value in loaded.items() if _is_state(value) and value]
    usual = [key for key in _INSIDE if key in states]
    if usual or len(states) == 1:
        key = (usual or states)[0]
        logger.info("%s: the weights are those in its %s", path, shown(key))
        return dict(loaded[key])
    key, value = next((k, v) for k, v in loaded.items() if not _named_tensor(k, v))
    raise ValueError(
        f"{path} cannot be read as model weights: its {shown(key)} is of the type "
        f"{type(value).__name__}, not a tensor with a name: {_ALONE}"
    )


def _is_state(value: object) -> bool:
    return isinstance(value, Mapping) and all(_named_tensor(*item) for item in value.items())


def _named_tensor(key: object, value: object) -> bool:
    return isinstance(key, str) and isinstance(value, Tensor)


def _check_tensor(path: Path, name: str, value: Tensor, size: int) -> None:
    """See that a tensor of ``path`` has its numbers in memory, and no more of them than the file.

    Raises:
        ValueError: it is sparse, quantized or without numbers, or the file is damaged.
    """
    if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
        raise ValueError(
            f"{path}: {shown_name(name)} is no ordinary tensor, but sparse, quantized or empty: get the "
            "model as it was before it was converted"
        )
    there = value.untyped_storage().nbytes()
    if there > size or value.numel() * value.element_size() > there:
        raise ValueError(
            f"{path}: {shown_name(name)} is {list(value.shape)}, which is more than the file holds: it is "
            "damaged: copy or download it again"
        )


def _weight_map(index: Path) -> dict[str, str]:
    found = read_json_object(index, "index of weights").get("weight_map")
    if not isinstance(found, dict) or not found:
        raise ValueError(
            f"{index} is no index of weights: its weight_map is {shown(found)}: {AGAIN}"
        )
    for name, file in found.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise ValueError(
                f"{index}: {shown_name(name)} is in {shown(file)}, not a file beside it: {AGAIN}"
            )
    return found


def _read_shards(index: Path) -> dict[str, Tensor]:
    files = _weight_map(index)
    paths = [index.parent / name for name in sorted(set(files.values()))]
    if missing := [path.name for path in paths if not path.is_file()]:
        rest = f" and {len(missing) - 3} more" if missing[3:] else ""
        raise FileNotFoundError(
            f"{index} lists {len(paths)} files of weights, but {', '.join(missing[:3])}{rest} "
            f"{'is' if len(missing) == 1 else 'are'} not in {index.parent}: download the rest"
        )
    state: dict[str, Tensor] = {}
    for path in paths:
        state |= read_state(path)
    if lost := next((name for name in files if name not in state), None):
        raise ValueError(
            f"{index} lists {shown_name(lost)}, which {files[lost]} does not hold: {AGAIN}"
        )
    return state
