"""``torch_npu.npu.amp``: autocast, and the loss scaler that differs from torch's in some ways."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from torch_npu import _overflow
from torch_npu._device import release
from torch_npu.npu import utils


class autocast(torch.amp.autocast_mode.autocast):  # noqa: N801 (torch_npu's name)
    """``torch.autocast("npu", …)``."""

    def __init__(
        self,
        enabled: bool = True,
        dtype: torch.dtype = torch.float16,
        cache_enabled: bool = True,
    ) -> None:
        super().__init__("npu", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


class GradScaler(release.GradScaler):
    """torch's GradScaler, but: ``dynamic=False`` never looks for an overflow, and so never skips a step.

    It has no ``device`` argument, scales nothing but NPU tensors, refuses fp16 gradients with a
    TypeError, and its state has ``dynamic`` beside torch's keys.
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        dynamic: bool = True,
        enabled: bool = True,
    ) -> None:
        super().__init__("npu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
        self._dynamic = dynamic
        self._flag_is_clear = False

    def scale(self, outputs: Any) -> Any:
        """Multiply a loss by the scale."""
        if self._enabled and isinstance(outputs, Tensor) and outputs.device.type != "npu":
            raise ValueError("Device type of outputs should be npu.")
        if self._enabled and not self._flag_is_clear:
            _overflow.clear_flag()
            self._flag_is_clear = True
        return super().scale(outputs)

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradients by the scale, and look for an overflow if the scale is dynamic."""
        if not self._enabled:
            return
        super().unscale_(optimizer)
        if not self._dynamic:
            for found in self._per_optimizer_states[id(optimizer)]["found_inf_per_device"].values():
                found.zero_()

    def _unscale_grads_(
        self,
        optimizer: torch.optim.Optimizer,
        inv_scale: Tensor,
        found_inf: Tensor,
        allow_fp16: bool,
    ) -> dict[torch.device, Tensor]:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        if not allow_fp16 and any(g is not None and g.dtype == torch.float16 for g in gradients):
            raise TypeError("Attempting to unscale FP16 gradients.")
        found = super()._unscale_grads_(optimizer, inv_scale, found_inf, allow_fp16)
        if not utils.is_support_inf_nan() and dist.is_initialized():
            for tensor in found.values():
                dist.all_reduce(tensor)
        return found

    def _maybe_opt_step(
        self, optimizer: torch.optim.Optimizer, optimizer_state: dict, *args: Any, **kwargs: Any
    ) -> float | None:
        if any(found.item() for found in optimizer_state["found_inf_per_device"].values()):
            print("Gradient overflow. Skipping step")
            return None
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapt the scale, if it is dynamic, or set it."""
        self._flag_is_clear = False
        scale = self._scale
        super().update(new_scale)
        if self._enabled and not self._dynamic and new_scale is None:
            self._scale = scale

    def state_dict(self) -> dict[str, Any]:
        """Return torch's state and ``dynamic``."""
        state = super().state_dict()
        return state | {"dynamic": self._dynamic} if self._enabled else state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state; one that torch's GradScaler wrote has no ``dynamic`` and is refused."""
        if self._enabled:
            super().load_state_dict(state_dict)
            self._dynamic = state_dict["dynamic"]
