"""A stand-in for CUDA graphs on the CPU: it records operations with their tensors, and runs them again.

As with a graph, a replay reads and writes the memory that the recorded operations had, numbers of the
host are those of the recording, and who reads a number from the device while it records gets an error.
Unlike a graph it runs what it records.
"""

import itertools
from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from tools.machine.device import Device

LACK = "CUDA out of memory. Tried to allocate 2.00 GiB."


class _Recording(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.name() == "aten::_local_scalar_dense":
            raise RuntimeError("a number was read from the device while a graph was recorded")
        result = operation(*args, **(kwargs or {}))
        self.calls.append((operation, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self):
        for operation, args, kwargs, recorded in self.calls:
            result = operation(*args, **kwargs)
            for old, new in zip(
                *(tree_flatten(tree)[0] for tree in (recorded, result)), strict=True
            ):
                # Views and what changed in place are where they were.
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Tape:
    """Records as :class:`tools.machine.step_graphs.CudaRecorder` does."""

    def __call__(self, piece):
        with _Recording() as recording:
            piece()
        return recording.replay


@dataclass(frozen=True)
class TapeDevice(Device):
    """The CPU as a device that has fp16 and graphs."""

    has_fp16 = True
    has_cuda = True

    def why_no_graphs(self):
        return None

    def graph_recorder(self):
        return Tape()


class _Lacking(TorchDispatchMode):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.name().startswith(self.name):
            raise torch.OutOfMemoryError(LACK)
        return operation(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Crowded(TapeDevice):
    """A device whose memory runs out at one of the recordings, or in it, before an operation."""

    fails_at: int = 0
    operation: str = ""

    def graph_recorder(self):
        numbers, tape = itertools.count(), Tape()

        def record(piece):
            if next(numbers) != self.fails_at:
                return tape(piece)
            if not self.operation:
                raise torch.OutOfMemoryError(LACK)
            with _Lacking(self.operation):
                return tape(piece)

        return record
