"""The process-group backend ``hccl``: gloo's collectives on the memory of NPU tensors, and of no others.

The contract is `torch.distributed.Backend.register_backend`, which torch_npu calls with the same
arguments. HCCL gives up after HCCL_EXEC_TIMEOUT seconds (CANN's default: 1836), torch_npu's watchdog
after torch's own timeout; gloo's is the shorter of the two. What happens when a peer is gone is gloo's,
too: the others raise.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from torch_npu import _chip, _device


def _lend(value: Any) -> Any:
    """Return the CPU tensors over the same memory; refuse tensors of other devices, as hccl does."""
    if isinstance(value, (list, tuple)):
        return [_lend(item) for item in value]
    if value.device.type != "npu":
        raise RuntimeError(f"No backend type associated with device type {value.device.type}")
    if value.device.index != _device.index_of():
        raise RuntimeError(
            f"hccl: a tensor is on {value.device}, but the process's device is npu:{_device.index_of()}"
        )
    return _device.to_cpu_memory(value)


# torch 2.1 lets go of the Python half of a work that only DistributedDataParallel still has.
_recent: deque[dist.Work] = deque(maxlen=64)


class _Work(dist.Work):
    """gloo's work with the NPU tensors as its result: DistributedDataParallel takes it from there."""

    def __init__(self, work: dist.Work, results: Any) -> None:
        super().__init__()
        self._work, self._results = work, results
        _recent.append(self)

    def wait(self, timeout: timedelta = timedelta(0)) -> bool:
        """Wait for the end; raise what the collective raised."""
        return self._work.wait(timeout)

    def get_future(self) -> torch.futures.Future:
        """Return what will have the result."""

        def take(future: torch.futures.Future) -> Any:
            future.value()  # raises what the collective raised
            return self._results

        return self._work.get_future().then(take)


class ProcessGroupHCCL(dist.ProcessGroup):
    """A process group over gloo that takes NPU tensors only."""

    def __init__(self, options: Any) -> None:
        super().__init__(options.group_rank, options.group_size)
        seconds = int(os.environ.get("HCCL_EXEC_TIMEOUT", 1836)) or math.inf
        timeout = timedelta(seconds=min(seconds, options.timeout.total_seconds()))
        self._gloo = dist.ProcessGroupGloo(
            options.store, options.group_rank, options.group_size, timeout
        )

    def getBackendName(self) -> str:  # noqa: N802 (torch's name)
        """Return ``hccl``."""
        return "hccl"

    def broadcast(self, tensors: list[Tensor], opts: Any) -> dist.Work:
        """Give every process what one has."""
        return _Work(self._gloo.broadcast(_lend(tensors), opts), tensors)

    def allreduce(self, tensors: list[Tensor], opts: Any) -> dist.Work:
        """Add up, or reduce otherwise, in place."""
        if _chip.is_planted("hang") and self.rank() == 1:
            time.sleep(3600)
        return _Work(self._gloo.allreduce(_lend(tensors), opts), tensors)

    def reduce(self, tensors: list[Tensor], opts: Any) -> dist.Work:
        """Add up in one process."""
        return _Work(self._gloo.reduce(_lend(tensors), opts), tensors)

    def allgather(
        self, outputs: list[list[Tensor]], inputs: list[Tensor], *options: Any
    ) -> dist.Work:
        """Give every process a list of what each has; torch 2.1 leaves the options out."""
        return _Work(self._gloo.allgather(_lend(outputs), _lend(inputs), *options), outputs)

    def _allgather_base(self, output: Tensor, source: Tensor, *options: Any) -> dist.Work:
        """Give every process one tensor of what each has."""
        parts = list(_lend(output).chunk(self.size()))  # gloo of torch 2.1 knows lists only
        return _Work(self._gloo.allgather([parts], [_lend(source)], *options), [output])

    all_gather_single = _allgather_base  # its name for torch.distributed.all_gather_into_tensor

    def reduce_scatter(
        self, outputs: list[Tensor], inputs: list[list[Tensor]], opts: Any
    ) -> dist.Work:
        """Give each process its part of the sum."""
        return _Work(self._gloo.reduce_scatter(_lend(outputs), _lend(inputs), opts), outputs)

    def barrier(self, opts: Any) -> dist.Work:
        """Wait for all."""
        return self._gloo.barrier(opts)


def register() -> None:
    """Make the backend known by its name, once in a process."""
    dist.Backend.register_backend(
        "hccl",
        lambda options, _: ProcessGroupHCCL(options),
        extended_api=True,
        devices=["npu"],
    )
