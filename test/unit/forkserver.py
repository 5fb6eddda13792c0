"""Commands of this project as processes that need not load torch: forked from one that has loaded it.

Starting Python and loading torch takes seconds, and most commands of the tests much less. So a process per
test session loads the program and then only waits; for each command it forks a child, which becomes what
``python SCRIPT …`` or ``python -m MODULE …`` would be: its own folder, words, environment and streams, its
own exit status and its own signals. No child shares anything with another or with the tests. A second such
process has loaded torch, but nothing of the project: its children run copies of the project, and torchrun.

What a child cannot have anew is what the libraries read from the environment while they load, so
:func:`can_fork` tells which commands of the tests are started as any other program is.

What such a command starts with ``sys.executable`` is forked as well, and what a launcher starts with the
Python of :attr:`ForkServer.environment`: that is a program that asks for a child and stands for it
(forkrelay.py), or becomes Python where none will do.

A forked command is killed when the tests end, however they end; :func:`forkrelay.tied`
does that for all others.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import os
import runpy
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import NoReturn

from forkrelay import PROJECT, REFUSED, TORCH, Request, connect, die_with_parent, receive

ROOT = Path(__file__).resolve().parents[2]
# The variables with which the server itself is started; one thread, as in all commands of the tests.
THREADS = {"OMP_NUM_THREADS": "1"}
# What tells a command of a simulated NPU (simulated_npu.py), which no process loads before it is asked to.
_READ_LATER = {
    *("PYTHONPATH", "SIMULATED_NPUS", "SIMULATED_NPU_LACKS", "SIMULATED_NPU_CALLS"),
    *("SIMULATED_NPU_FAULTS", "TORCH_DEVICE_BACKEND_AUTOLOAD"),
}
# How the names begin that Python and the libraries read while they load, and those that they read later.
_AT_FIRST = ("PYTHON", "OMP_", "GOMP_", "KMP_", "MKL_", "LD_", "MALLOC_", "TORCH", "LC_", "LANG")
_LATER = ("PYTHONPATH", "PYTHONUNBUFFERED", "TORCHELASTIC_", "TORCH_DEVICE_BACKEND_AUTOLOAD")
_LATER += ("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "TORCH_NCCL_ASYNC_ERROR_HANDLING")
_STARTED_WITH = dict(os.environ)
# A child's descriptors are not among those that it is to have.
_FREE = 256


class ForkServer:
    """The client's side: starts the servers, which end with this process, and asks them for children.

    Args:
        variables: the environment that commands have where nothing in it is changed for them.

    Attributes:
        environment: a folder like that of a virtual environment, whose Python is forked where it can be.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(600)
        self._socket = ours
        self.environment = Path(mkdtemp(prefix="forks-"))  # The server removes it.
        python = self.environment / "bin" / "python"
        python.parent.mkdir()
        relay = (sys.executable, "-I", "-S", Path(__file__).with_name("forkrelay.py"))
        words = [*relay, "ask", ROOT, self.environment, sys.executable]
        python.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
        python.chmod(0o755)
        self._server = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno()), str(os.getpid()), self.environment],
            cwd=ROOT,
            env={**variables, **THREADS},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        for _ in (TORCH, PROJECT):
            assert ours.recv(1) == b"r", "the server of forked commands did not start"

    def run(
        self,
        words: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        streams: Sequence[int],
    ) -> int | None:
        """Run a command for which :func:`can_fork` holds and return its status as subprocess has it.

        Returns None, and runs nothing, where the tests' own environment is another one by now.

        Args:
            words: the command without the Python before it.
            streams: descriptors of its standard input, output and error.
        """
        server = TORCH if words[:2] == ["-m", "torch.distributed.run"] else PROJECT
        request = Request(server, list(words), str(cwd), dict(environment), [0, 1, 2])
        with connect(self.environment, request, streams) as connection:
            connection.settimeout(600)
            try:
                answer = connection.recv(64)
            except TimeoutError:
                self._server.kill()  # And with it the child.
                raise
        assert answer, "the server of forked commands ended"
        return None if answer == REFUSED else int(answer)


def can_fork(words: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> bool:
    """Return whether a command is Python running torchrun or a part of this project, as it is loaded here.

    Args:
        environment: what is to differ from the tests' own.
    """
    if len(words) < 2 or words[0] != sys.executable:
        return False
    if environment and not {"SIMULATED_NPUS"} <= environment.keys() <= _READ_LATER:
        return False
    if words[1] == "-m":
        is_ours = words[2] == "pytest" or words[2].startswith("tools.")
        return words[2] == "torch.distributed.run" or (Path(cwd) == ROOT and is_ours)
    script = Path(words[1])
    return script.is_absolute() and script.parent in (ROOT, ROOT / "tools")


class _Server:
    """Forks a child for each request, hands signals on to it, and says how it ended."""

    def __init__(self, listener: socket.socket, tests: socket.socket) -> None:
        self._listener, self._tests = listener, tests
        self._children: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._wakes, woken = socket.socketpair()
        for end in (self._wakes, woken):
            end.setblocking(False)
        self._woken = woken  # It is open as long as this is there.
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(woken.fileno())
        for source in (listener, tests, self._wakes):
            self._selector.register(source, selectors.EVENT_READ)

    def serve(self) -> Callable[[], object]:
        """Return in the children alone: what each of them is to run."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    action = self._fork(self._listener.accept()[0])
                    if action is not None:
                        return action
                elif key.fileobj is self._tests:
                    os.kill(os.getpid(), signal.SIGTERM)
                elif key.fileobj is self._wakes:
                    self._wakes.recv(4096)
                    self._reap()
                elif key.data in self._children:
                    self._hand_on(key.data)

    def _fork(self, connection: socket.socket) -> Callable[[], object] | None:
        received = receive(connection)
        if received is None:
            return None
        request, streams = received
        if not self._is_loaded_for(request.environment):
            with suppress(OSError):  # Who asked may be gone.
                connection.sendall(REFUSED)
            connection.close()
        else:
            server = os.getpid()
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGCHLD, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                die_with_parent(server)
                self._close()
                connection.close()
                return _become(request, streams)
            self._children[child] = connection
            self._selector.register(connection, selectors.EVENT_READ, child)
        for stream in streams:
            os.close(stream)
        return None

    def _is_loaded_for(self, environment: Mapping[str, str]) -> bool:
        paths = {Path(path) for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path}
        paths -= {Path(path) for path in _STARTED_WITH.get("PYTHONPATH", "").split(os.pathsep)}
        # Libraries set some while they load.
        names = {*environment, *_STARTED_WITH, *os.environ}
        read = (n for n in names if n.startswith(_AT_FIRST) and not n.startswith(_LATER))
        return (
            all(environment.get(n) in (_STARTED_WITH.get(n), os.environ.get(n)) for n in read)
            and (not paths or "SIMULATED_NPUS" in environment)
            and not any((path / "sitecustomize.py").exists() for path in paths)
        )

    def _close(self) -> None:
        own = (self._listener, self._tests, self._wakes, self._woken, *self._children.values())
        for resource in (self._selector, *own):
            resource.close()

    def _hand_on(self, child: int) -> None:
        connection = self._children[child]
        try:
            numbers = connection.recv(64)
        except ConnectionError:
            numbers = b""
        if not numbers:  # Who asked for it is gone.
            self._selector.unregister(connection)
        for number in numbers or [signal.SIGKILL]:
            os.kill(child, number)

    def _reap(self) -> None:
        while self._children:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            connection = self._children.pop(child, None)
            if connection is None:
                continue
            if connection in self._selector.get_map():
                self._selector.unregister(connection)
                with suppress(OSError):
                    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
            connection.close()


def _become(request: Request, streams: Sequence[int]) -> Callable[[], object]:
    high = [fcntl.fcntl(stream, fcntl.F_DUPFD, _FREE) for stream in streams]
    for stream in streams:
        os.close(stream)
    for stream, number in zip(high, request.numbers, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.path[1:1] = filter(None, request.environment.get("PYTHONPATH", "").split(os.pathsep))
    words = request.words
    _open_streams(words[0] == "-u" or bool(request.environment.get("PYTHONUNBUFFERED")))
    words = words[words[0] == "-u" :]
    if words[0] == "-m":
        sys.argv, sys.path[0] = words[1:], request.cwd
        return lambda: runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    sys.argv, sys.path[0] = words, str(Path(words[0]).absolute().parent)
    return lambda: runpy.run_path(words[0], run_name="__main__")


def _open_streams(unbuffered: bool) -> None:
    """Open the standard streams anew: those of the server remember what kind of files theirs were."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, f"__{name}__")
        by_line = name == "stderr" or unbuffered or os.isatty(number)
        new = open(  # noqa: PTH123, SIM115
            number,
            "w" if number else "r",
            buffering=1 if by_line else -1,
            encoding=old.encoding,
            errors=old.errors,
            closefd=False,
        )
        if unbuffered and number:
            new.reconfigure(write_through=True)
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


def _load_and_serve(descriptor: str, parent: str, folder: str) -> Callable[[], object]:
    server = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() == server:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    die_with_parent(int(parent), signal.SIGTERM)
    sys.executable = str(Path(folder) / "bin" / "python")
    tests = socket.socket(fileno=int(descriptor))
    # The children find these loaded, and all that they need.
    _load("torch._dynamo", "torch.distributed.launcher.api", "torch.nn.parallel.distributed")
    _load("safetensors.torch", "sentencepiece", "tokenizers", "scipy.stats", "sklearn.metrics")
    if os.fork() == 0:
        die_with_parent(server)
        return _wait(TORCH, folder, tests)
    sys.path[0] = str(ROOT)
    _load("run_classifier", "tools.predict")
    return _wait(PROJECT, folder, tests)


def _load(*names: str) -> None:
    for name in names:
        importlib.import_module(name)


def _wait(name: str, folder: str, tests: socket.socket) -> Callable[[], object]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(Path(folder) / name))
    listener.listen(64)
    # A collection in a child would touch, and so copy, every page that it shares with the server.
    gc.collect()
    gc.freeze()
    tests.sendall(b"r")
    return _Server(listener, tests).serve()


def _run(action: Callable[[], object]) -> NoReturn:
    """Run a command to its end.

    Python would then take itself apart, and so copy every page that it shares with the server. Only a
    process that trains with others does: a library's threads may make that fail.
    """
    code = None
    try:
        action()
    except SystemExit as end:
        code = end.code
    finally:
        gc.unfreeze()  # What is not collected in the end some libraries call a leak.
    if "RANK" not in os.environ and (code is None or isinstance(code, int)):
        threading._shutdown()
        atexit._run_exitfuncs()
        with suppress(Exception):  # Python says by itself what it cannot write.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit((code or 0) & 0xFF)
    sys.exit(code)


if __name__ == "__main__":
    _run(_load_and_serve(*sys.argv[1:]))
