"""How often the host waits for a number from the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class HostReads(TorchDispatchMode):
    """Counts the operation behind ``item()``, ``float()``, ``bool()`` and ``if`` on a tensor."""

    count = 0

    def __torch_dispatch__(
        self,
        operation: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self.count += operation.name() == "aten::_local_scalar_dense"
        return operation(*args, **(kwargs or {}))
