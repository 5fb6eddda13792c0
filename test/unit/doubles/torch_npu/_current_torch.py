"""A device that a package adds to torch, in Python alone; _old_torch.py has the same for torch 2.1."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration

_DLPACK_CPU, _DLPACK_EXTENSION = 1, 12  # DLDeviceType in dlpack.h; torch reads 12 as PrivateUse1
_CPU_KERNELS = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
GradScaler = torch.amp.GradScaler
_libraries: list[torch.library.Library] = []  # a kernel lives as long as its library


class _Device(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("index", ctypes.c_int32))


class _DLTensor(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("device", _Device))  # the rest stays as it is


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


def register(module: ModuleType, devices: int) -> None:
    """Make ``npu`` the name of PrivateUse1; ``module``, which knows how many, becomes ``torch.npu``."""
    backend_registration._setup_privateuseone_for_python_backend(
        rename="npu", backend_module=module
    )


def register_fallback(kernel: Callable) -> None:
    """Have ``kernel(op, …)`` run every operation that has no kernel for the device."""
    library = torch.library.Library("_", "IMPL")
    library.fallback(kernel, "PrivateUse1")
    _libraries.append(library)


def let_autocast_through() -> None:
    """Have autocast leave operations alone that have no rule of their own."""
    library = torch.library.Library("_", "IMPL")
    library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    _libraries.append(library)


def is_autocast_enabled() -> bool:
    """Return whether autocast is on for the device."""
    return torch.is_autocast_enabled("npu")


def set_autocast_enabled(enabled: bool) -> None:
    """Switch autocast on or off for the device."""
    torch.set_autocast_enabled("npu", enabled)


def set_autocast_dtype(dtype: torch.dtype) -> None:
    """Choose what autocast computes in."""
    torch.set_autocast_dtype("npu", dtype)


def get_autocast_dtype() -> torch.dtype:
    """Return what autocast computes in."""
    return torch.get_autocast_dtype("npu")


def set_current(index: int) -> None:
    """Tell torch which device ``npu`` without a number means: it asks ``torch.npu``."""


def as_device(tensor: Tensor, index: int) -> Tensor:
    """Return ``tensor``'s memory as a tensor of NPU ``index``; of the CPU where that is negative."""
    capsule = torch._C._to_dlpack(tensor)
    device = _Device(_DLPACK_CPU, 0) if index < 0 else _Device(_DLPACK_EXTENSION, index)
    _DLTensor.from_address(_pointer(capsule, b"dltensor")).device = device
    return torch._C._from_dlpack(capsule)


def on_cpu_kernel(op: torch._ops.OpOverload, *args: Any, **kwargs: Any) -> Any:
    """Run the CPU's kernel of ``op``, whichever device the tensors are on."""
    return op.redispatch(_CPU_KERNELS, *args, **kwargs)


def is_view(op: torch._ops.OpOverload) -> bool:
    """Return whether ``op``'s result shares its argument's memory, which it does not change."""
    return op.is_view


def run(op: torch._ops.OpOverload, args: Any, kwargs: dict[str, Any]) -> Any:
    """Call ``op`` on CPU tensors."""
    return op(*args, **kwargs)
