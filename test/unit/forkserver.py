"""Commands of this project as processes that need not load torch: forked from one that has loaded it.

Starting Python and loading torch takes seconds, and most commands of the tests much less. So a process per
test session loads the program and then only waits; for each command it forks a child, which becomes what
``python SCRIPT …`` or ``python -m MODULE …`` would be: its own folder, words, environment and streams, its
own exit status and its own signals. No child shares anything with another or with the tests.

What a child cannot have anew is what the libraries read from the environment while they load, so
:func:`can_fork` tells which commands are started as any other program is.

A forked command is killed when the tests end, however they end; :func:`tied` does that for all others.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG = 1
# The variables with which the server itself is started; one thread, as in all commands of the tests.
THREADS = {"OMP_NUM_THREADS": "1"}
# What tells a command of a simulated NPU (simulated_npu.py), which no process loads before it is asked to.
_READ_LATER = {
    *("PYTHONPATH", "SIMULATED_NPUS", "SIMULATED_NPU_LACKS", "SIMULATED_NPU_CALLS"),
    *("SIMULATED_NPU_FAULTS", "TORCH_DEVICE_BACKEND_AUTOLOAD"),
}


class ForkServer:
    """The client's side: starts the server, which ends with this process, and asks it for children."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(600)
        self._socket = ours
        self._server = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno()), str(os.getpid())],
            cwd=ROOT,
            env={**os.environ, **THREADS},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        assert ours.recv(1) == b"r", "the server of forked commands did not start"

    def run(
        self,
        words: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        streams: Sequence[int],
    ) -> int:
        """Run a command for which :func:`can_fork` holds and return its status as subprocess has it.

        Args:
            words: the command without the Python before it.
            streams: descriptors of its standard input, output and error.
        """
        request = json.dumps([list(words), str(cwd), dict(environment)]).encode()
        header = len(request).to_bytes(8, "big")
        socket.send_fds(self._socket, [header], list(streams))
        self._socket.sendall(request)
        try:
            answer = self._socket.recv(64)
        except TimeoutError:
            self._server.kill()  # And with it the child.
            raise
        assert answer, "the server of forked commands ended"
        return int(answer)


def can_fork(words: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> bool:
    """Return whether a command is Python running a file or module of this project, as it is loaded here.

    Args:
        environment: what is to differ from the tests' own.
    """
    if len(words) < 2 or words[0] != sys.executable:
        return False
    if environment and not {"SIMULATED_NPUS"} <= environment.keys() <= _READ_LATER:
        return False
    if words[1] == "-m":
        return Path(cwd) == ROOT and (words[2] == "pytest" or words[2].startswith("tools."))
    script = Path(words[1])
    return script.is_absolute() and script.parent in (ROOT, ROOT / "tools")


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when ``parent``, which started it, ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)


def tied(words: Sequence[str]) -> list[str]:
    """Return the command that becomes another one, which SIGTERM ends where this process ends first."""
    return [sys.executable, "-I", "-S", __file__, "tie", str(os.getpid()), *words]


def _serve(client: socket.socket) -> Callable[[], object]:
    """Fork a child for each request. Returns in the children alone: what each of them is to run."""
    server = os.getpid()
    while True:
        header, streams, *_ = socket.recv_fds(client, 8, 3)
        if not header:
            os._exit(0)
        request = b""
        wanted = int.from_bytes(header, "big")
        while len(request) < wanted:
            request += client.recv(wanted - len(request))
        child = os.fork()
        if child == 0:
            client.close()
            die_with_parent(server)
            return _become(*json.loads(request), streams)
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        client.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _become(
    words: list[str], cwd: str, environment: dict[str, str], streams: Sequence[int]
) -> Callable[[], object]:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    if words[0] == "-m":
        sys.argv, sys.path[0] = words[1:], cwd
        return lambda: runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    sys.argv, sys.path[0] = words, str(Path(words[0]).parent)
    return lambda: runpy.run_path(words[0], run_name="__main__")


def _load_and_serve(descriptor: str, parent: str) -> Callable[[], object]:
    die_with_parent(int(parent))
    sys.path[0] = str(ROOT)
    for name in ("scipy.stats", "sklearn.metrics", "run_classifier", "tools.predict"):
        importlib.import_module(name)  # The children find these loaded, and all that they need.

    client = socket.socket(fileno=int(descriptor))
    # A collection in a child would touch, and so copy, every page that it shares with the server.
    gc.collect()
    gc.freeze()
    client.sendall(b"r")
    return _serve(client)


def _tie(parent: str, *words: str) -> None:
    die_with_parent(int(parent), signal.SIGTERM)
    signal.signal(
        signal.SIGPIPE, signal.SIG_DFL
    )  # Python ignores it, and so would what comes next.
    os.execvp(words[0], words)


if __name__ == "__main__":
    if sys.argv[1] == "tie":
        _tie(*sys.argv[2:])
    _load_and_serve(*sys.argv[1:])()
