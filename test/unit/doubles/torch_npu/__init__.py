"""A double of torch_npu, for machines without an NPU: ``import torch_npu`` gives torch a device ``npu``.

Names, signatures and behaviour are those of the release that goes with this torch, as far as this project
needs them; test_torch_npu_contract.py compares them with the real package. What computes is the CPU.
"""

from torch_npu import _attention, _autocast, _device, _hccl, _memory, npu
from torch_npu._memory import (
    get_npu_format,
    get_storage_size,
    npu_change_data_ptr,
    npu_format_cast,
)
from torch_npu._overflow import npu_clear_float_status, npu_get_float_status

__all__ = [
    "get_npu_format",
    "get_storage_size",
    "npu",
    "npu_change_data_ptr",
    "npu_clear_float_status",
    "npu_format_cast",
    "npu_get_float_status",
]

_device.register(npu)
_attention.register()
_autocast.register()
_memory.register()
_hccl.register()
