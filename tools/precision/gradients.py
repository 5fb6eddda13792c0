"""Gradients: their norm, and memory in which they stay from step to step, as a CUDA graph wants it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import torch
from torch import Tensor, nn

_ALIGNED = (
    64  # Each begins at a multiple of so many numbers, as one that is allocated by itself does.
)


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale gradients so that their joint norm is at most ``max_norm``; 0 leaves them as they are.

    Returns:
        their norm before that, a scalar on the device.
    """
    parameters = list(parameters)
    if max_norm > 0:
        return nn.utils.clip_grad_norm_(parameters, max_norm)
    gradients = [p.grad.float() for p in parameters if p.grad is not None]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


class FlatGradients:
    """The gradients of some parameters as parts of one tensor for each of their dtypes.

    Args:
        parameters: those that want a gradient get one of zeros here.

    Attributes:
        buffers: [N] each, the gradients and what lies between them, which is 0.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.buffers: list[Tensor] = []
        wanted = sorted((p for p in parameters if p.requires_grad), key=_dtype)
        for _, group in groupby(wanted, key=_dtype):
            self.buffers.append(_join(list(group)))

    def zero(self) -> None:
        """Begin anew."""
        for buffer in self.buffers:
            buffer.zero_()


def _dtype(parameter: nn.Parameter) -> str:
    return str(parameter.dtype)


def _join(parameters: list[nn.Parameter]) -> Tensor:
    sizes = [-(-parameter.numel() // _ALIGNED) * _ALIGNED for parameter in parameters]
    buffer = torch.zeros(sum(sizes), dtype=parameters[0].dtype, device=parameters[0].device)
    for parameter, part in zip(parameters, buffer.split(sizes), strict=True):
        parameter.grad = part[: parameter.numel()].view_as(parameter)
    return buffer
