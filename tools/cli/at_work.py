"""Run pip or venv, say what is downloaded, and that it is still at work; needs nothing but Python.

python tools/cli/at_work.py "looking for packages" pip install torch==2.13.0
python tools/cli/at_work.py "making .venv" venv .venv

Its other words stay out of sight. Where it fails, the reason in its words is on standard error, and its
exit status is this program's.
"""

from __future__ import annotations

import importlib.metadata
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence

_SECONDS = 10.0
# Downloads below a megabyte are over before anybody has read of them.
_DOWNLOAD = re.compile(r"\s*Downloading (\S+)(?: \((.* [MG]B)\))?")
_AT_WORK = re.compile(
    r"\s*(?:(Installing) collected packages|(Building wheels?|Preparing metadata)\b)"
)
# The first pip that tells a program how far a download is: pip install --progress-bar raw.
_TELLS = (24, 1)
_BYTES = re.compile(r"Progress (\d+) of (\d+)")


def run_pip(
    words: Sequence[str],
    say: Callable[[str], object],
    doing: str = "looking for packages",
    seconds: float = _SECONDS,
) -> tuple[int, str]:
    """Run this Python's pip; return its exit status, and its last error or, without any, its last line.

    Args:
        words: the arguments, the first of them a command that downloads.
        say: gets a line on each large download, and one where ``seconds`` went by without any.
        doing: what it does at first.
    """
    release = tuple(map(int, re.findall(r"\d+", importlib.metadata.version("pip"))[:2]))
    how = ("--disable-pip-version-check", "--progress-bar", "raw" if release >= _TELLS else "off")
    return run_module(["pip", *words, *how], say, doing, seconds)


def run_module(
    words: Sequence[str], say: Callable[[str], object], doing: str, seconds: float = _SECONDS
) -> tuple[int, str]:
    """Run a module of this Python's as :func:`run_pip` runs pip; ``words`` begin with its name."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        close_fds=False,  # A constraints file may be a descriptor of the shell's.
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    reader = threading.Thread(target=_hand_on, args=(process.stdout, lines), daemon=True)
    reader.start()
    reason = _follow(lines, say, doing, seconds)
    return process.wait(), reason


def _hand_on(stream: Iterable[str], lines: queue.SimpleQueue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _follow(
    lines: queue.SimpleQueue[str | None],
    say: Callable[[str], object],
    doing: str,
    seconds: float,
) -> str:
    """Say what is to be said of a module's lines until they end; return the reason of a failure."""
    began = said = time.monotonic()
    far, last, error = "", "", ""
    while True:
        try:
            line = lines.get(timeout=max(0.0, said + seconds - time.monotonic()))
        except queue.Empty:
            said = time.monotonic()
            say(f"  still {doing}{far} ({said - began:.0f} s)")
            continue
        if line is None:
            return error or last
        if found := _BYTES.match(line):
            done, whole = (int(number) / 1e6 for number in found.groups())
            far = f", {done:.0f} of {whole:.0f} MB"
            continue
        last = line.strip() or last
        if line.startswith("ERROR"):
            error = line.strip()
        if found := _DOWNLOAD.match(line):
            doing, far = f"downloading {found[1]}", ""
            if found[2]:
                said = time.monotonic()
                say(f"  downloading {found[1]} ({found[2]})")
        elif found := _AT_WORK.match(line):
            doing, far = "installing" if found[1] else "preparing packages", ""


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    at_first, *command = sys.argv[1:]
    try:
        if command[0] == "pip":
            status, reason = run_pip(command[1:], _print, at_first)
        else:
            status, reason = run_module(command, _print, at_first)
    except KeyboardInterrupt:  # What it runs, in the same terminal, got it as well.
        sys.exit(130)
    if status:
        print(reason, file=sys.stderr)
    sys.exit(status)
