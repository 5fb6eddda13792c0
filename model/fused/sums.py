"""Gradients of shared weights, added up while the backward pass goes through their uses."""

from __future__ import annotations

from torch import Tensor


class Sums:
    """Gradients of shared weights, added up from the last use to the first.

    Attributes:
        weight: [out, in], or None before the first use that the backward pass meets.
        parts: [programs, k, n] fp32, the parts of sums over rows.
        most_rows: of a use.
    """

    def __init__(self) -> None:
        self.weight: Tensor | None = None
        self.parts: Tensor | None = None
        self.most_rows = 0
        self._reached = 0

    def begins(self, use: int) -> bool:
        """Return whether a use is the first that a backward pass meets; the sums are dropped then.

        A pass goes from later uses to earlier ones. So it also drops what a pass left that failed.
        """
        begins = self._reached == 0 or use >= self._reached
        self._reached = use
        if begins:
            self.weight = self.parts = None
        return begins

    def take(self) -> None:
        """Have the next use begin anew."""
        self._reached = 0
