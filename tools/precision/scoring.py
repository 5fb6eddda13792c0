"""What a model computes in that is scored, and not trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from tools.machine.device import Device
from tools.precision.base import bf16_autocast
from tools.precision.choice import check_bf16


class ScoringPrecision:
    """fp32, in which a model's figures are told, or bf16 where torch deems it safe.

    Args:
        device: which computes.
        bf16_flag: the flag that asks for bf16; None for fp32.

    Attributes:
        name: ``fp32`` or ``bf16``.

    Raises:
        UsageError: the device cannot compute in bf16.
    """

    def __init__(self, device: Device, bf16_flag: str | None = None) -> None:
        if bf16_flag:
            check_bf16(bf16_flag, device, "leave it out")
        self.name = "bf16" if bf16_flag else "fp32"
        self._device = device

    def context(self) -> AbstractContextManager:
        """Return the context of all batches of a set: so long are weights kept that bf16 casts once."""
        return bf16_autocast(self._device) if self.name == "bf16" else nullcontext()

    @property
    def dtype(self) -> torch.dtype:
        """Of the products."""
        return torch.bfloat16 if self.name == "bf16" else torch.float32


@contextmanager
def own_casts() -> Iterator[None]:
    """Have what is done within use no weight that autocast has cast before, and leave it none.

    Autocast drops what it cast when its context ends: a graph that read such a weight would read it for
    ever, and one that cast it would lend others its memory.
    """
    torch.clear_autocast_cache()
    try:
        yield
    finally:
        torch.clear_autocast_cache()
