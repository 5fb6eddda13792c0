"""A launcher at work: its log, its run, its report. Needs nothing but Python."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from model.files import make_folder, remove_temporary_files, writing
from tools.cli.errors import UsageError, ended_by, error_line
from tools.cli.paths import ROOT
from tools.launching.recipe import Launch
from tools.launching.report import write_report
from tools.machine.parent import name_launcher
from tools.results.run_folder import PAGE_FILE
from tools.run.previous import finish_moving, hold, is_half_moved, move_to_previous
from tools.run.remedies import short

NETWORK = "albert_ID0335_for_PyTorch"
_CHUNK = 65536
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# How a run is said to have ended that has one of these exit statuses.
_SIGNALLED = {128 + number: ended_by(number) for number in (signal.SIGINT, signal.SIGTERM)}


def run_launcher(launch: Launch) -> int:
    """Start the run, log what it prints, write its report; returns the run's exit status.

    Raises:
        UsageError: another run writes to the same log folder.
    """
    folder = launch.log.parent
    with writing(folder):
        make_folder(folder)
    with hold(folder) as lock:
        if lock is None:
            raise UsageError(f"another run writes to {folder}: give --device_id another number")
        remove_temporary_files(folder)
        move_earlier_run(folder)
        return _run_and_report(launch, lock)


def move_earlier_run(folder: Path) -> None:
    """Move what the run before left in its log folder to ``previous/<n>``: a folder is of one run."""

    def earlier() -> list[Path]:
        return sorted(file for file in folder.glob("*.*") if not file.name.startswith("."))

    if is_half_moved(folder):
        finish_moving(folder, earlier())
    if files := earlier():
        move_to_previous(folder, files)


def _run_and_report(launch: Launch, lock: int) -> int:
    began = time.monotonic()
    status = run_logged(launch.command, launch.log, lock)
    if status:
        end = _SIGNALLED.get(status, f"error: the run ended with status {status}")
        print(f"{launch.recipe.script.name}: {end}; its log is {launch.log}", file=sys.stderr)
        return status
    flags = launch.flags
    if flags.node_rank > 0:
        text = f"the report is on {flags.master_addr}, the machine with --node_rank=0\n"
    else:
        seconds = int(time.monotonic() - began)
        case = (launch.recipe.kind, flags.batch_size, launch.processes, seconds)
        text = write_report(launch.results, launch.log.parent, NETWORK, *case)
    if launch.recipe.makes_data:
        text += next_commands(flags.output_dir)
    _write(sys.stdout.fileno(), text.encode())
    return 0


def next_commands(model: Path) -> str:
    """Return what somebody who has seen the demonstration may type next."""
    found = shutil.which("python")
    # The file itself is the same in environments of one Python.
    is_ours = found and Path(found).absolute().parent.samefile(Path(sys.executable).parent)
    words = ["python" if is_ours else sys.executable]
    words += ["-m", "tools.predict"] if Path.cwd() == ROOT else [short(ROOT / "tools/predict.py")]
    ask = shlex.join([*words, "--model", short(model)])
    page = model / PAGE_FILE
    open_it = f"\nOpen {short(page)}: how good it is, how sure that is, what it gets wrong"
    return (
        f"The trained model is in {short(model)}{open_it if page.is_file() else ''}\n"
        f'Ask it:\n    {ask} "a gripping film"\n'
        'Your own table of sentences: README.md, "Your own data"\n'
    )


def run_logged(command: Sequence[str], log: Path, lock: int) -> int:
    """Run a command, copy all it prints to standard output and to ``log``, and return its exit status.

    SIGTERM and Ctrl-C go on to the command, a hang-up as SIGTERM, and the log gets its last words. Where
    this process itself is killed, the command gets SIGTERM. A reader of standard output that goes away, or
    a full disk, does not end it.

    Args:
        lock: a descriptor that the command keeps open: the folder is its own for as long as it lives.
    """
    with writing(log.parent):
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    child: subprocess.Popen | None = None
    came: list[int] = []

    def pass_on(number: int, _: object) -> None:
        number = signal.SIGTERM if number == signal.SIGHUP else number
        if child is None:
            came.append(number)
        else:
            child.send_signal(number)

    # What a caller has this process ignore, the command ignores as well: hang-ups under nohup, and Ctrl-C
    # in the background of a script.
    passed = [n for n in _PASSED_ON if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, pass_on) for number in passed}
    # A terminal sends Ctrl-C to all processes of its session. The command is to get it once, from here.
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | name_launcher(lock),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[lock],
        start_new_session=True,
    )
    for number in came:  # The child was not there yet to be told.
        child.send_signal(number)
    while chunk := os.read(child.stdout.fileno(), _CHUNK):
        _write(sys.stdout.fileno(), chunk)
        if lost := _write(file, chunk, log.parent):
            print(f"warning: {log} is not whole: {error_line(lost)}", file=sys.stderr)
    with contextlib.suppress(OSError):  # It may lead nowhere by now.
        os.fsync(file)
    os.close(file)
    child.stdout.close()
    status = child.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def _write(file: int, data: bytes, folder: Path | str = "the standard output") -> OSError | None:
    """Write to a descriptor; where that fails, return why, and have it lead nowhere from now on."""
    try:
        with writing(folder):
            while data:
                data = data[os.write(file, data) :]
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file)
        os.close(nowhere)
        return error
    return None
