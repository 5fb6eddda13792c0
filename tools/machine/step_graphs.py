"""Pieces of a training step that the device runs by itself, each recorded once as a graph.

A graph is the kernels of a piece with the memory that they read and write: a replay launches all of them
at once, and so the device does not wait for the host, which needs longer to name a small kernel than the
device needs to run it. Nothing that the host computes in a piece is computed again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from types import ModuleType
from typing import Protocol

import torch
from torch import Tensor

Piece = Callable[[], None]
Batch = dict[str, Tensor]


class Recorder(Protocol):
    """What records a piece."""

    def __call__(self, piece: Piece) -> Piece:
        """Record ``piece``, run it once, and return what runs it again."""


class CudaRecorder:
    """Records CUDA graphs that share one pool of memory; none runs beside another.

    The current stream must be none of the default ones, which cannot be captured.

    Args:
        cuda: the module of torch that has them.
    """

    def __init__(self, cuda: ModuleType) -> None:
        self._cuda, self._pool = cuda, cuda.graph_pool_handle()

    def __call__(self, piece: Piece) -> Piece:
        graph = self._cuda.CUDAGraph()
        self._cuda.synchronize()
        free, _ = self._cuda.mem_get_info()
        if (
            free < self._cuda.memory_reserved()
        ):  # What a piece took when it ran may lie there unused.
            self._cuda.empty_cache()
        # Threads of other libraries may well ask the driver for something meanwhile.
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        try:
            piece()
        except BaseException:
            with suppress(RuntimeError):  # What a failed recording says is less than why it failed.
                graph.capture_end()
            raise
        graph.capture_end()
        graph.replay()
        return graph.replay


class StepGraphs:
    """Runs pieces: as they are the first time, which starts what they need, and from the second as graphs.

    Args:
        record: makes the graphs.

    Attributes:
        seconds: spent on recording.
    """

    def __init__(self, record: Recorder) -> None:
        self._record = record
        self._seen: set[Hashable] = set()
        self._replays: dict[Hashable, Piece] = {}
        self.seconds = 0.0

    @property
    def count(self) -> int:
        """How many graphs there are."""
        return len(self._replays)

    def run(self, key: Hashable, piece: Piece) -> None:
        """Run ``piece``, which is the same work on the same memory each time that ``key`` is this."""
        if replay := self._replays.get(key):
            replay()
        elif key in self._seen:
            began = time.perf_counter()
            self._replays[key] = self._record(piece)
            self.seconds += time.perf_counter() - began
        else:
            self._seen.add(key)
            piece()


class InputBuffers:
    """Memory for the batches of each shape, into which every batch of that shape is copied."""

    def __init__(self) -> None:
        self._buffers: dict[Hashable, Batch] = {}

    def fill(self, batch: Batch) -> tuple[Hashable, Batch]:
        """Return the batch's shape, as a key, and the buffers of that shape, which now hold the batch."""
        shape = tuple((name, *tensor.shape) for name, tensor in batch.items())
        if shape not in self._buffers:
            self._buffers[shape] = {k: torch.empty_like(tensor) for k, tensor in batch.items()}
        buffers = self._buffers[shape]
        for name, tensor in batch.items():
            buffers[name].copy_(tensor)
        return shape, buffers
