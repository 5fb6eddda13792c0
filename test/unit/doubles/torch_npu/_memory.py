"""What torch_npu's C++ does to the memory behind a tensor; all memory here is in the plain format ND."""

from __future__ import annotations

import torch
from torch import Tensor

from torch_npu import _device

_ND = 2  # aclFormat ACL_FORMAT_ND in CANN's headers


def get_npu_format(self: Tensor) -> int:
    """Return the format of a tensor's memory."""
    return _ND


def npu_format_cast(self: Tensor, acl_format: int) -> Tensor:
    """Return the tensor in another format: there is one only."""
    return self


def get_storage_size(self: Tensor) -> int:
    """Return how many numbers the memory of a tensor holds, which is its own alone."""
    return self.numel()


def npu_change_data_ptr(dst: Tensor, src: Tensor, index: int) -> None:
    """Have ``dst`` lie in ``src``'s memory from number ``index`` on; what it held is not copied."""
    _device.change_memory(dst, src, index)


def register() -> None:
    """Have the host's memory be pinned as it is: what is called an NPU's lies there, too."""
    torch.Tensor.pin_memory = lambda self, device=None: self
