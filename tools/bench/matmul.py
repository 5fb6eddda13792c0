"""How fast this machine multiplies matrices of the model's own shapes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from processors.features import Features
from tools.bench.contenders import Contender
from tools.bench.flags import Setting

_TOKENS, _MANY_TOKENS = (512, 4096), (32_768,)
_TIMED_SECONDS = 0.02
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class MatmulPeak:
    """Times ``torch.mm`` for the model's linear layers, forward and backward.

    A layer from K to N features over T tokens is three products: ``X·Wᵀ``, and for the gradients ``dY·W``
    and ``dYᵀ·X``. T is 512 and 4096, or on an accelerator, which is through with those in a moment, more.
    """

    def __init__(self, contender: Contender, setting: Setting, _: Features) -> None:
        self._setting, self._device = setting, setting.device
        self._dtype = _DTYPES[contender.precision]
        self._device.keep_memory()
        self._timers: list[tuple[str, float, Timer]] = []  # Each has its shape and its operations.

    def prepare(self) -> dict[str, Any]:
        """Choose the shapes."""
        for tokens in _TOKENS if self._device.is_shared else _MANY_TOKENS:
            self._timers += self._products(tokens)
        return {}

    def turn(self) -> dict[str, Any]:
        """Return the operations per second of every shape."""
        return {
            "flops_per_second": {
                shape: operations / timer.blocked_autorange(min_run_time=_TIMED_SECONDS).median
                for shape, operations, timer in self._timers
            }
        }

    def _products(self, tokens: int) -> Iterator[tuple[str, float, Timer]]:
        hidden, inner = self._setting.config.hidden_size, self._setting.config.intermediate_size
        for k, n in ((hidden, 3 * hidden), (hidden, inner), (inner, hidden)):
            x, w, y = self._make(tokens, k), self._make(n, k), self._make(tokens, n)
            for a, b in ((x, w.t()), (y, w), (y.t(), x)):
                timer = Timer(
                    "torch.mm(a, b)",
                    globals={"torch": torch, "a": a, "b": b},
                    timer=self._clock,
                    num_threads=self._setting.flags.threads,
                )
                timer.timeit(1)  # The first is slow.
                shape = f"{a.shape[0]}×{a.shape[1]} · {b.shape[0]}×{b.shape[1]}"
                yield shape, 2.0 * tokens * k * n, timer

    def _make(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=self._dtype, device=self._device.torch_device)

    def _clock(self) -> float:
        self._device.synchronize()
        return time.perf_counter()
