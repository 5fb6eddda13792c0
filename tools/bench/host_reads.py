"""How often the host waits for a number from the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class HostReads(TorchDispatchMode):
    """Counts what the host waits for on ``device``.

    That is the operation behind ``item()``, ``float()``, ``bool()`` and ``if`` on a tensor, the one whose
    result is as large as it turns out to be, ``nonzero``, and a copy to the host's memory. torch's AdamW
    keeps its step numbers in the host's memory, which costs nothing there; where the CPU is the device
    they are counted too.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self.count = 0

    def __torch_dispatch__(
        self,
        operation: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = operation.name()
        result = operation(*args, **(kwargs or {}))
        if name in ("aten::_local_scalar_dense", "aten::nonzero"):
            self.count += args[0].device == self._device
        elif name in ("aten::_to_copy", "aten::copy_"):
            source = args[0] if name == "aten::_to_copy" else args[1]
            self.count += source.device == self._device != result.device
        return result
