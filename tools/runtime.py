"""The machine a run sees: its device and its processes."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tools.device import Device, select_device
from tools.distributed import Processes, processes_from_environment


@dataclass(frozen=True)
class Runtime:
    """Where this process computes, and with whom."""

    device: Device
    processes: Processes

    @property
    def is_main(self) -> bool:
        """Whether this is the process that logs and writes files."""
        return self.processes.is_main


@contextmanager
def start_runtime(args: Namespace) -> Iterator[Runtime]:
    """Take the device that the flags name and join the other processes, if there are any.

    Raises:
        UsageError: the device is not there, or the processes' variables contradict each other.
    """
    processes = processes_from_environment(args.local_rank)
    index = processes.local_rank if processes.world_size > 1 else args.device_id
    device = select_device(args.device, index, args.no_cuda)
    device.activate()
    processes.connect(device)
    try:
        yield Runtime(device, processes)
    finally:
        processes.disconnect()
