"""Numeric precision behind one interface: forward context, backward, clipping, optimizer step."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tools.device import Device

OPT_LEVELS = ("O0", "O1", "O2", "O3")


class FullPrecision:
    """fp32 throughout; also the interface of the other precisions.

    Args:
        model: the network (wrapped or not); its parameters' gradients are clipped.
        optimizer: over the same parameters.
    """

    description = "fp32"

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = optimizer

    def forward(self) -> AbstractContextManager:
        """Return the context in which the model is to be called."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of ``loss`` (a scalar) to those that are there."""
        loss.backward()

    def clip_gradients(self, max_norm: float) -> None:
        """Scale all gradients so that their joint norm is at most ``max_norm``; 0 = leave them."""
        if max_norm > 0:
            nn.utils.clip_grad_norm_(self.parameters, max_norm)

    def step(self) -> bool:
        """Update the weights and drop the gradients; returns whether there was an update."""
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs to go on as if never stopped."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""


class Autocast(FullPrecision):
    """fp32 weights, half-precision arithmetic where torch deems it safe, and a scaled loss.

    Args:
        device: where the model is.
        loss_scale: a fixed factor, or ``dynamic``: as large as goes without overflow.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, device: Device, loss_scale: str | float
    ) -> None:
        super().__init__(model, optimizer)
        self.description = f"fp16 autocast, loss scale {loss_scale}"
        self._device_type = device.torch_device.type
        self._fixed_scale = None if loss_scale == "dynamic" else float(loss_scale)
        self._scaler = torch.amp.GradScaler(
            self._device_type, init_scale=self._fixed_scale or 2.0**16
        )
        self._stepped = False
        # The scaler does not say whether it let the optimizer step; the hook does.
        optimizer.register_step_post_hook(self._note_step)

    def _note_step(self, *_: Any) -> None:
        self._stepped = True

    def forward(self) -> AbstractContextManager:
        return torch.autocast(self._device_type, dtype=torch.float16)

    def backward(self, loss: Tensor) -> None:
        self._scaler.scale(loss).backward()

    def clip_gradients(self, max_norm: float) -> None:
        self._scaler.unscale_(self.optimizer)
        super().clip_gradients(max_norm)

    def step(self) -> bool:
        self._stepped = False
        self._scaler.step(self.optimizer)
        self._scaler.update(self._fixed_scale)
        self.optimizer.zero_grad(set_to_none=True)
        return self._stepped

    def state_dict(self) -> dict[str, Any]:
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._scaler.load_state_dict(state)


def build_precision(
    model: nn.Module,
    optimizer: Optimizer,
    device: Device,
    fp16: bool = False,
    opt_level: str = "O1",
    loss_scale: str | float = "dynamic",
) -> FullPrecision:
    """Return the precision that ``--fp16`` and its level mean on ``device``.

    Its ``description`` says in words what runs, also where that is not what was asked for.
    """
    if not fp16 or opt_level == "O0":
        return FullPrecision(model, optimizer)
    if not device.has_fp16:
        precision = FullPrecision(model, optimizer)
        precision.description = "fp32 (--fp16 has no effect on a CPU, where fp32 is faster)"
        return precision
    precision = Autocast(model, optimizer, device, loss_scale)
    if opt_level != "O1":
        precision.description += f" (level O1; {opt_level} needs apex)"
    return precision
