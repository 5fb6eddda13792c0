"""``torch.npu``: the functions of it that a training program calls, with torch_npu's signatures."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torch_npu import _chip, _device
from torch_npu.npu import utils
from torch_npu.npu.utils import (
    clear_npu_overflow_flag,
    get_npu_overflow_flag,
    is_support_inf_nan,
)

__all__ = [
    "clear_npu_overflow_flag",
    "get_npu_overflow_flag",
    "is_support_inf_nan",
    "utils",
]

CALLS = "SIMULATED_NPU_CALLS"  # names the file in which a test finds the calls that leave no trace


def _recorded(function: Callable) -> Callable:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if path := os.environ.get(CALLS):
            words = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(f"{function.__name__}({', '.join(words)})\n")
        return function(*args, **kwargs)

    return call


def is_available() -> bool:
    """Return whether there is an NPU."""
    return device_count() > 0


def device_count() -> int:
    """Return how many there are."""
    return _device.DEVICES


@_recorded
def set_device(device: Any) -> None:
    """Make one the current device; a negative number changes nothing, as in torch_npu."""
    if device != -1:
        _device.set_current(_device.index_of(device))


def current_device() -> int:
    """Return the number of the current device."""
    return _device.index_of()


def get_device_name(device_name: Any = None) -> str:
    """Return the name of a device's model; torch_npu checks the number and returns the current one's."""
    _device.index_of(device_name)
    return "Simulated Ascend"


@_recorded
def synchronize(device: Any = None) -> None:
    """Wait for a device: nothing runs behind its back here."""
    _device.index_of(device)


@_recorded
def set_compile_mode(jit_compile: bool = False) -> None:
    """Say whether kernels are compiled for each shape."""


def manual_seed(seed: int) -> None:
    """Seed the current device's random numbers."""
    _device.generators[current_device()].manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    """Seed every device's random numbers; torch.manual_seed calls this."""
    for generator in _device.generators:
        generator.manual_seed(int(seed))


def get_rng_state(device: Any = "npu") -> Tensor:
    """Return the state of a device's random numbers, on the CPU."""
    return _device.generators[_device.index_of(device)].get_state()


def set_rng_state(new_state: Tensor, device: Any = "npu") -> None:
    """Set the state of a device's random numbers."""
    _device.generators[_device.index_of(device)].set_state(new_state)


def memory_allocated(device: Any = None) -> int:
    """Return how many bytes tensors use on a device."""
    return _device.memories[_device.index_of(device)].in_use()


def max_memory_allocated(device: Any = None) -> int:
    """Return the largest number of bytes that were seen in use on a device."""
    memory = _device.memories[_device.index_of(device)]
    return max(memory.in_use(), memory.peak)


def reset_peak_memory_stats(device: Any = None) -> None:
    """Forget what was used earlier."""
    memory = _device.memories[_device.index_of(device)]
    memory.peak = 0
    memory.in_use()


def is_bf16_supported(including_emulation: bool = False) -> bool:
    """Return whether the device computes in bfloat16."""
    return _chip.has(_chip.BF16)


def get_amp_supported_dtype() -> list[torch.dtype]:
    """Return the dtypes that autocast may use; torch.autocast asks."""
    return [torch.float16, torch.bfloat16, torch.float32]


def FloatTensor(values: Any) -> Tensor:  # noqa: N802 (torch's name)
    """Return values as an fp32 tensor on the current device."""
    return torch.tensor(values, dtype=torch.float32, device="npu")


def is_initialized() -> bool:
    """Return whether the device is in use."""
    return True


def _lazy_init() -> None:
    """Start the device: torch calls this at a process's first use of it."""


def _is_in_bad_fork() -> bool:
    """Return whether the process was forked from one that uses the device: torch asks when it seeds."""
    return False


from torch_npu.npu import amp  # noqa: E402, F401 (it needs the functions above)
