"""Mixed precision by apex (NVIDIA's, or Ascend's build of it), as the references use it."""

from __future__ import annotations

import copy
import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tools.machine.device import Device
from tools.precision.base import LEAST_SCALE, ScaledPrecision
from tools.precision.gradients import clip_gradients


def find_amp() -> ModuleType | None:
    """Return ``apex.amp``, or None where there is none (another project has apex's name on PyPI).

    Raises:
        ImportError: it is there and does not load.
    """
    apex = importlib.util.find_spec("apex")
    folders = apex.submodule_search_locations if apex else None
    if not any(Path(folder, "amp").is_dir() for folder in folders or ()):
        return None
    return importlib.import_module("apex.amp")


class ApexAmp(ScaledPrecision):
    """One of apex's levels O0 to O3.

    apex changes model and optimizer in place. At O1 it patches torch's functions for good; here the
    patches act during the forward pass of training only, so that evaluation stays in fp32.
    """

    can_compile = False

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        device: Device,
        opt_level: str,
        loss_scale: str | float,
    ) -> None:
        self._amp = find_amp()
        self._fp32_copy = copy.deepcopy(model) if opt_level in ("O2", "O3") else None
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        order = [[names[id(p)] for p in group["params"]] for group in optimizer.param_groups]
        # Ascend's apex refuses to join gradients at the other levels.
        joins = device.apex_joins_tensors and opt_level in ("O1", "O2")
        model, optimizer = self._amp.initialize(
            model,
            optimizer,
            opt_level=opt_level,
            loss_scale=loss_scale,
            min_loss_scale=LEAST_SCALE,
            verbosity=0,
            **({"combine_grad": True} if joins else {}),
        )
        super().__init__(model, optimizer)
        optimizer.zero_grad()  # apex makes the master copies with the first call of this.
        self.description = f"apex AMP at level {opt_level}, loss scale {loss_scale}"
        # This is what the optimizer updates now, by the name of the weight that it was given for.
        self._updated = {
            name: parameter
            for group, group_names in zip(optimizer.param_groups, order, strict=True)
            for name, parameter in zip(group_names, group["params"], strict=True)
        }
        if self._fp32_copy is not None:
            self._restore_masters()
        self._scaled_step = ExitStack()  # It is open from a step's first backward pass to its last.
        self._step_is_open = False
        self._casts = opt_level == "O1"  # At the other levels apex has no casts to stop.
        self._no_casts = ExitStack()
        self._stop_casts()

    def _stop_casts(self) -> None:
        """Have apex's patches do nothing until the next forward pass."""
        if self._casts:
            self._no_casts.close()
            self._no_casts.enter_context(self._amp.disable_casts())

    @torch.no_grad()
    def _restore_masters(self) -> None:
        """Give the master copies the weights' last bits, which apex rounds to fp16 first."""
        for name, parameter in self._fp32_copy.named_parameters():
            self._updated[name].copy_(parameter)

    @contextmanager
    def forward(self) -> Iterator[None]:
        self._no_casts.close()
        try:
            yield
        finally:
            self._stop_casts()

    def backward(self, loss: Tensor, last: bool = True) -> None:
        # One scope of apex's for all the losses of a step: an NPU that saturates leaves an overflow in a
        # flag only, which apex clears at the beginning of a scope and reads at its end.
        if not self._step_is_open:
            scope = self._amp.scale_loss(loss, self.optimizer)
            scaled = self._scaled_step.enter_context(scope)
        else:
            scaled = loss.float() * self.loss_scale()
        scaled.backward()
        self._step_is_open = not last
        if last:
            self._scaled_step.close()

    def step(self, max_norm: float = 0.0) -> bool:
        norm = clip_gradients(self._amp.master_params(self.optimizer), max_norm)
        self.optimizer.step()  # apex makes it do nothing after an overflow.
        self._stop_casts()  # apex stops them for the step itself, and starts them after it.
        stepped = self._finish_step()
        # An NPU that saturates in an overflow leaves numbers that are finite, and no norm.
        self.grad_norm = norm if stepped else None
        return stepped

    @torch.no_grad()
    def fp32_model(self) -> nn.Module:
        if self._fp32_copy is None:
            return self.model
        for name, parameter in self._fp32_copy.named_parameters():
            parameter.copy_(self._updated[name])
        return self._fp32_copy

    def loss_scale(self) -> float:
        return float(self._amp.state_dict()["loss_scaler0"]["loss_scale"])

    def state_dict(self) -> dict[str, Any]:
        return dict(self._amp.state_dict()) | {"skipped_steps": self.skipped_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        state = dict(state)
        self.skipped_steps = state.pop("skipped_steps")
        self._amp.load_state_dict(state)
