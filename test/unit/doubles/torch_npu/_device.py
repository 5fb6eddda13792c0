"""The device ``npu``: torch's own tensors, of device type PrivateUse1, over the CPU's memory.

A tensor's memory goes from one device type to another without a copy, so an NPU tensor here is the same
memory under another name: torch's CPU kernels do the arithmetic, and views and in-place
operations are right by construction. What has no kernel of its own for ``npu`` comes to :func:`_kernel`,
which also refuses to mix devices. The contract is torch's: `torch.utils.backend_registration` and the
"privateuse1" notes of its documentation.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils import backend_registration

from torch_npu import _chip, _overflow

if hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
    from torch_npu import _current_torch as release
else:
    from torch_npu import _old_torch as release

DEVICES = int(os.environ.get("SIMULATED_NPUS", "2"))
_SET = torch.ops.aten.set_.source_Storage_storage_offset
_SAMPLE = 256  # allocations between two looks at how much memory is in use

generators = [torch.Generator() for _ in range(DEVICES)]
_libraries: list[torch.library.Library] = []  # a kernel lives as long as its library


class Memory:
    """What lives on one device, in bytes; the peak is that of the moments at which it was looked at."""

    def __init__(self) -> None:
        self._live: list[tuple[StorageWeakRef, int]] = []
        self._looked_at = 0
        self.peak = 0

    def add(self, tensor: Tensor) -> None:
        """Note the memory of a new tensor."""
        storage = tensor.untyped_storage()
        self._live.append((StorageWeakRef(storage), storage.nbytes()))
        if len(self._live) > self._looked_at + _SAMPLE:
            self.in_use()

    def in_use(self) -> int:
        """Return how much is in use now."""
        self._live = [entry for entry in self._live if not entry[0].expired()]
        self._looked_at = len(self._live)
        used = sum(size for _, size in self._live)
        self.peak = max(self.peak, used)
        return used


memories = [Memory() for _ in range(DEVICES)]


def to_cpu_memory(tensor: Tensor) -> Tensor:
    """Return the CPU tensor that shares an NPU tensor's memory."""
    return release.as_device(tensor, -1)


def to_npu_memory(tensor: Tensor, index: int) -> Tensor:
    """Return the tensor of NPU ``index`` that shares a CPU tensor's memory."""
    memories[index].add(tensor)
    return release.as_device(tensor, index)


def change_memory(tensor: Tensor, other: Tensor, offset: int = 0) -> None:
    """Make ``tensor`` a view into ``other``'s memory, of the size and the strides that it has."""
    release.on_cpu_kernel(
        _SET, tensor, other.untyped_storage(), offset, tensor.shape, tensor.stride()
    )


class _Writes(NamedTuple):
    """Which arguments an operation writes to: by position, by name, and those that are outputs."""

    positions: frozenset[int]
    names: frozenset[str]
    outputs: frozenset[str]


@functools.cache
def _writes(op: torch._ops.OpOverload) -> _Writes:
    written = [
        (index, argument)
        for index, argument in enumerate(op._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return _Writes(
        frozenset(index for index, _ in written),
        frozenset(argument.name for _, argument in written),
        frozenset(argument.name for _, argument in written if argument.is_out),
    )


def _map(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Call ``function`` on a tensor or on those in a list; other values stay as they are."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)([_map(function, item) for item in value])
    return value


def _check_devices(op: torch._ops.OpOverload, args: tuple, kwargs: dict[str, Any]) -> int | None:
    """Return the index of the one NPU that the tensors are on; None where no tensor is.

    A CPU tensor of no dimension may be read, as on any device.
    """
    positions, names, _ = _writes(op)
    found: set[torch.device] = set()

    def look(tensor: Tensor) -> None:
        if tensor.device.type != "cpu" or tensor.ndim or written:
            found.add(tensor.device)

    for key, value in (*enumerate(args), *kwargs.items()):
        written = key in positions or key in names
        _map(look, value)
    if len(found) > 1:
        first, second = sorted(map(str, found), reverse=True)[:2]
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{first} and {second}! (when checking arguments of {op})"
        )
    return next(iter(found)).index if found else None


def _kernel(op: torch._ops.OpOverload, *args: Any, **kwargs: Any) -> Any:
    """Run any operation on the memory of its NPU tensors; new results are on their device."""
    if release.is_view(op) or op.overloadpacket is torch.ops.aten.set_:
        # Nothing is computed: torch's CPU kernels do this to any device's tensors.
        return release.on_cpu_kernel(op, *args, **kwargs)
    index = _check_devices(op, args, kwargs)
    if (device := kwargs.get("device")) is not None:
        index = index_of(device)
        kwargs["device"] = torch.device("cpu")
    originals: dict[int, Tensor] = {}  # by the CPU tensors that stand for them
    outputs: list[tuple[Tensor, Tensor]] = []

    def lend(tensor: Tensor) -> Tensor:
        if tensor.device.type == "cpu":
            return tensor
        lent = to_cpu_memory(tensor)
        originals[id(lent)] = tensor
        return lent

    def lend_output(tensor: Tensor) -> Tensor:
        lent = torch.empty(
            0, dtype=tensor.dtype
        )  # operations resize their outputs, some more than once
        originals[id(lent)] = tensor
        outputs.append((tensor, lent))
        return lent

    def take_back(tensor: Tensor) -> Tensor:
        return originals[id(tensor)] if id(tensor) in originals else to_npu_memory(tensor, index)

    out = _writes(op).outputs
    args = [_map(lend, value) for value in args]
    kwargs = {k: _map(lend_output if k in out else lend, value) for k, value in kwargs.items()}
    watched = _overflow.watches(op, args, kwargs)
    if torch.Tag.nondeterministic_seeded in op.tags:
        result = _with_generator(generators[index], op, args, kwargs)
    else:
        result = release.run(op, args, kwargs)
    _do_wrong(op, result)
    if watched:
        _overflow.saturate((result, [lent for _, lent in outputs]))
    for original, lent in outputs:
        if original.shape != lent.shape:
            _resize(original, lent.shape)
        to_cpu_memory(original).copy_(lent)
    return _map(take_back, result)


def _do_wrong(op: torch._ops.OpOverload, result: Any) -> None:
    """Do to a kernel's result what a fault is planted for."""
    if op.overloadpacket is torch.ops.aten.mm and _chip.is_planted("product"):
        result.mul_(1.05)
    if op.overloadpacket is not torch.ops.aten.gelu:
        return
    if _chip.is_planted("kernel"):
        result.mul_(1.05)
    if _chip.is_planted("fallback"):
        warnings.warn(
            "CAUTION: The operator 'aten::gelu' is not currently supported on the NPU backend and will "
            "fall back to run on the CPU. This may have performance implications.",
            stacklevel=2,
        )


def _with_generator(generator: torch.Generator, op: Any, args: list, kwargs: dict) -> Any:
    """Draw from a device's generator: not all random operations can be given one."""
    saved = torch.default_generator.get_state()
    torch.default_generator.set_state(generator.get_state())
    try:
        return release.run(op, args, kwargs)
    finally:
        generator.set_state(torch.default_generator.get_state())
        torch.default_generator.set_state(saved)


def _resize(tensor: Tensor, size: torch.Size, *, memory_format: Any = None) -> Tensor:
    other = torch.empty(size, dtype=tensor.dtype, device=tensor.device)
    release.on_cpu_kernel(_SET, tensor, other.untyped_storage(), 0, size, other.stride())
    return tensor


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    """Copy between devices, or within one: the operation that may mix them."""
    ends = [to_cpu_memory(t) if t.device.type == "npu" else t for t in (source, target)]
    ends[1].copy_(ends[0])
    return target


_current = [0]


def set_current(index: int) -> None:
    """Make NPU ``index`` the one that ``npu`` without a number means."""
    _current[0] = index
    release.set_current(index)


def index_of(device: Any = None) -> int:
    """Return the number of ``device``; that of the current one where none is named."""
    if isinstance(device, int):
        index = device
    else:
        named = None if device is None else torch.device(device).index
        index = _current[0] if named is None else named
    if not 0 <= index < DEVICES:
        raise RuntimeError(f"npu:{index}: there are {DEVICES} simulated NPUs")
    return index


def register(module: ModuleType) -> None:
    """Give torch the device, once in a process; ``module`` becomes ``torch.npu``."""
    release.register(module, DEVICES)
    # torch gives a device that is made in Python one thread for the backward pass, whatever the number
    # of devices; the calling thread does for all of them.
    torch.autograd.set_multithreading_enabled(False)
    kernels = torch.library.Library("aten", "IMPL")
    kernels.impl("_copy_from", _copy_from, "PrivateUse1")
    kernels.impl("resize_", _resize, "PrivateUse1")
    _libraries.append(kernels)
    _overflow.register()
    release.register_fallback(_kernel)
