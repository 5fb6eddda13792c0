"""How often the host waits for a number from the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class HostReads(TorchDispatchMode):
    """Counts the operation behind ``item()``, ``float()``, ``bool()`` and ``if`` on ``device``'s tensors.

    torch's AdamW keeps its step numbers in the host's memory, which costs nothing there; where the CPU is
    the device they are counted too.
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
        if operation.name() == "aten::_local_scalar_dense":
            self.count += args[0].device == self._device
        return operation(*args, **(kwargs or {}))
