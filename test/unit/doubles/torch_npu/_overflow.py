"""What a result too large leaves behind: infinity; or, on some chips, the largest number and a flag.

On such a chip nothing but the flag tells that an overflow happened (torch_npu's ``is_support_inf_nan``).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from torch_npu import _chip

_flag = [False]
_libraries: list[torch.library.Library] = []


def flagged() -> bool:
    """Return whether anything overflowed since :func:`clear_flag`."""
    return _flag[0]


def clear_flag() -> None:
    """Forget what overflowed."""
    _flag[0] = False


def _is_finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    return not isinstance(value, float) or math.isfinite(value)


def watches(op: torch._ops.OpOverload, *arguments: Any) -> bool:
    """Return whether an operation can overflow: an infinity that is given, or left in memory, is none."""
    if _chip.has(_chip.INFINITY) or "empty" in op.name():
        return False
    return all(map(_is_finite, tree_flatten(arguments)[0]))


def saturate(result: Any) -> None:
    """Put the largest number in the place of infinities that an operation made, and set the flag."""
    for tensor in tree_flatten(result)[0]:
        if isinstance(tensor, Tensor) and not _is_finite(tensor):
            _flag[0] = True
            tensor.nan_to_num_(nan=0.0)


def npu_get_float_status(self: Tensor) -> Tensor:
    """Return eight numbers, the first of which is not 0 where the flag is set."""
    return torch.full((8,), float(flagged()), device=self.device)


def npu_clear_float_status(self: Tensor) -> Tensor:
    """Clear the flag; return eight zeros."""
    clear_flag()
    return torch.zeros(8, device=self.device)


def _check_and_unscale(gradients: list[Tensor], found: Tensor, inverse: Tensor) -> None:
    """Scale gradients in place; note in ``found`` whether an overflow went before."""
    if not _chip.has(_chip.INFINITY):
        found.fill_(max(found.item(), float(flagged())))
    elif not all(map(_is_finite, gradients)):
        found.fill_(1.0)
    for gradient in gradients:
        gradient.mul_(inverse)


def register() -> None:
    """Register the operation with which loss scalers look for an overflow, once in a process."""
    library = torch.library.Library("aten", "IMPL")
    name = "_amp_foreach_non_finite_check_and_unscale_"
    library.impl(name, _check_and_unscale, "PrivateUse1")
    _libraries.append(library)
