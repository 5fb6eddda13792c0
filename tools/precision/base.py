"""What every numeric precision does, and the two that need no scaled loss: fp32 and bf16."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tools.machine.device import Device
from tools.precision.gradients import FlatGradients, clip_gradients

# No dynamic loss scale falls below this, fp16's least normal number: the loss itself, scaled so, would
# have no digits left.
LEAST_SCALE = 2.0**-14
# So many steps may overflow one after the other. A run in good order skips some ten or twenty at first.
MOST_SKIPS = 50


class Precision:
    """How a training step computes: what the forward pass, the backward pass and the update are.

    Where a precision keeps the network's weights in another type, it casts ``model`` in place and gives
    ``optimizer`` fp32 copies to update. So it is made before the network is wrapped for several processes.

    Args:
        model: the network, in fp32.
        optimizer: over the network's parameters.

    Attributes:
        description: what runs, in words.
        can_compile: whether torch.compile may have the network.
        skipped_steps: how many steps changed no weight, after an overflow.
        grad_norm: the gradients' norm in the last step, before they were clipped; a scalar on the
            device, not finite after an overflow. None where it is not known.
    """

    description: str
    can_compile = True

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self.model, self.optimizer = model, optimizer
        self.skipped_steps = 0
        self.grad_norm: Tensor | None = None
        self._kept: FlatGradients | None = None

    def forward(self) -> AbstractContextManager:
        """Return the context in which the network is to be called."""
        return nullcontext()

    def backward(self, loss: Tensor, last: bool = True) -> None:
        """Add the gradients of ``loss`` (a scalar) to those that are there.

        ``last`` is whether this is the last of the losses that make up a step.
        """
        loss.backward()

    def step(self, max_norm: float = 0.0) -> bool | Tensor:
        """Update the weights and drop the gradients; returns whether there was an update.

        That is a scalar on the device where the host is not told.

        Args:
            max_norm: the gradients are scaled so that their joint norm is at most this; 0 = not at all.

        Raises:
            ValueError: too many steps in a row overflowed.
        """
        self._clip(max_norm)
        self.optimizer.step()
        self.drop_gradients()
        return True

    def keep_gradients(self) -> list[Tensor]:
        """Have the network's gradients stay in the same memory from step to step; return that."""
        self._kept = FlatGradients(self.model.parameters())
        return self._kept.buffers

    def drop_gradients(self) -> None:
        """Forget the gradients that were added up since the last step."""
        if self._kept is None:
            self.optimizer.zero_grad()
        else:
            self._kept.zero()

    def check_skips(self) -> None:
        """Look whether too many steps in a row overflowed.

        Raises:
            ValueError: they did.
        """

    def _clip(self, max_norm: float) -> None:
        parameters = (p for group in self.optimizer.param_groups for p in group["params"])
        self.grad_norm = clip_gradients(parameters, max_norm)

    def fp32_model(self) -> nn.Module:
        """Return the network with the fp32 weights that training updates: to be scored and saved."""
        return self.model

    def loss_scale(self) -> float | None:
        """Return the factor of the loss, read from the device; None where there is none."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs to go on as if never stopped."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""


class Fp32(Precision):
    """fp32 throughout."""

    description = "fp32"


class ScaledPrecision(Precision):
    """A precision that keeps its optimizer from stepping after an overflow, without saying so.

    An optimizer that leaves such a step out by itself, as torch's GradScaler may ask it to, decides so on
    the device: there the skipped steps are counted, too.

    Args:
        device: where the model is; None for a precision whose optimizers do not decide by themselves.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, device: torch.device | None = None
    ) -> None:
        decides = device is not None and getattr(optimizer, "_step_supports_amp_scaling", False)
        self._skips = SkippedSteps(device if decides else None)
        self._stepped: bool | Tensor = False
        super().__init__(model, optimizer)
        # This runs only where the optimizer stepped, or was to see itself whether it should.
        optimizer.register_step_post_hook(self._note_step)

    @property
    def skipped_steps(self) -> int:
        """How many steps changed no weight, read from the device where they are counted there."""
        return int(self._skips.all)

    @skipped_steps.setter
    def skipped_steps(self, count: int) -> None:
        self._skips.set(count)

    def _note_step(self, optimizer: Optimizer, *_: Any) -> None:
        found_inf = getattr(optimizer, "found_inf", None)
        self._stepped = True if found_inf is None else found_inf == 0

    def _finish_step(self) -> bool | Tensor:
        """Drop the gradients, count a skipped step, and return whether there was an update.

        Raises:
            ValueError: there was none for too long, if the host knows.
        """
        stepped, self._stepped = self._stepped, False
        self.drop_gradients()
        self._skips.count(stepped)
        if isinstance(stepped, bool):
            self.check_skips()
        return stepped

    def check_skips(self) -> None:
        if self._skips.in_a_row >= MOST_SKIPS:
            raise ValueError(
                f"{MOST_SKIPS} steps in a row overflowed in fp16, down to a loss scale of "
                f"{self.loss_scale():g}, and changed no weight: the training diverged, or fp16 cannot "
                "hold this model's gradients: try a lower --learning_rate, --loss_scale dynamic, or "
                "--bf16 in place of --fp16"
            )


class SkippedSteps:
    """Counts the steps that changed no weight.

    Args:
        device: where the counts are; None for the host.

    Attributes:
        all: of the whole training.
        in_a_row: up to now; once they are :data:`MOST_SKIPS`, they stay that many or more.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.all: int | Tensor = 0
        self.in_a_row: int | Tensor = 0
        if device is not None:
            self.all, self.in_a_row = torch.zeros(2, dtype=torch.int64, device=device).unbind()

    def set(self, count: int) -> None:
        """Go on from ``count`` skipped steps."""
        self.all *= 0
        self.all += count

    def count(self, stepped: bool | Tensor) -> None:
        """Count a step, if it did not update the weights. Tensors change in place, in a graph, too."""
        skipped = stepped ^ True
        self.all += skipped
        self.in_a_row += 1
        self.in_a_row *= skipped | (self.in_a_row > MOST_SKIPS)


class Bf16Autocast(Precision):
    """fp32 weights, bf16 arithmetic where torch deems it safe."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, device: Device) -> None:
        super().__init__(model, optimizer)
        self.description = "bf16 autocast"
        self._device = device

    def forward(self) -> AbstractContextManager:
        return bf16_autocast(self._device)


def bf16_autocast(device: Device) -> AbstractContextManager:
    """Return the context in which operations are cast to bf16 where torch deems that safe."""
    return torch.autocast(device.torch_device.type, dtype=torch.bfloat16)
