"""``torch.autocast("npu")``: which operations run in the lower precision, and which in fp32.

torch registers these casts for the devices it knows, and leaves those of PrivateUse1 to the device's
package. The lists are torch's for CUDA ("CUDA Ops that can autocast to float16 / float32" in its
documentation), which torch_npu follows; operations without a kernel for ``npu`` are left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map_only

from torch_npu._device import release

_KEYS = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

_LOWER = (
    "linear", "matmul", "mm", "mv", "bmm", "addmm", "addmv", "addbmm", "baddbmm",
    "scaled_dot_product_attention",
)  # fmt: skip
_FP32 = (
    "layer_norm", "native_layer_norm", "softmax.int", "log_softmax.int", "nll_loss", "mse_loss",
    "l1_loss", "smooth_l1_loss", "cosine_embedding_loss", "binary_cross_entropy_with_logits",
    "exp", "expm1", "log", "log1p", "log2", "log10", "pow.Tensor_Scalar", "pow.Tensor_Tensor",
    "pow.Scalar", "reciprocal", "rsqrt", "acos", "asin", "cosh", "sinh", "tan", "erfinv",
    "softplus", "norm.Scalar", "norm.ScalarOpt_dim", "dist", "cdist", "renorm",
    "sum", "sum.dim_IntList", "prod", "prod.dim_int", "cumsum", "cumprod",
)  # fmt: skip
_WIDEST = ("addcdiv", "addcmul", "atan2", "cat", "cross", "dot", "index_put", "stack", "tensordot")

_libraries: list[torch.library.Library] = []


def _is_eligible(tensor: Tensor) -> bool:
    return (
        tensor.is_floating_point() and tensor.device.type == "npu" and tensor.dtype != torch.float64
    )


def _widest(tensors: list[Tensor]) -> torch.dtype:
    dtypes = [tensor.dtype for tensor in tensors if _is_eligible(tensor)]
    return functools.reduce(torch.promote_types, dtypes, release.get_autocast_dtype())


def _casting(op: Callable, choose: Callable[[list[Tensor]], torch.dtype]) -> Callable:
    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(_KEYS):
            tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
            dtype = choose(tensors)
            args, kwargs = tree_map_only(
                Tensor, lambda t: t.to(dtype) if _is_eligible(t) else t, (args, kwargs)
            )
            return op(*args, **kwargs)

    return run


def register() -> None:
    """Register the casts, once in a process."""
    release.let_autocast_through()
    library = torch.library.Library("aten", "IMPL")
    _libraries.append(library)
    policies = (
        (_LOWER, lambda _: release.get_autocast_dtype()),
        (_FP32, lambda _: torch.float32),
        (_WIDEST, _widest),
    )
    for names, choose in policies:
        for name in names:
            packet, _, overload = name.partition(".")
            op = getattr(getattr(torch.ops.aten, packet), overload or "default")
            library.impl(name, _casting(op, choose), "AutocastPrivateUse1")
