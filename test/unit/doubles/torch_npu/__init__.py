"""A double of torch_npu, for machines without an NPU: ``import torch_npu`` gives torch a device ``npu``.

Names, signatures and behaviour are those of the release in requirements-npu.txt, as far as this project
needs them; test_torch_npu_contract.py compares them with the real package. What computes is the CPU.
"""

from torch_npu import _autocast, _device, _hccl, npu, optim

__all__ = ["npu", "optim"]

_device.register(npu)
_autocast.register()
_hccl.register()
