"""How many processes are to train together, where and on what: what can be said of it without torch."""

from __future__ import annotations

from dataclasses import dataclass

from tools.cli.errors import UsageError
from tools.cli.groups import flag
from tools.cli.parser import Number
from tools.machine.cores import usable_cores

_CPU = "cpu"
DEVICES = ("auto", "npu", "cuda", _CPU)
CPU_DEVICES = ("auto", _CPU)  # These may be said where nothing but the CPU computes.


@dataclass(frozen=True)
class ProcessFlags:
    """The processes that a launcher starts, over one machine or several."""

    nproc: int = flag(
        1, "processes on this machine, a device each", type=Number(int, 1), metavar="N"
    )
    oversubscribe: bool = flag(False, "on the CPU, also more processes than it has cores")
    nnodes: int = flag(1, "machines, a launcher on each", type=Number(int, 1), metavar="N")
    node_rank: int = flag(0, "this machine's number, from 0", type=Number(int, 0), metavar="N")
    master_addr: str | None = flag(None, "the machine with --node_rank=0", metavar="HOST")
    master_port: int = flag(
        29500,  # It is torchrun's default; one machine alone takes a free port.
        "a free port on it",
        type=Number(int, 1, 65535),
        metavar="N",
    )
    device: str = flag(
        "auto", "what to compute on; auto: an NPU, else a GPU, else the CPU", choices=DEVICES
    )

    def __post_init__(self) -> None:
        """See that the numbers fit together.

        Raises:
            UsageError: they do not.
        """
        if self.nnodes > 1 and not self.master_addr:
            raise UsageError(
                f"--nnodes={self.nnodes} needs --master_addr=HOST, the machine with --node_rank=0"
            )
        if self.node_rank >= self.nnodes:
            raise UsageError(f"--node_rank={self.node_rank} is not below --nnodes={self.nnodes}")
        if self.device == _CPU:
            self.check_cores()

    def check_cores(self) -> None:
        """See that each process has a core, where they compute on the CPU.

        Raises:
            UsageError: there are more processes, and no word that insists on it.
        """
        cores = usable_cores()
        if self.nproc > cores and not self.oversubscribe:
            raise UsageError(
                f"--nproc={self.nproc} on the CPU, but there are {cores} cores for it, and processes that "
                f"share one wait for each other: --nproc={cores}, or --oversubscribe to insist"
            )
