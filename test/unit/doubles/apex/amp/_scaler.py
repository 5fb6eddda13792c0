"""The loss scale of apex: fixed, or halved at an overflow and doubled after 2000 steps without one."""

from __future__ import annotations

import torch
from torch import Tensor

_WINDOW = 2000


class LossScaler:
    """A scale and what it learned; a fixed one never looks for an overflow.

    Args:
        scale: a number, or ``dynamic``.
        smallest, largest: limits of a dynamic scale.
    """

    def __init__(self, scale: float | str, smallest: float | None, largest: float) -> None:
        self.dynamic = scale == "dynamic"
        self.scale = min(largest, 2.0**16) if self.dynamic else float(scale)
        self.unskipped = 0
        self.overflow = False
        self._smallest, self._largest = smallest, largest

    def unscale(self, gradient: Tensor, earlier: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Return ``gradient`` without the scale, added to an ``earlier`` one that has none."""
        if self.dynamic and not torch.isfinite(gradient).all():
            self.overflow = True
        result = (gradient.float() / self.scale).to(dtype)
        return result if earlier is None else earlier + result

    def update(self) -> bool:
        """Adapt the scale after a backward pass; return whether the step is to be skipped."""
        if self.overflow and self.dynamic:
            self.scale = max(self._smallest or 0.0, self.scale / 2)
            self.unskipped = 0
            return True
        self.unskipped += 1
        if self.unskipped == _WINDOW and self.dynamic:
            self.scale = min(self._largest, self.scale * 2)
            self.unskipped = 0
        return False
