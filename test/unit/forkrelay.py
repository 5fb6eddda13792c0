"""Small programs in the place of others: one that ends with the tests, and one in the place of Python.

The latter has a server fork what it is asked to run (forkserver.py), and stands for that process. This has
its folder, environment and descriptors, and the signals that come to it; it ends as that does. What no
server can run alike has it become Python. Needs nothing but Python, of which it loads little.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# The servers, by what they have loaded: torch, or this project's modules as well.
TORCH, PROJECT = "torch", "project"
REFUSED = b"refused"
_PR_SET_PDEATHSIG = 1
_TORCHRUN = "torch.distributed.run"
_HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
_MOST_DESCRIPTORS, _HIGHEST = 64, 200


class Request(NamedTuple):
    """What a child of a server is to become.

    Attributes:
        server: which of them is asked.
        words: the command without the Python before it.
        numbers: what the descriptors that go with it are to be called.
    """

    server: str
    words: list[str]
    cwd: str
    environment: dict[str, str]
    numbers: list[int]


def connect(folder: Path, request: Request, descriptors: list[int]) -> socket.socket:
    """Send a request; the answer, and signals for the child, go through what is returned."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(folder / request.server))
    text = json.dumps(request).encode()
    socket.send_fds(connection, [len(text).to_bytes(8, "big")], descriptors)
    connection.sendall(text)
    return connection


def receive(connection: socket.socket) -> tuple[Request, list[int]] | None:
    """Return a request and its descriptors; None where who asked is gone."""
    header, descriptors, *_ = socket.recv_fds(connection, 8, _MOST_DESCRIPTORS)
    if not header:
        return None
    text = b""
    wanted = int.from_bytes(header, "big")
    while len(text) < wanted:
        text += connection.recv(wanted - len(text))
    return Request(*json.loads(text)), descriptors


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when ``parent``, which started it, ends."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)


def tied(words: Sequence[str]) -> list[str]:
    """Return the command that becomes another one, which SIGTERM ends where this process ends first."""
    return [sys.executable, "-I", "-S", __file__, "tie", str(os.getpid()), *words]


def _server_for(root: Path, words: list[str]) -> str | None:
    """Return which server can run ``words``: torchrun, or a program of the project or of a test."""
    if words[:1] == ["-u"]:
        words = words[1:]
    if words[:1] == ["-m"] and len(words) > 1:
        if words[1].startswith("tools."):
            return PROJECT if Path.cwd() == root else TORCH
        return {_TORCHRUN: TORCH, "pytest": PROJECT}.get(words[1])
    if not words or not words[0].endswith(".py"):
        return None
    script = Path(words[0]).absolute()
    if script.parent in (root, root / "tools"):
        return PROJECT
    # Those in cli/ come before torch is installed.
    return TORCH if script.is_file() and script.parent.name != "cli" else None


def _descriptors() -> list[int]:
    found = []
    for name in os.listdir("/dev/fd"):  # noqa: PTH208
        with suppress(OSError):  # The one with which this is listed is closed again.
            if os.get_inheritable(int(name)):
                found.append(int(name))
    return sorted(found)


def _ask(root: Path, folder: Path, words: list[str]) -> None:
    """Have a server run ``words`` and end as that does; returns where that will not do."""
    descriptors = _descriptors()
    ignored = (n for n in _HANDED_ON if signal.getsignal(n) is signal.SIG_IGN)
    server = _server_for(root, words)
    if (
        descriptors[:3] != [0, 1, 2]
        or len(descriptors) > _MOST_DESCRIPTORS
        or descriptors[-1] > _HIGHEST
        or any(ignored)
        or signal.pthread_sigmask(signal.SIG_BLOCK, ())
        or server is None
    ):
        return
    request = Request(server, words, os.getcwd(), dict(os.environ), descriptors)  # noqa: PTH109
    try:
        connection = connect(folder, request, descriptors)
    except OSError:
        return

    def hand_on(number: int, frame: object) -> None:
        with suppress(OSError):  # It ends now.
            connection.sendall(bytes([number]))

    for number in _HANDED_ON:
        signal.signal(number, hand_on)
    answer = connection.recv(64)
    for number in _HANDED_ON:
        signal.signal(number, signal.SIG_DFL)
    if answer == REFUSED:
        return
    status = int(answer or -signal.SIGKILL)  # It ends with its server.
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _tie(parent: str, *words: str) -> None:
    die_with_parent(int(parent), signal.SIGTERM)
    # Python ignores it, and so would what comes next.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvp(words[0], words)


def _ask_or_become(root: str, folder: str, python: str, *words: str) -> None:
    _ask(Path(root), Path(folder), list(words))
    os.execv(python, [python, *words])


if __name__ == "__main__":
    {"tie": _tie, "ask": _ask_or_become}[sys.argv[1]](*sys.argv[2:])
