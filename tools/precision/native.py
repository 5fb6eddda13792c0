"""Mixed precision by torch itself: apex's levels O1, O2 and O3 without apex, and O2 in bf16."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tools.machine.device import Device
from tools.precision.base import LEAST_SCALE, Precision, ScaledPrecision

# A dynamic loss scale starts here and is halved after each step that overflows.
_FIRST_SCALE = 2.0**16


class _LossScaling(ScaledPrecision):
    """A scaled loss, so that small gradients do not vanish in fp16; steps that overflow are skipped.

    Args:
        device: where the model is.
        loss_scale: a fixed factor, or ``dynamic``: as large as goes without overflow.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, device: Device, loss_scale: str | float
    ) -> None:
        super().__init__(model, optimizer, device.torch_device)
        self._fixed_scale = None if loss_scale == "dynamic" else float(loss_scale)
        self._scaler = device.grad_scaler(self._fixed_scale or _FIRST_SCALE)
        self._device_type = device.torch_device.type
        self._one = torch.ones((), device=device.torch_device)

    def backward(self, loss: Tensor, last: bool = True) -> None:
        self._scaler.scale(loss).backward()

    def step(self, max_norm: float = 0.0) -> bool | Tensor:
        try:
            self._scaler.unscale_(self.optimizer)
            self._clip(max_norm)
            self._scaler.step(self.optimizer)
            self._scaler.update(self._fixed_scale)
        except (RuntimeError, MemoryError):
            # A step whose recording as a graph finds no memory is taken anew.
            self._scaler._per_optimizer_states.clear()
            raise
        updated = self._finish_step()
        if self._fixed_scale is None:
            self._keep_least_scale(updated)
        return updated

    def _keep_least_scale(self, updated: bool | Tensor) -> None:
        """See that the scale does not fall to 0, as far as the scaler itself would halve it."""
        if isinstance(updated, Tensor):
            scale = self._scaler.scale(self._one)
            self._scaler.update(scale.clamp(min=LEAST_SCALE))
        elif not updated and self._scaler.get_scale() < LEAST_SCALE:
            self._scaler.update(LEAST_SCALE)

    def loss_scale(self) -> float:
        return self._scaler.get_scale()

    def state_dict(self) -> dict[str, Any]:
        return self._scaler.state_dict() | {"skipped_steps": self.skipped_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.skipped_steps = state["skipped_steps"]
        self._scaler.load_state_dict(state)


class Fp16Autocast(_LossScaling):
    """O1: fp32 weights, fp16 arithmetic where torch deems it safe."""

    description = "fp16 autocast and loss scaling (O1, torch's own)"

    def forward(self) -> AbstractContextManager:
        return torch.autocast(self._device_type, dtype=torch.float16)


class _HalfModel(Precision):
    """A network whose weights are in half precision; how its loss is scaled is another class's."""

    _dtype = torch.float16

    def __init__(self, model: nn.Module, *arguments: Any) -> None:
        self._fp32_copy = copy.deepcopy(model)
        super().__init__(model, *arguments)
        model.to(self._dtype)

    @torch.no_grad()
    def fp32_model(self) -> nn.Module:
        weights = self._weights()
        for name, parameter in self._fp32_copy.named_parameters():
            parameter.copy_(weights[name])
        return self._fp32_copy

    def _weights(self) -> dict[str, Tensor]:
        return dict(self.model.named_parameters())


class _WithMasters(_HalfModel):
    """One of them whose optimizer updates fp32 master copies of the weights in their place."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, *arguments: Any) -> None:
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._masters: dict[str, Tensor] = {}
        for group in optimizer.param_groups:
            for index, parameter in enumerate(group["params"]):
                master = parameter.detach().clone().requires_grad_()
                self._masters[names[id(parameter)]] = group["params"][index] = master
        super().__init__(model, optimizer, *arguments)
        self._halves = [model.get_parameter(name) for name in self._masters]

    def _weights(self) -> dict[str, Tensor]:
        return self._masters

    def step(self, max_norm: float = 0.0) -> bool | Tensor:
        masters = list(self._masters.values())
        for half, master in zip(self._halves, masters, strict=True):
            if half.grad is not None:
                master.grad = half.grad.float()
        stepped = super().step(max_norm)
        if stepped is not False:
            with torch.no_grad():
                torch._foreach_copy_(self._halves, masters)
        return stepped

    def drop_gradients(self) -> None:
        self.optimizer.zero_grad()
        if self._kept is None:
            self.model.zero_grad()
        else:
            self._kept.zero()


class MasterWeights(_WithMasters, _LossScaling):
    """O2: fp16 weights in the network, fp32 master copies of them in the optimizer."""

    description = "fp16 weights with fp32 master copies (O2, torch's own)"


class Bf16MasterWeights(_WithMasters):
    """The same in bf16, whose range is fp32's: no scaled loss, and no step that overflows."""

    description = "bf16 weights with fp32 master copies (O2)"
    _dtype = torch.bfloat16


class HalfWeights(_HalfModel, _LossScaling):
    """O3: fp16 throughout. Fast, and rarely accurate: to see how fast it could be."""

    description = "fp16 throughout (O3, torch's own)"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        unscale = self._scaler._unscale_grads_
        # The scaler refuses fp16 gradients, of which there are no others here.
        self._scaler._unscale_grads_ = lambda *parts: unscale(*parts[:-1], True)


LEVELS = {"O1": Fp16Autocast, "O2": MasterWeights, "O3": HalfWeights}
