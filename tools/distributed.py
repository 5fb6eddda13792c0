"""The processes that train together: who they are, and the few things they say to each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tools.device import Device
from tools.errors import UsageError


@dataclass(frozen=True)
class Processes:
    """This process among ``world_size``: ``rank`` over all machines, ``local_rank`` on its own."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the one process that writes files."""
        return self.rank == 0

    def connect(self, device: Device) -> None:
        """Join the process group, over the library that suits ``device``."""
        if self.world_size > 1:
            torch.distributed.init_process_group(
                device.process_group_backend,
                rank=self.rank,
                world_size=self.world_size,
                timeout=timedelta(minutes=30),
            )

    def disconnect(self) -> None:
        """Leave the process group."""
        if self.world_size > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            torch.distributed.barrier()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process through the block before the others (it writes what they read)."""
        if not self.is_main:
            self.barrier()
        yield
        if self.is_main:
            self.barrier()

    def sum(self, tensor: Tensor) -> Tensor:
        """Add ``tensor`` up over the processes, in place."""
        if self.world_size > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return ``model``, averaging its gradients over the processes if there are several."""
        return model if self.world_size == 1 else DistributedDataParallel(model)

    def local_gradients(self, model: nn.Module, last: bool) -> AbstractContextManager:
        """Return the context of one micro-batch: only the ``last`` of a step averages gradients."""
        if last or self.world_size == 1:
            return nullcontext()
        return model.no_sync()


def processes_from_environment(local_rank: int = -1) -> Processes:
    """Return this process's place as torchrun's variables tell it; one process if there are none.

    Args:
        local_rank: ``--local_rank`` of a launcher that passes it as a flag; -1 where none did.

    Raises:
        UsageError: there is a local rank but not the variables that belong to it, or one is no number.
    """
    if "WORLD_SIZE" not in os.environ:
        if local_rank > 0:
            raise UsageError(
                f"--local_rank {local_rank} needs RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT in "
                "the environment; torchrun sets them"
            )
        return Processes()
    try:
        world_size = int(os.environ["WORLD_SIZE"])
        rank = int(os.environ.get("RANK", max(local_rank, 0)))
        own = int(os.environ.get("LOCAL_RANK", local_rank if local_rank >= 0 else rank))
    except ValueError as error:
        raise UsageError(f"RANK, WORLD_SIZE or LOCAL_RANK is no number: {error}") from None
    if not 0 <= rank < world_size:
        raise UsageError(f"RANK is {rank}, but WORLD_SIZE is {world_size}")
    return Processes(rank, own, world_size)
