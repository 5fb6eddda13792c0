"""Contenders in processes of their own: started together, asked one at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from processors.features import Features
from tools.bench.contenders import Contender
from tools.bench.flags import Setting
from tools.bench.matmul import MatmulPeak
from tools.bench.session import Session
from tools.cli.errors import error_line
from tools.machine.lack_of_memory import lacks_memory

_LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # It is set by tools/cli/require_packages.py.
_END = "end"
_END_SECONDS = 10.0


class OutOfMemory(ChildProcessError):
    """A worker got too little memory, the device's or the machine's."""


class Worker:
    """The process of a contender, as :func:`serve` describes it: it idles unless it is asked."""

    def __init__(self, contender: Contender, setting: Setting, folder: Path) -> None:
        self.name = contender.name
        # It is no copy of this process, yet its peak memory starts at this one's all the same (Linux keeps
        # ru_maxrss over an exec): so this one computes nothing.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, contender, setting, folder))
        pages = os.environ[_LARGE_PAGES]
        if contender.system == "hf":  # It goes without what this project sets for itself.
            os.environ[_LARGE_PAGES] = "0"
        self._process.start()
        os.environ[_LARGE_PAGES] = pages
        theirs.close()

    def ask(self, question: str | Features) -> dict[str, Any]:
        """Have the worker ``prepare`` or take a ``turn``; return what it measured.

        Args:
            question: first of all the examples, which the worker takes when its imports are done.

        Raises:
            OutOfMemory: it got too little memory.
            ChildProcessError: it failed for another reason. Both name the worker and the reason.
        """
        with suppress(OSError):  # It may be gone, and what it left says why.
            self._connection.send(question)
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            status = self._process.exitcode
            if status == -signal.SIGKILL:  # It was the system, most likely.
                words = f"the worker {self.name} was killed: is there too little memory?"
                raise OutOfMemory(words) from None
            raise ChildProcessError(f"the worker {self.name} ended with status {status}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Let the process end by itself."""
        with suppress(OSError):
            self._connection.send(_END)
        self._process.join(_END_SECONDS)

    def kill(self) -> None:
        """End the process at once, whatever it is in the midst of."""
        self._process.kill()
        self._process.join()


@contextmanager
def start_workers(
    contenders: Sequence[Contender], setting: Setting, features: Features, folder: Path
) -> Iterator[list[Worker]]:
    """Start the processes together, for the block; none computes before all have their imports done.

    The first to fail takes the others along.
    """
    workers: list[Worker] = []
    try:
        for contender in contenders:
            workers.append(Worker(contender, setting, folder))
        for worker in workers:
            worker.ask(features)
        yield workers
        for worker in workers:
            worker.close()
    finally:
        for worker in workers:
            worker.kill()


def serve(connection: Connection, contender: Contender, setting: Setting, folder: Path) -> None:
    """Be a contender, in its process: answer until there are no more questions.

    Args:
        folder: where what torch compiles is kept: none of it is of earlier runs.
    """
    os.dup2(2, 1)  # What libraries print is no part of the report.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    try:
        torch.set_num_threads(setting.flags.threads)
        if contender.system == "hf":  # It is loaded while other workers start, too.
            import transformers.models.albert.modeling_albert  # noqa: F401
        features = connection.recv()
        connection.send({})
        for question in iter(connection.recv, _END):
            if question == "prepare":
                setting.device.activate()
                system = MatmulPeak if contender.system == "matmul" else Session
                session = system(contender, setting, features)
            connection.send(session.prepare() if question == "prepare" else session.turn())
    except Exception as error:
        if setting.flags.debug:
            traceback.print_exc()
        with suppress(OSError):  # Nobody may be there to ask any more.
            connection.send(failure(contender.name, error))


def failure(name: str, error: Exception) -> ChildProcessError:
    """Return what the benchmark is told when the worker ``name`` fails with ``error``."""
    kind = OutOfMemory if lacks_memory(error) else ChildProcessError
    return kind(f"the worker {name} failed: {error_line(error)}")
