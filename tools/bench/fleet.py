"""The workers of a group: started together, asked one at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tools.bench.spec import Contender, Setting, write_spec

ROOT = Path(__file__).resolve().parents[2]
_END_SECONDS = 10.0


class Worker:
    """A contender's process. Use as a context manager: on the way out the process ends.

    Args:
        folder: where its specification and its error output go.
        debug: show its error output, with tracebacks, instead of keeping it for the one line.
    """

    def __init__(
        self, contender: Contender, setting: Setting, folder: Path, debug: bool = False
    ) -> None:
        self.name = contender.name
        spec = folder / f"{contender.name}.json"
        write_spec(spec, contender, setting)
        self._errors = None if debug else (folder / f"{contender.name}.err").open("w+b")
        command = [sys.executable, "-m", "tools.bench.worker", str(spec)]
        # Its peak memory starts at this process's (Linux keeps ru_maxrss over an exec): so this one
        # computes nothing.
        self._process = subprocess.Popen(
            [*command, "--debug"] if debug else command,
            cwd=ROOT,
            env={
                **worker_environment(setting.threads, plain=contender.system == "hf"),
                "TORCHINDUCTOR_CACHE_DIR": str(
                    folder / "compiled"
                ),  # not what earlier runs compiled
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def ask(self, question: str) -> dict[str, Any]:
        """Have the worker ``start``, ``prepare`` or take a ``turn``; return what it measured.

        Raises:
            ChildProcessError: it died; says which, and its last word.
        """
        try:
            self._process.stdin.write(f"{question}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise ChildProcessError(f"the worker {self.name} {self._last_word()}")
        return json.loads(answer)

    def _last_word(self) -> str:
        status = self._process.wait()
        if status < 0:
            name = signal.Signals(-status).name
            end = f"was killed by {name}"
            return f"{end}: is there too little memory?" if name == "SIGKILL" else end
        words = ""
        if self._errors is not None:
            self._errors.seek(0)
            words = self._errors.read().decode("utf-8", "replace").strip()
        reason = words.splitlines()[-1] if words else "no message"
        return f"ended with status {status}: {reason}"

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.stdin.close()
            self._process.wait(_END_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            pass
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            if self._errors is not None:
                self._errors.close()


def worker_environment(threads: int, plain: bool = False) -> dict[str, str]:
    """Return this process's environment with ``threads`` for a process that computes.

    ``plain`` is without what this project sets for itself (tools/cli/require_packages.py).
    """
    environment = dict(os.environ)
    if plain:
        environment["THP_MEM_ALLOC_ENABLE"] = "0"
    return {
        **environment,
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }


@contextmanager
def start_workers(
    contenders: Sequence[Contender], setting: Setting, folder: Path, debug: bool
) -> Iterator[list[Worker]]:
    """Start the processes together, for the block; none computes before all have their imports done."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(contender, setting, folder, debug))
            for contender in contenders
        ]
        # The first to fail takes the others along, whatever they are in the midst of.
        try:
            for worker in workers:
                worker.ask("start")
            yield workers
        except BaseException:
            for worker in workers:
                worker.kill()
            raise


def in_turns(count: int, round_number: int) -> list[int]:
    """Return who comes when in a round: each round another one is the first.

    >>> in_turns(3, 1)
    [1, 2, 0]
    """
    return [(index + round_number) % count for index in range(count)]
