"""The device a process computes on. No other file asks whether it is an NPU, a GPU or the CPU."""

from __future__ import annotations

import importlib
import math
import os
import resource
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from model.fused.layer import try_kernels
from model.torch_releases import (
    CAN_CAPTURE,
    cpu_capabilities,
    grad_scaler,
    keep_attention_in_half_precision,
)
from tools.cli.errors import UsageError, error_line, first_line
from tools.machine.cann import describe_cann
from tools.machine.host_memory import keep_freed_memory
from tools.machine.step_graphs import CudaRecorder, Recorder

_BACKENDS = {"npu": "hccl", "cuda": "nccl", "cpu": "gloo"}
_AMX = "amx_bf16"
_FAST_BF16 = (_AMX, "avx512_bf16")
# Attention as products made a step 1.7 times as fast at 14 tokens and no faster at 128, where it keeps six
# times as much memory. Between the two nobody has measured.
_MOST_KEYS_ON_AMX = 64
# How much longer torch_npu's watchdog waits than HCCL does: HCCL raises an error, the watchdog aborts the
# process. torch_npu gives HCCL as many seconds where it waits for the device.
_WATCHDOG_SECONDS = 30
_LONGEST_HCCL_TIMEOUT = 17340  # an Ascend910 takes no longer one


@dataclass(frozen=True)
class Device:
    """One device, and the few things in which devices differ.

    ``type`` is ``npu``, ``cuda`` or ``cpu``; ``index`` counts devices of that type on this machine.
    """

    type: str
    index: int = 0

    @property
    def torch_device(self) -> torch.device:
        """What ``Tensor.to`` wants."""
        return torch.device("cpu") if self.type == "cpu" else torch.device(self.type, self.index)

    @property
    def process_group_backend(self) -> str:
        """The collective library of this device: hccl, nccl or gloo."""
        return _BACKENDS[self.type]

    def limit_collectives(self, seconds: float) -> timedelta:
        """Have this device's collectives give up after ``seconds``; return the process group's timeout.

        Call it before the process group is made: HCCL reads its limit, HCCL_EXEC_TIMEOUT, only then. A
        limit that the user has set stays.
        """
        if self.type != "npu":
            return timedelta(seconds=seconds)
        whole = math.ceil(seconds)  # 0 would mean no limit.
        given = os.environ.setdefault("HCCL_EXEC_TIMEOUT", str(min(whole, _LONGEST_HCCL_TIMEOUT)))
        limit = int(given) if given.isdecimal() else 0
        return timedelta(seconds=max(whole, limit) + _WATCHDOG_SECONDS)

    @property
    def has_fp16(self) -> bool:
        """Whether fp16 is faster than fp32 here; on the CPU it is not."""
        return self.type != "cpu"

    @property
    def has_bf16(self) -> bool:
        """Whether this device computes in bf16."""
        return self.type == "cpu" or self._module.is_bf16_supported()

    @property
    def can_compile(self) -> bool:
        """Whether torch.compile makes kernels for this device by itself; an NPU's need torchair."""
        return self.type != "npu"

    @property
    def has_cuda(self) -> bool:
        """Whether this is a device that CUDA graphs and Triton's kernels are for."""
        return self.type == "cuda"

    def why_no_graphs(self) -> str | None:
        """Return why kernels cannot be recorded here and run again without the host; None if they can."""
        if self.type != "cuda":
            return f"{self} has none"
        return (
            None
            if CAN_CAPTURE
            else f"they need torch 2.4 or later, and this is {torch.__version__}"
        )

    def why_no_fused_kernels(self, layer: nn.Module, dtype: torch.dtype) -> str | None:
        """Return why model/fused does not work here, which is tried; None where it does.

        Args:
            layer: of the model, on this device.
            dtype: that its products are in.
        """
        if self.type != "cuda":
            return f"Triton makes no kernels for {self}"
        if not CAN_CAPTURE:
            return f"they need torch 2.4 or later, and this is {torch.__version__}"
        try:
            try_kernels(layer, dtype)
            self.synchronize()
        except Exception as error:
            # Triton has many ways to fail: no compiler, an old GPU, another torch.
            return error_line(error)
        return None

    @property
    def evaluation_tokens(self) -> int:
        """How many tokens, with padding, keep this device busy in one batch of an evaluation.

        0 where a batch of few examples does. On an H100 more gave no speed (docs/benchmarks.md).
        """
        return 8192 if self.type == "cuda" else 0

    @property
    def update_block(self) -> int:
        """How many numbers of each tensor an optimizer updates at a time; 0 = all.

        On a CPU those of fp32 stay in the caches between its operations, and are enough for each of
        these to take far longer than its call.
        """
        return 2**18 if self.type == "cpu" else 0

    def graph_recorder(self) -> Recorder:
        """Return what records them."""
        return CudaRecorder(self._module)

    @property
    def fast_bf16(self) -> str:
        """The units of a CPU that multiply in bf16, by their names in torch; "" where it has none.

        Without them a product in bf16 can take a hundred times as long as in fp32. Named here are those
        that this project was measured with (docs/benchmarks.md).
        """
        if self.type != "cpu":
            return ""
        # An older torch names none; --bf16 is there all the same.
        capabilities = cpu_capabilities()
        return ", ".join(name for name in _FAST_BF16 if capabilities.get(name))

    def grad_scaler(self, init_scale: float) -> Any:
        """Return a loss scaler; the NPU's own also sees overflows that leave no infinity behind."""
        if self.type == "npu":
            return importlib.import_module("torch_npu.npu.amp").GradScaler(init_scale=init_scale)
        return grad_scaler(self.type, init_scale)

    @property
    def apex_joins_tensors(self) -> bool:
        """Whether apex here is Ascend's, which joins the gradients and fuses what it does to them."""
        return self.type == "npu"

    @property
    def _module(self) -> ModuleType:
        return getattr(torch, self.type)

    def activate(self, one_width: bool = False) -> None:
        """Make this the process's current device and set what is best for it.

        Args:
            one_width: whether all batches are of one width.
        """
        if self.type == "cpu":
            return
        self._module.set_device(self.index)
        if self.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = True
            # A graph is recorded on a stream other than the default one. All is done on one stream.
            self._module.set_stream(self._module.Stream())
            return
        if not one_width:  # This keeps batches of changing width from compiling kernels anew.
            self.compile_kernels(False)
        # An Ascend 910A has no fused attention, and torch's own in fp32 takes twice the memory.
        keep_attention_in_half_precision()

    def compile_kernels(self, wanted: bool) -> None:
        """Have an NPU's kernels compiled for each shape that comes, or not."""
        self._module.set_compile_mode(jit_compile=wanted)

    def place(self, model: nn.Module) -> nn.Module:
        """Move ``model`` here, and have it make attention masks of a shape that the device takes.

        What makes masks has the attribute ``mask_every_query`` (model/modeling_albert.py). A torch_npu
        before its 26.1 line hands a mask to the NPU's fused attention as it is, which broadcasts none.
        What attends has the attribute ``most_keys_as_products``: with AMX torch's attention takes 30 % of
        a step in bf16 for its backward pass, and two products next to nothing (docs/benchmarks.md).
        """
        for module in model.modules():
            if hasattr(module, "mask_every_query"):
                module.mask_every_query = self.type == "npu"
            if hasattr(module, "most_keys_as_products"):
                module.most_keys_as_products = _MOST_KEYS_ON_AMX if _AMX in self.fast_bf16 else 0
        return model.to(self.torch_device)

    def count(self) -> int:
        """Return how many devices of this type the machine has."""
        return 1 if self.type == "cpu" else self._module.device_count()

    @property
    def is_shared(self) -> bool:
        """Whether several processes compute on it, on the CPU's cores; of others each has its own."""
        return self.type == "cpu"

    def keep_memory(self) -> None:
        """Have freed memory stay with the process, as the allocators of accelerators do by themselves."""
        if self.type == "cpu":
            keep_freed_memory()

    def synchronize(self) -> None:
        """Wait until the device has done all it was asked to."""
        if self.type != "cpu":
            self._module.synchronize()

    def reset_peak_memory(self) -> None:
        """Start to measure :meth:`peak_memory` anew, where the device can."""
        if self.type != "cpu":
            self._module.reset_peak_memory_stats(self.index)

    def peak_memory(self) -> int:
        """Return the most bytes that tensors took on the device; on the CPU, that the process took."""
        if self.type != "cpu":
            return self._module.max_memory_allocated(self.index)
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def __str__(self) -> str:
        if self.type == "cpu":
            return f"cpu ({torch.get_num_threads()} threads)"
        return f"{self.type}:{self.index} ({self._module.get_device_name(self.index)})"


def select_device(
    choice: str = "auto", index: int = 0, no_cuda: bool = False, processes: int = 1
) -> Device:
    """Return the device that ``choice`` stands for: one of DEVICES in process_flags.py.

    ``auto`` takes an NPU if there is one, else a GPU (unless ``no_cuda``), else the CPU.

    Args:
        processes: how many on this machine want a device each.

    Raises:
        UsageError: the device is not there; says why.
    """
    kind = _kind_of(choice, no_cuda)
    if kind == "cpu":
        return Device("cpu")
    count = Device(kind).count()
    if processes > count:
        raise UsageError(
            f"{processes} processes want a device each, but this machine has {count} of type {kind}: "
            f"start {count} processes (--nproc={count}), or use --device cpu"
        )
    if not 0 <= index < count:
        raise UsageError(f"--device_id {index}: this machine has {kind} devices 0 to {count - 1}")
    return Device(kind, index)


def _kind_of(choice: str, no_cuda: bool) -> str:
    """Return which type of device ``choice`` stands for on this machine."""
    if choice == "cuda" and no_cuda:
        raise UsageError("--device cuda and --no_cuda contradict each other")
    if choice == "auto":
        hardware = _npu_hardware()
        if hardware is None:
            return "cuda" if torch.cuda.is_available() and not no_cuda else "cpu"
        problem = _npu_problem()
        if problem:  # To compute on the CPU instead would take a day and say nothing.
            raise UsageError(
                f"--device auto: there is an NPU ({hardware}), but {problem}; --device cpu does without"
            )
        return "npu"
    problem = None
    if choice == "npu":
        problem = _npu_problem()
    elif choice == "cuda" and not torch.cuda.is_available():
        problem = f"torch {torch.__version__} sees no GPU"
    if problem:
        raise UsageError(f"--device {choice}: {problem}; --device cpu works everywhere")
    return choice


def _npu_hardware() -> Path | None:
    """Return the first NPU's device file, if there is an NPU."""
    return next(iter(sorted(Path("/dev").glob("davinci[0-9]*"))), None)


def _npu_problem() -> str | None:
    """Return why there is no NPU to use, or None; imports torch_npu."""
    try:
        importlib.import_module("torch_npu")
        if torch.npu.is_available():
            return None
    except ModuleNotFoundError as error:
        if error.name == "torch_npu":
            return f"torch_npu is not installed in {sys.executable} (docs/npu.md says how)"
        return f"torch_npu does not load: {error}"
    # Whatever is wrong with CANN or the driver comes as one of these: a library that is missing, an error
    # of its own, a version that does not fit.
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return f"torch_npu does not load: {first_line(error)}; {describe_cann()}"
    return f"torch_npu sees no NPU: `npu-smi info` shows what the driver sees; {describe_cann()}"
