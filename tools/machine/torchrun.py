"""A program in several processes, started and watched by torchrun (torch.distributed.run)."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import (
    ChildFailedError,
    ProcessFailure,
)

from tools.cli.errors import ended_by
from tools.cli.naming import program_name
from tools.machine.cores import usable_cores
from tools.machine.device import select_device
from tools.machine.meeting_point import MeetingPoint
from tools.machine.parent import name_launcher
from tools.machine.process_flags import ProcessFlags

# So many seconds a machine waits for the one with --node_rank=0: somebody may start them by hand.
_PATIENCE = 900.0


def run_processes(
    flags: ProcessFlags, program: Sequence[str], log_dir: Path, max_restarts: int, debug: bool
) -> int:
    """Start the processes, wait for them, and return the exit status of the first that failed, or 0.

    Args:
        program: the program and its flags; it gets ``--log_dir`` as well.
        log_dir: where each process writes ``rank_<n>.log``.
        max_restarts: how often all start again when one fails.
        debug: show torchrun's own messages.

    """
    os.environ.update(name_launcher())
    # Under nohup a hang-up is to be ignored, but torchrun handles it, and would end all processes.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // flags.nproc)))
    # Every start gets a store of its own: else processes started again find the addresses of those before.
    os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    if not debug:
        logging.disable(logging.ERROR)  # The line below says what matters of torchrun's own words.
    with tempfile.TemporaryDirectory(prefix="launch-") as folder:
        words = ["--nproc_per_node", str(flags.nproc), "--max_restarts", str(max_restarts)]
        # torch 2.1 by itself looks every 5 s, too rarely to tell who failed first.
        words += ["--monitor_interval", "0.1", "--log_dir", folder]
        if flags.nnodes > 1:
            words += ["--nnodes", str(flags.nnodes), "--node_rank", str(flags.node_rank)]
            words += ["--master_addr", flags.master_addr, "--master_port", str(flags.master_port)]
        else:
            words += ["--standalone"]  # It takes a port that is free, in every release of torch.
        joining = nullcontext()
        if flags.nnodes > 1:
            point = _meeting_point(flags)
            joining = point.explaining(_PATIENCE)
            if flags.node_rank > 0:
                point.wait_for(_PATIENCE)
        try:
            with joining:
                torchrun.run(torchrun.parse_args([*words, *program, "--log_dir", str(log_dir)]))
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            log = log_dir / f"rank_{rank}.log"
            place = f"; its log is {log}" if log.exists() else ""
            print(
                f"{program_name('launch')}: error: {failure_line(rank, failure)}{place}",
                file=sys.stderr,
                flush=True,
            )
            return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
        except SignalException as error:
            word = ended_by(error.sigval)
            print(
                f"{program_name('launch')}: all processes are {word}", file=sys.stderr, flush=True
            )
            return 128 + error.sigval
    return 0


def check_machine(flags: ProcessFlags) -> None:
    """See that this machine can do what is asked for, before there are processes that each say it cannot.

    Raises:
        UsageError: there are fewer devices than processes, or fewer cores and no word that insists on it;
            or the machine with --node_rank=0 is not known.
    """
    if select_device(flags.device, processes=flags.nproc).is_shared:
        flags.check_cores()
    if flags.nnodes > 1:
        _meeting_point(flags).check_host()


def _meeting_point(flags: ProcessFlags) -> MeetingPoint:
    names = ("--master_addr", "--master_port", "")
    return MeetingPoint(flags.master_addr, flags.master_port, names)


def failure_line(rank: int, failure: ProcessFailure) -> str:
    """Return one line on the process that failed first: its rank, what happened, its error."""
    if failure.exitcode < 0:
        line = f"rank {rank} (process {failure.pid}) was killed by {failure.signal_name()}"
        if failure.exitcode == -signal.SIGABRT:
            line += " (HCCL and NCCL do so where another process is gone or does not answer)"
        return line
    if Path(failure.error_file).is_file():  # Without it torch makes up a message.
        return failure.message.partition("error: ")[2] or failure.message
    return f"rank {rank} (process {failure.pid}) ended with status {failure.exitcode}"
