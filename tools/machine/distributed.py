"""The processes that train together: who they are, and the few things they say to each other."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass

import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tools.cli.errors import PeerError, UsageError
from tools.machine.device import Device
from tools.machine.meeting_point import MeetingPoint
from tools.machine.store import open_store

# Collectives raise this when another process is gone, and when it does not answer.
_GONE = re.compile(r"Connection (closed|reset|refused)|Broken pipe|recvValue failed|remote process")
_SILENT = re.compile(r"[Tt]ime[ds]? ?out")
# HCCL's words where the processes do not find each other at first (EI0006); and CANN's where a kernel of
# this very process hangs, which is about no other.
_UNCONNECTED = re.compile(r"[Ss]ocket times? ?out|EI0006")
_KERNEL = re.compile(r"ai ?(core|cpu|vector)|fftsplus", re.IGNORECASE)
# A process that lost another waits this long before it ends: whoever watches them all is to see the one
# that failed first.
_PEER_SECONDS = 2.0
# The store at which the processes met answers within this time, or who keeps it is gone.
_STORE_SECONDS = 60.0
# The references have this address in their code.
_REFERENCES_ADDRESS = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29688"}


@dataclass(frozen=True)
class Processes:
    """This process among ``world_size``: ``rank`` over all machines, ``local_rank`` on its own."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the one process that writes files."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether no other process runs with this one."""
        return self.world_size == 1

    @contextmanager
    def connected(self, device: Device, timeout: float) -> Iterator[None]:
        """Join the process group, over the library that suits ``device``, for the block.

        Args:
            timeout: seconds after which a process that does not answer counts as hung.

        Raises:
            UsageError: no machine has the name that MASTER_ADDR is, or another program has its port.
            PeerError: another process is gone.
            TimeoutError: one does not answer.
        """
        if self.world_size == 1:
            yield
            return
        meeting_point = MeetingPoint.from_environment()
        if self.is_main:
            meeting_point.check_host()
        else:
            meeting_point.wait_for(timeout)
        try:
            with meeting_point.explaining(timeout):
                torch.distributed.init_process_group(
                    device.process_group_backend,
                    rank=self.rank,
                    world_size=self.world_size,
                    timeout=device.limit_collectives(timeout),
                )
            yield
        except RuntimeError as error:  # torch has no type for it: gloo's errors are just this.
            text = str(error)
            if _GONE.search(text):
                time.sleep(_PEER_SECONDS)
                raise PeerError(
                    "another process of this run ended: its own error says why"
                ) from error
            if _UNCONNECTED.search(text):
                raise TimeoutError(
                    "the processes did not find each other (HCCL_CONNECT_TIMEOUT): one of them did not "
                    "start, or the NPUs' network is not set up"
                ) from error
            if _SILENT.search(text) and not _KERNEL.search(text):
                raise TimeoutError(
                    f"no answer from the other processes within {timeout:g} s (--ddp_timeout): one of "
                    "them hangs, and its log says where"
                ) from error
            raise
        _leave_group(device)

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            torch.distributed.barrier()

    def exchange(self, name: str, facts: Mapping[str, str]) -> list[dict[str, str]]:
        """Return what each process says here, by rank; all of them call this with the same ``name``.

        It needs no device, and no more than that each process gets here at all.
        """
        if self.world_size == 1:
            return [dict(facts)]
        store = open_store(_STORE_SECONDS)
        store.set(f"{name}/{self.rank}", json.dumps(facts))
        self.barrier()  # It ends where a process is gone, and now all have said it.
        said = [json.loads(store.get(f"{name}/{rank}")) for rank in range(self.world_size)]
        self.barrier()  # Who keeps the store may end the run over it, once all have heard it.
        return said

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Let one process through the block before the others: it writes what they read.

        On several machines without a disk in common, each machine's first process finds nothing to read
        and writes its own; so they come second, and the rest third.
        """
        turn = 0 if self.is_main else 1 if self.local_rank == 0 else 2
        for _ in range(turn):
            self.barrier()
        yield
        for _ in range(turn, 2):
            self.barrier()

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Add ``tensor`` up over the processes, in place."""
        if self.world_size > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def average(self, tensor: Tensor) -> Tensor:
        """Average ``tensor`` over the processes, in place; it is divided before it is added up."""
        if self.world_size > 1:
            torch.distributed.all_reduce(tensor.div_(self.world_size))
        return tensor

    def broadcast(self, model: nn.Module) -> None:
        """Give ``model`` the weights that it has in the main process."""
        if self.world_size > 1:
            for tensor in model.state_dict().values():
                torch.distributed.broadcast(tensor, src=0)

    def all_reduce_max(self, value: float, device: Device) -> float:
        """Return the largest of the processes' values."""
        tensor = torch.tensor(value, dtype=torch.float32, device=device.torch_device)
        if self.world_size > 1:
            torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX)
        return tensor.item()

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return ``model``, averaging its gradients over the processes if there are several."""
        return model if self.world_size == 1 else DistributedDataParallel(model)

    def no_sync(self, model: nn.Module, last: bool) -> AbstractContextManager:
        """Return the context of one micro-batch: only the ``last`` of a step averages gradients."""
        if last or self.world_size == 1:
            return nullcontext()
        return model.no_sync()


def variables_of_a_loop(local_rank: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Return torchrun's variables for a process that was started as the references start theirs.

    Their launchers start each process of one machine themselves, with its ``--local_rank``, where
    RANK_SIZE says how many there are. The result is empty where torchrun has set its variables, and for a
    process without a local rank: RANK_SIZE alone may be there for whatever runs in an Ascend shell.

    Args:
        local_rank: the flag; -1 where it was not given.
        environment: the variables that are set. An address among them wins over the references'.

    Raises:
        UsageError: nothing says how many processes there are, or it is no number above the local rank.
    """
    if local_rank < 0 or "WORLD_SIZE" in environment:
        return {}
    size = environment.get("RANK_SIZE")
    if not size:
        raise UsageError(
            f"--local_rank {local_rank}, but nothing says of how many: export RANK_SIZE=8 for the 8 "
            "processes of a loop, start them with torchrun, or leave --local_rank out"
        )
    if not size.isdecimal() or int(size) <= local_rank:
        raise UsageError(
            f"--local_rank {local_rank}, but RANK_SIZE is {size}: it is to be the number of processes, "
            "and their ranks count from 0"
        )
    address = {k: environment.get(k) or value for k, value in _REFERENCES_ADDRESS.items()}
    rank = str(local_rank)
    return {"WORLD_SIZE": size, "RANK": rank, "LOCAL_RANK": rank, **address}


def processes_from_environment(local_rank: int = -1) -> Processes:
    """Return this process's place as torchrun's variables tell it; one process if there are none.

    A place that was told as the references do is written to torchrun's variables: torch reads those.

    Args:
        local_rank: ``--local_rank`` of a launcher that passes it as a flag; -1 where none did.

    Raises:
        UsageError: there is a local rank but not the variables that belong to it, one is no number, or
            they contradict each other.
    """
    environment = os.environ
    environment.update(variables_of_a_loop(local_rank, environment))
    if "WORLD_SIZE" not in environment:
        return Processes()
    world_size = _whole_number(environment, "WORLD_SIZE", 1)
    local_world_size = _whole_number(environment, "LOCAL_WORLD_SIZE", 1, world_size)
    rank = _whole_number(environment, "RANK", 0, max(local_rank, 0))
    local_rank = _whole_number(
        environment, "LOCAL_RANK", 0, local_rank if local_rank >= 0 else rank
    )
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not environment.get(name)]
    if world_size > 1 and missing:
        raise UsageError(
            f"WORLD_SIZE is {world_size}, but there is no {' and no '.join(missing)} in the environment: "
            "torchrun sets them"
        )
    if world_size > 1:
        _whole_number(environment, "MASTER_PORT", 1, highest=65535)
    if local_world_size > world_size:
        raise UsageError(
            f"LOCAL_WORLD_SIZE is {local_world_size}, but WORLD_SIZE, that of all machines together, is "
            f"{world_size}"
        )
    if not 0 <= rank < world_size:
        raise UsageError(f"RANK is {rank}, but WORLD_SIZE is {world_size}")
    if not 0 <= local_rank < local_world_size:
        raise UsageError(
            f"the local rank is {local_rank}, but there are {local_world_size} processes on this machine "
            "(LOCAL_WORLD_SIZE, else WORLD_SIZE)"
        )
    return Processes(rank, local_rank, world_size, local_world_size)


def _whole_number(
    environment: Mapping[str, str],
    name: str,
    lowest: int,
    default: int | None = None,
    highest: int | None = None,
) -> int:
    """Return the number in a variable; ``default`` where it is not set.

    Raises:
        UsageError: it is none, or out of bounds.
    """
    text = environment.get(name)
    if text is None and default is not None:
        return default
    number = int(text) if text and text.isdecimal() else -1
    if number < lowest or (highest is not None and number > highest):
        bounds = f"from {lowest} to {highest}" if highest is not None else f"from {lowest} on"
        raise UsageError(
            f"{name} in the environment is {text!r}: it is to be a whole number {bounds}; torchrun sets "
            "it, and without WORLD_SIZE one process runs alone"
        )
    return number


def rank_of(local_rank: int) -> int | None:
    """Return this process's rank among several, as :func:`processes_from_environment`; None if alone."""
    processes = processes_from_environment(local_rank)
    return processes.rank if processes.world_size > 1 else None


def _leave_group(device: Device) -> None:
    """Destroy the process group.

    It waits for its threads, and up to torch 2.6 at least it holds Python's lock meanwhile, for which one
    of them may wait to drop the tensors of the last collective: forever. What has the threads is the
    group's backend; where Python itself lets go of that, it does so without the lock.
    """
    backend = None
    with suppress(RuntimeError):  # A group that another package made may be its own backend.
        group = torch.distributed.distributed_c10d._get_default_group()
        backend = group._get_backend(device.torch_device)
        del group
    torch.distributed.destroy_process_group()
    del backend
