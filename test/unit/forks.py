"""Processes of a run as copies of the tests' own process, which has imported everything already."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback

import torch
import torch._dynamo  # noqa: F401 (else each process imports it for itself, which takes seconds)
from helpers import free_port

import run_classifier

_LONGEST_SECONDS = 240


def fork(action):
    """Start a process that ends with the status that ``action`` returns; returns its id."""
    child = os.fork()
    if child:
        return child
    status = 99
    # One that hangs says where, and ends.
    faulthandler.dump_traceback_later(_LONGEST_SECONDS, exit=True, file=sys.__stderr__)
    # A copy of a process has none of its threads, and OpenMP would wait for them.
    torch.set_num_threads(1)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        status = action()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def statuses(children):
    """Wait for processes; return how each ended, as subprocess has it."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def run_together(words_of_ranks, folder, prepare=lambda rank: None):
    """Run run_classifier.py in a process for each of ``words_of_ranks``, which train together.

    They have the variables that torchrun gives them.

    Args:
        folder: gets what each of them prints.
        prepare: called in each process first, with its rank.

    Returns:
        exit status, standard output and standard error of each.
    """
    port = free_port()

    def run(rank, words):
        def action():
            os.environ.update(
                WORLD_SIZE=str(len(words_of_ranks)), RANK=str(rank), LOCAL_RANK=str(rank),
                MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
                TORCHELASTIC_ERROR_FILE=str(folder / f"error{rank}"),
            )  # fmt: skip
            for stream in ("stdout", "stderr"):
                file = (folder / f"{stream}{rank}").open("w")
                setattr(sys, stream, file)
            prepare(rank)
            return run_classifier.run_program([str(word) for word in words])

        return action

    children = [fork(run(rank, words)) for rank, words in enumerate(words_of_ranks)]
    ends = statuses(children)
    return [
        (status, *((folder / f"{stream}{rank}").read_text() for stream in ("stdout", "stderr")))
        for rank, status in enumerate(ends)
    ]
