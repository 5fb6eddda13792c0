"""Which parameters decay, and the optimizer that a name stands for."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from callback.optimization.lamb import Lamb


class _Source(NamedTuple):
    """An optimizer that a package has: its class there, and arguments that make it the one meant."""

    package: str
    name: str
    arguments: dict[str, Any]


# albert_pytorch ships these optimizers; LAMB is this project's own, the others are kept by packages. Which
# of them take its steps, docs/differences.md says.
_SOURCES = {
    "adamw": _Source("torch.optim", "AdamW", {}),
    "nadam": _Source("torch.optim", "NAdam", {}),
    "radam": _Source("torch.optim", "RAdam", {}),
    # albert_pytorch's plainradam is radam's rule, written without a buffer.
    "plainradam": _Source("torch.optim", "RAdam", {}),
    "adabound": _Source("pytorch_optimizer", "AdaBound", {"weight_decouple": False}),
    "adafactor": _Source(
        "pytorch_optimizer", "AdaFactor", {"relative_step": False, "scale_parameter": False}
    ),
    "lars": _Source("pytorch_optimizer", "LARS", {"momentum": 0.0, "trust_coefficient": 1.0}),
    "novograd": _Source("pytorch_optimizer", "NovoGrad", {}),
    "ralamb": _Source("pytorch_optimizer", "Lamb", {"rectify": True, "degenerated_to_sgd": True}),
    "sgdw": _Source("pytorch_optimizer", "SGDW", {}),
    # The Ascend adaptation's LAMB: it works on tensors that apex has joined, so with apex alone.
    "npu_fused_lamb": _Source("apex.optimizers", "NpuFusedLamb", {}),
}
OPTIMIZERS = ("lamb", *_SOURCES, "lookahead")


def build_optimizer(
    name: str,
    model: nn.Module,
    learning_rate: float,
    adam_epsilon: float,
    weight_decay: float,
    capturable: bool = False,
    block: int = 0,
) -> torch.optim.Optimizer:
    """Build an optimizer over ``model``'s parameters.

    Biases and LayerNorm weights never decay (BERT's rule): these are the parameters of fewer than two
    dimensions. ``lookahead`` is Lookahead (Zhang et al. 2019, arXiv:1907.08610) around LAMB.

    Args:
        capturable: have LAMB or AdamW take the rate from the device, and leave steps out there.
        block: how many numbers LAMB is to update at a time; 0 for all of a tensor.

    Raises:
        ValueError: no optimizer has that name, or an argument is outside its range.
        ModuleNotFoundError: the package that has it is not installed; names the command.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"no optimizer is called {name!r}: there are {', '.join(OPTIMIZERS)}")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    if name in ("lamb", "lookahead"):
        inner = Lamb(groups, lr=learning_rate, eps=adam_epsilon, capturable=capturable, block=block)
        if name == "lamb":
            return inner
        return _load("pytorch_optimizer", "Lookahead", name)(inner, k=6)
    source = _SOURCES[name]
    make = _load(source.package, source.name, name)
    arguments = dict(source.arguments)
    if capturable:
        arguments |= {"capturable": True, "fused": True}
    if "eps" in inspect.signature(make).parameters:
        arguments["eps"] = adam_epsilon
    return make(groups, lr=learning_rate, **arguments)


def _load(package: str, attribute: str, name: str) -> Callable[..., torch.optim.Optimizer]:
    try:
        return getattr(importlib.import_module(package), attribute)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"--optimizer {name} is in a package that is not installed: "
            "python -m pip install -r requirements-optional.txt"
        ) from error
