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

from tools.machine.lack_of_memory import lacks_memory

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

    A recording computes nothing, and so a piece whose graph finds no memory is run as it is, as all others
    are from there on: without their graphs there is as much memory as if there had never been any.

    Args:
        record: makes the graphs.
        on_lack: is told the error with which memory ran out; it may raise another.

    Attributes:
        seconds: spent on recording.
    """

    def __init__(self, record: Recorder, on_lack: Callable[[Exception], None]) -> None:
        self._record: Recorder | None = record
        self._on_lack = on_lack
        self._seen: set[Hashable] = set()
        self._replays: dict[Hashable, Piece] = {}
        self.seconds = 0.0

    @property
    def count(self) -> int:
        """How many graphs there are."""
        return len(self._replays)

    def run(self, key: Hashable, piece: Piece, pays: bool = True) -> None:
        """Run ``piece``, which is the same work on the same memory each time that ``key`` is this.

        Args:
            pays: whether it comes often enough for a graph; a graph that is there is replayed anyway.
        """
        if replay := self._replays.get(key):
            replay()
        elif not (pays and key in self._seen) or not self._recorded(key, piece):
            self._seen.add(key)
            piece()

    def _recorded(self, key: Hashable, piece: Piece) -> bool:
        """Record a piece, which runs it, if there is the memory; return whether that is so."""
        if self._record is None:
            return False
        began = time.perf_counter()
        try:
            self._replays[key] = self._record(piece)
        except (RuntimeError, MemoryError) as error:
            if not lacks_memory(error):
                raise
            self.give_up(error)
            return False
        self.seconds += time.perf_counter() - began
        return True

    def make_room(self, error: Exception) -> None:
        """Give up, if the graphs may hold the memory for lack of which a piece that is none failed.

        Raises:
            Exception: the error, if there are no graphs, or it is another than a lack of memory.
        """
        if not (lacks_memory(error) and self.count):
            raise error
        self.give_up(error)

    def give_up(self, error: Exception) -> None:
        """Drop all graphs and record no more, for memory ran out with ``error``."""
        self._on_lack(error)
        self._record = None
        self._replays.clear()


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
