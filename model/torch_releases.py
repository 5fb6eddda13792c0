"""What differs between the releases of torch that this project runs with, from 2.1 on.

No other file asks what a release has; those that run before torch is imported read its number.
Each function says from which release on torch itself does it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import torch
import torch.utils._pytree

_SINCE_2_4 = hasattr(torch, "get_autocast_dtype")
# For one compiler of torch's and one way to count its work.
CAN_COMPILE = _SINCE_2_4
# For what turns a network into ONNX by torch.export.
CAN_EXPORT = torch.__version__ >= (2, 6)
# For optimizers whose skipped steps and rates a CUDA graph may hold.
CAN_CAPTURE = _SINCE_2_4

# Before torch 2.4 each type of device has functions of its own; those of other packages are in its module.
_AUTOCAST = {
    "cuda": ("is_autocast_enabled", "get_autocast_gpu_dtype"),
    "cpu": ("is_autocast_cpu_enabled", "get_autocast_cpu_dtype"),
}


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """Return what autocast casts to on a type of device here and now; None where it is off."""
    if _SINCE_2_4:
        enabled = torch.is_autocast_enabled(device_type)
        return torch.get_autocast_dtype(device_type) if enabled else None
    names = _AUTOCAST.get(device_type, ("is_autocast_enabled", "get_autocast_dtype"))
    module = torch if device_type in _AUTOCAST else getattr(torch, device_type)
    is_enabled, dtype = (getattr(module, name) for name in names)
    return dtype() if is_enabled() else None


def register_pytree(kind: type) -> None:
    """Have torch find the tensors in the fields of a dataclass, and make one again of such fields.

    Before torch 2.2 the function for that is a private one.
    """
    names = [field.name for field in fields(kind)]

    def flatten(value: Any) -> tuple[list[Any], list[str]]:
        return [getattr(value, name) for name in names], names

    def unflatten(values: Iterable[Any], _: list[str]) -> Any:
        return kind(*values)

    if hasattr(torch.utils._pytree, "register_pytree_node"):
        name = f"{kind.__module__}.{kind.__qualname__}"  # It is what a saved export knows it by.
        torch.utils._pytree.register_pytree_node(
            kind, flatten, unflatten, serialized_type_name=name
        )
    else:
        torch.utils._pytree._register_pytree_node(kind, flatten, unflatten)


def is_compiling() -> bool:
    """Return whether torch.compile is tracing this call; False before torch 2.3, which cannot tell."""
    return hasattr(torch.compiler, "is_compiling") and torch.compiler.is_compiling()


def grad_scaler(device_type: str, init_scale: float) -> Any:
    """Return torch's loss scaler for a type of device.

    Raises:
        AttributeError: there is none, as for the CPU before torch 2.3.
    """
    if hasattr(torch.amp, "GradScaler"):  # torch 2.3
        return torch.amp.GradScaler(device_type, init_scale=init_scale)
    return getattr(torch, device_type).amp.GradScaler(init_scale=init_scale)


def cpu_capabilities() -> dict[str, Any]:
    """Return what torch says of the CPU's instructions, by their names; nothing where it cannot tell."""
    return getattr(torch.cpu, "get_capabilities", dict)()


def keep_attention_in_half_precision() -> None:
    """Have attention that has no kernel of its own compute in fp16 and bf16 where its inputs are that.

    From torch 2.5 on it computes in fp32 unless told this; before, it never does.
    """
    if hasattr(torch.backends.cuda, "allow_fp16_bf16_reduction_math_sdp"):
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
