"""The machine a run sees: its device, its processes, its logs."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from tools.common import setup_logging
from tools.device import Device, select_device
from tools.distributed import Processes, processes_from_environment


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
def start_runtime(args: Namespace) -> Iterator[Runtime]:
    """Take the device that the flags name, open the log, and join the other processes, if there are any.

    Raises:
        UsageError: the device is not there, or the processes' variables contradict each other.
        PeerError, TimeoutError: another process is gone, or does not answer.
    """
    processes = processes_from_environment(args.local_rank)
    log_dir = args.log_dir
    if log_dir is None and processes.world_size > 1:
        log_dir = args.output_dir / "logs"
    log_file = None if log_dir is None else log_dir / f"rank_{processes.rank}.log"
    setup_logging(processes.is_main, log_file)
    if args.bind_cores:
        bind_cores(processes)
    index = processes.local_rank if processes.world_size > 1 else args.device_id
    device = select_device(args.device, index, args.no_cuda, processes.local_world_size)
    device.activate()
    device.keep_memory()
    with processes.connected(device, args.ddp_timeout):
        yield Runtime(device, processes)


def bind_cores(processes: Processes) -> None:
    """Keep this process to its share of the machine's cores; where there are too few, to none.

    Processes that share no core do not push each other's threads and caches around. The references'
    launchers do it with taskset.
    """
    if not hasattr(os, "sched_setaffinity"):  # macOS has no such thing
        return
    cores = sorted(os.sched_getaffinity(0))
    share = len(cores) // processes.local_world_size
    if processes.local_world_size > 1 and share > 0:
        first = processes.local_rank * share
        os.sched_setaffinity(0, cores[first : first + share])
        torch.set_num_threads(min(share, torch.get_num_threads()))
