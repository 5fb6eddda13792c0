"""``change_data_ptr``: the C++ module of Ascend's apex, for its Python sources to import."""

from torch import Tensor
from torch_npu import npu_change_data_ptr


def change_data_ptr(dst: Tensor, src: Tensor, index: int) -> None:
    """Have ``dst`` lie in ``src``'s memory from number ``index`` on."""
    npu_change_data_ptr(dst, src, index)
