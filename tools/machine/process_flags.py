"""How many processes are to train together, where and on what: what can be said of it without torch."""

from __future__ import annotations

from dataclasses import dataclass

from tools.cli.errors import UsageError
from tools.cli.groups import flag
from tools.cli.parser import Number

DEVICES = ("auto", "npu", "cuda", "cpu")


@dataclass(frozen=True)
class ProcessFlags:
    """The processes that a launcher starts, over one machine or several."""

    nproc: int = flag(
        1, "processes on this machine, a device each", type=Number(int, 1), metavar="N"
    )
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
