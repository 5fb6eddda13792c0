"""What torch 2.1 cannot do from Python for a device that a package adds, by the names that ours use.

Releases that have torch.utils.backend_registration._setup_privateuseone_for_python_backend need none of
it. _old_torch.cpp is compiled once for each environment, by the first process that needs it.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

try:
    from torch.amp.grad_scaler import _refresh_per_optimizer_state
except ImportError:  # torch before 2.3
    from torch.cuda.amp.grad_scaler import _refresh_per_optimizer_state
from torch.utils._pytree import tree_flatten, tree_map

_SOURCE = Path(__file__).with_suffix(".cpp")
# An operation with one of these kernels is made of others: a fallback never sees it.
_COMPOSITE = tuple(f"CompositeExplicitAutograd{suffix}" for suffix in ("", "NonFunctional")) + (
    "CompositeImplicitAutograd",
)
_AUTOCAST = "AutocastPrivateUse1"
_autocast_dtype = [torch.float16]
_without_fp16: set[torch._ops.OpOverload] = set()
_libraries: list[Any] = []  # a kernel lives as long as its library


def _build() -> Path:
    """Return the compiled library; it lies in the environment whose torch it was compiled for."""
    text = _SOURCE.read_bytes()
    target = Path(sys.prefix) / f"simulated_npu-{hashlib.sha256(text).hexdigest()[:12]}.so"
    if not target.exists():
        own = target.with_suffix(f".{os.getpid()}")
        folder = Path(torch.__file__).parent
        command = [
            "g++", "-shared", "-fPIC", "-O1", "-std=c++17", "-isystem", folder / "include",
            f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}", _SOURCE,
            f"-L{folder / 'lib'}", "-lc10", "-ltorch_cpu", "-o", own,
        ]  # fmt: skip
        subprocess.run(command, check=True)
        own.replace(target)  # Several processes may have come here at once.
    return target


def register(module: ModuleType, devices: int) -> None:
    """Make ``npu`` the name of PrivateUse1, with ``devices`` of them; ``module`` becomes ``torch.npu``."""
    torch.ops.load_library(_build())
    torch.ops.simulated_npu.set_device_count(devices)
    torch.utils.rename_privateuse1_backend("npu")
    torch._register_device_module("npu", module)
    torch.utils.generate_methods_for_privateuse1_backend()
    for function in (
        is_autocast_enabled, set_autocast_enabled, get_autocast_dtype, set_autocast_dtype,
    ):  # fmt: skip
        setattr(module, function.__name__, function)


def set_current(index: int) -> None:
    """Tell torch which device ``npu`` without a number means."""
    torch.ops.simulated_npu.set_device(index)


def as_device(tensor: Tensor, index: int) -> Tensor:
    """Return ``tensor``'s memory as a tensor of NPU ``index``; of the CPU where that is negative."""
    return torch.ops.simulated_npu.as_device(tensor, index)


def register_fallback(kernel: Callable) -> None:
    """Have ``kernel(op, …)`` run every operation that has no kernel for the device."""
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    library = torch.library.Library("aten", "IMPL")
    _libraries.append(library)
    library.impl("_amp_update_scale_", _update_scale, "PrivateUse1")
    for name in torch._C._dispatch_get_all_op_names():
        if name.startswith("aten::") and not any(
            has_kernel(name, key) for key in (*_COMPOSITE, "PrivateUse1")
        ):
            op = overload(name.removeprefix("aten::"))
            library.impl(op, functools.partial(kernel, op), "PrivateUse1")


def overload(name: str) -> torch._ops.OpOverload:
    """Return the operation of aten that is called so: ``add.Tensor``."""
    packet, _, own = name.partition(".")
    return getattr(getattr(torch.ops.aten, packet), own or "default")


def let_autocast_through() -> None:
    """Have autocast leave operations alone that have no rule of their own."""
    library = torch._C._dispatch_library("IMPL", "_", _AUTOCAST, __file__, 0)
    _libraries.append(library.fallback_fallthrough())


def on_cpu_kernel(op: torch._ops.OpOverload, *args: Any, **kwargs: Any) -> Any:
    """Run the CPU's kernel of ``op``, whichever device the tensors are on."""
    return op._op_dk(torch._C.DispatchKey.CPU, *args, **kwargs)


@functools.cache
def is_view(op: torch._ops.OpOverload) -> bool:
    """Return whether ``op``'s result shares its argument's memory, which it does not change."""
    aliases = [a.alias_info for a in op._schema.arguments if a.alias_info is not None]
    return bool(aliases) and not any(alias.is_write for alias in aliases)


def is_autocast_enabled() -> bool:
    """Return whether autocast is on for the device: torch.autocast asks."""
    return not torch._C._dispatch_tls_is_dispatch_key_excluded(_AUTOCAST)


def set_autocast_enabled(enabled: bool) -> None:
    """Switch autocast on or off for the device."""
    torch._C._dispatch_tls_set_dispatch_key_excluded(_AUTOCAST, not enabled)


def get_autocast_dtype() -> torch.dtype:
    """Return what autocast computes in."""
    return _autocast_dtype[0]


def set_autocast_dtype(dtype: torch.dtype) -> None:
    """Choose what autocast computes in."""
    _autocast_dtype[0] = dtype


def run(op: torch._ops.OpOverload, args: Any, kwargs: dict[str, Any]) -> Any:
    """Call ``op`` on CPU tensors; in fp32, and its results rounded, where it has no fp16 on a CPU."""
    if op not in _without_fp16:
        try:
            return op(*args, **kwargs)
        except RuntimeError as error:
            if "'Half'" not in str(error):
                raise
            _without_fp16.add(op)
    halves: dict[int, tuple[Tensor, Tensor]] = {}  # by its id: what stands for one, and the one

    def widen(value: Any) -> Any:
        if value is torch.float16:
            return torch.float32
        if not isinstance(value, Tensor) or value.dtype != torch.float16:
            return value
        wide = value.float()
        halves[id(wide)] = (wide, value)
        return wide

    def narrow(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        return halves[id(value)][1] if id(value) in halves else value.half()

    wide_args, wide_kwargs = tree_map(widen, list(args)), tree_map(widen, kwargs)
    if not halves:
        return op(*args, **kwargs)
    result = op(*wide_args, **wide_kwargs)
    for index, argument in enumerate(op._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            written = wide_args[index] if index < len(args) else wide_kwargs.get(argument.name)
            for tensor in tree_flatten(written)[0]:
                if id(tensor) in halves:
                    half = halves[id(tensor)][1]
                    if half.shape != tensor.shape:  # An output comes without its size.
                        half.resize_(tensor.shape)
                    half.copy_(tensor)
    return tree_map(narrow, result)


class GradScaler(torch.cuda.amp.GradScaler):
    """The ``torch.amp.GradScaler`` of later releases: the one of 2.1 is for CUDA and says so."""

    def __init__(
        self,
        device: str,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__(enabled=False)  # else it looks for a GPU
        self._enabled = enabled
        self._init_scale, self._scale = init_scale, None
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._init_growth_tracker, self._growth_tracker = 0, None
        self._per_optimizer_states = defaultdict(_refresh_per_optimizer_state)

    def scale(self, outputs: Tensor) -> Tensor:
        """Multiply a loss by the scale."""
        if not self._enabled:
            return outputs
        if self._scale is None:
            self._lazy_init_scale_growth_tracker(outputs.device)
        return outputs * self._scale

    def _unscale_grads_(
        self,
        optimizer: torch.optim.Optimizer,
        inv_scale: Tensor,
        found_inf: Tensor,
        allow_fp16: bool,
    ) -> dict[torch.device, Tensor]:
        by_dtype = defaultdict(list)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_dtype[parameter.grad.dtype].append(parameter.grad)
        for gradients in by_dtype.values():
            torch._amp_foreach_non_finite_check_and_unscale_(gradients, found_inf, inv_scale)
        return {found_inf.device: found_inf}


def _update_scale(
    scale: Tensor,
    growth_tracker: Tensor,
    found_inf: Tensor,
    growth: float,
    backoff: float,
    interval: int,
) -> Tensor:
    """Adapt the loss scale: 2.1 does it for CUDA only, torch_npu by a kernel of its own."""
    if found_inf.item():
        scale.mul_(backoff)
        growth_tracker.zero_()
    elif growth_tracker.add_(1).item() == interval:
        growth_tracker.zero_()
        if math.isfinite(larger := scale.item() * growth):
            scale.fill_(larger)
    return scale
