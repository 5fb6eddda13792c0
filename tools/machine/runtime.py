"""The machine a run sees: its device, its processes, its logs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from model.files import writing
from tools.cli.groups import flag
from tools.cli.log import setup_logging
from tools.cli.parser import Number
from tools.machine.cores import check_workers
from tools.machine.device import Device, select_device
from tools.machine.distributed import Processes, processes_from_environment
from tools.machine.folders import make_named_folder
from tools.machine.process_flags import DEVICES


@dataclass(frozen=True)
class MachineFlags:
    """Where to compute, and with whom."""

    device: str = flag("auto", "auto: an NPU, else a GPU, else the CPU", choices=DEVICES)
    device_id: int = flag(
        0,
        "which of several; with several processes their local rank says it",
        type=Number(int, 0),
        metavar="N",
    )
    no_cuda: bool = flag(False, "do not choose a GPU")
    local_rank: int = flag(
        -1,
        "from a launcher that passes it as a flag, with RANK_SIZE or WORLD_SIZE in the environment; "
        "torchrun need not",
        type=Number(int, -1),
        metavar="N",
    )
    ddp_timeout: float = flag(
        1800.0,
        "how long a process may not answer the others before the run ends",
        type=Number(float, 0, above=True),
        metavar="SECONDS",
    )
    bind_cores: bool = flag(False, "share this machine's CPU cores out over its processes")
    workers: int = flag(
        0,
        "processes that build batches; the training process itself is fast enough",
        type=Number(int, 0),
        metavar="N",
    )

    def __post_init__(self) -> None:
        """See that the numbers fit the machine.

        Raises:
            UsageError: they do not.
        """
        check_workers(self.workers)


@dataclass(frozen=True)
class Runtime:
    """Where this process computes, and with whom."""

    device: Device
    processes: Processes

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes the results."""
        return self.processes.is_main


@contextmanager
def start_runtime(
    flags: MachineFlags, log_dir: Path | None, shared_log_dir: Path | None, one_width: bool = False
) -> Iterator[Runtime]:
    """Take the device that the flags name, open the log, and join the other processes, if there are any.

    Args:
        log_dir: where ``rank_<n>.log`` goes. None: to ``shared_log_dir`` if there are several processes,
            else nowhere.
        shared_log_dir: None for no log file, however many processes there are.
        one_width: whether all batches are of one width.

    Raises:
        UsageError: the device is not there, the log has no place, or the processes' variables contradict
            each other.
        PeerError, TimeoutError: another process is gone, or does not answer.
    """
    processes = processes_from_environment(flags.local_rank)
    if log_dir is None and processes.world_size > 1:
        log_dir = shared_log_dir
    log_file = None if log_dir is None else log_dir / f"rank_{processes.rank}.log"
    if log_dir is not None:
        make_named_folder("--log_dir", log_dir)
    with writing(log_dir or Path()):
        setup_logging(processes.is_main, log_file)
    if flags.bind_cores:
        bind_cores(processes)
    index = processes.local_rank if processes.world_size > 1 else flags.device_id
    device = select_device(flags.device, index, flags.no_cuda, processes.local_world_size)
    device.activate(one_width)
    device.keep_memory()
    with processes.connected(device, flags.ddp_timeout):
        yield Runtime(device, processes)


def bind_cores(processes: Processes) -> None:
    """Keep this process to its share of the machine's cores; where there are too few, to none.

    Processes that share no core do not push each other's threads and caches around. The references'
    launchers do it with taskset.
    """
    if not hasattr(os, "sched_setaffinity"):  # macOS has no such call.
        return
    cores = sorted(os.sched_getaffinity(0))
    share = len(cores) // processes.local_world_size
    if processes.local_world_size > 1 and share > 0:
        first = processes.local_rank * share
        os.sched_setaffinity(0, cores[first : first + share])
        torch.set_num_threads(min(share, torch.get_num_threads()))
