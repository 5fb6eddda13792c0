"""How fast this machine multiplies matrices of the model's own shapes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tools.bench.spec import Setting

_TOKENS = (512, 4096, 32_768)
_BRIEF = 5e-3  # a product of fewer tokens that takes longer than this many seconds is large enough
_TIMED_SECONDS = 0.02
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class MatmulPeak:
    """Times ``torch.mm`` for the model's linear layers, forward and backward.

    A layer from K to N features over T tokens is three products: ``X·Wᵀ``, and for the gradients ``dY·W``
    and ``dYᵀ·X``. T is 512 and 4096, and more where that is over in a moment (an accelerator).
    """

    def __init__(self, setting: Setting) -> None:
        self._device, self._dtype = setting.device, _DTYPES[setting.precision]
        self._device.activate()
        self._device.keep_memory()
        hidden, inner = setting.config.hidden_size, setting.config.intermediate_size
        self._layers = ((hidden, 3 * hidden), (hidden, inner), (inner, hidden))
        self._products: dict[str, tuple[Callable[[], Tensor], float, int]] = {}

    def prepare(self) -> dict[str, Any]:
        """Choose the shapes and how often each is computed in a turn."""
        brief = True
        for tokens in _TOKENS:
            if tokens > _TOKENS[1] and not brief:
                break
            for inputs, outputs in self._layers:
                for name, product in self._forms(tokens, inputs, outputs).items():
                    self._time(product, 1)
                    seconds = self._time(product, 1)
                    brief = seconds < _BRIEF
                    flops = 2.0 * tokens * inputs * outputs
                    times = max(1, math.ceil(_TIMED_SECONDS / seconds))
                    self._products[name] = (product, flops, times)
        return {}

    def turn(self) -> dict[str, Any]:
        """Return the operations per second of every shape."""
        return {
            "flops_per_second": {
                name: flops * times / self._time(product, times)
                for name, (product, flops, times) in self._products.items()
            }
        }

    def _forms(self, tokens: int, inputs: int, outputs: int) -> dict[str, Callable[[], Tensor]]:
        def make(*shape: int) -> Tensor:
            return torch.randn(shape, dtype=self._dtype, device=self._device.torch_device)

        x, weight, y = make(tokens, inputs), make(outputs, inputs), make(tokens, outputs)
        return {
            f"{tokens}×{inputs} · {inputs}×{outputs}": partial(torch.mm, x, weight.t()),
            f"{tokens}×{outputs} · {outputs}×{inputs}": partial(torch.mm, y, weight),
            f"{outputs}×{tokens} · {tokens}×{inputs}": partial(torch.mm, y.t(), x),
        }

    def _time(self, product: Callable[[], Tensor], times: int) -> float:
        self._device.synchronize()
        began = time.perf_counter()
        for _ in range(times):
            product()
        self._device.synchronize()
        return time.perf_counter() - began
