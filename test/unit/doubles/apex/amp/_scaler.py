"""The loss scale of apex: fixed, or halved at an overflow and doubled after so many steps without one."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor
from torch_npu import npu


class LossScaler:
    """A scale and what it learned; a fixed one never looks for an overflow.

    Args:
        scale: a number, or ``dynamic``.
        first: where a dynamic scale starts.
        growth: what it is multiplied by after ``window`` steps without an overflow.
        backoff: what it is multiplied by after a step with one.
        smallest, largest: its limits.
    """

    def __init__(
        self,
        scale: float | str,
        first: float,
        growth: float,
        backoff: float,
        window: int,
        smallest: float | None,
        largest: float,
    ) -> None:
        self.dynamic = scale == "dynamic"
        self.scale = min(largest, first) if self.dynamic else float(scale)
        self.unskipped = 0
        self.overflow = False
        self._growth, self._backoff, self._window = growth, backoff, window
        self._smallest, self._largest = smallest, largest

    def begin(self) -> None:
        """Get ready for a backward pass: forget the flag of overflows that some chips have."""
        if self.dynamic and not npu.utils.is_support_inf_nan():
            npu.clear_npu_overflow_flag()

    def read_flag(self) -> None:
        """Learn from the chips' flags, after a backward pass, whether it overflowed in any process."""
        self.overflow = False
        if self.dynamic and not npu.utils.is_support_inf_nan():
            found = torch.tensor([float(npu.get_npu_overflow_flag())], device="npu")
            if dist.is_initialized():
                dist.all_reduce(found)
            self.overflow = found.item() > 0

    def finds_overflow(self, gradients: Iterable[Tensor]) -> bool:
        """Return whether the backward pass overflowed, as far as these gradients show."""
        if self.dynamic and npu.utils.is_support_inf_nan():
            self.overflow |= not all(bool(torch.isfinite(g).all()) for g in gradients)
        return self.overflow

    def update(self) -> bool:
        """Adapt the scale after a backward pass; return whether the step is to be skipped."""
        if self.overflow and self.dynamic:
            self.scale = max(self._smallest or 0.0, self.scale * self._backoff)
            self.unskipped = 0
            return True
        self.unskipped += 1
        if self.unskipped == self._window and self.dynamic:
            self.scale = min(self._largest, self.scale * self._growth)
            self.unskipped = 0
        return False
