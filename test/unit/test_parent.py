"""What a launcher starts ends with it, and what a run forks keeps no lock of it."""

import os
import signal
import subprocess
import sys

import pytest
from helpers import ROOT, command, is_free, wait_until

from tools.machine.parent import name_launcher

# A launcher that starts a run, which forks a loader of batches; the two tell their numbers.
LAUNCHER = """
import os, subprocess, sys
from pathlib import Path
from tools.machine.parent import name_launcher
from tools.run.previous import hold
with hold(Path(sys.argv[2])) as lock:
    words = [sys.executable, "-c", sys.argv[1], sys.argv[3]]
    subprocess.run(words, env=os.environ | name_launcher(lock), pass_fds=[lock])
"""
RUN = """
import os, signal, sys, time
from pathlib import Path
import tools.machine.parent as parent
from tools.run.previous import hold
if {polls}:
    parent._ask_kernel = lambda: False
parent.follow_launcher()
with hold(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
        os._exit(0)
    print(os.getpid(), child, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("polls", [False, True])
def test_a_run_ends_with_its_launcher_and_leaves_no_lock(tmp_path, polls):
    """By the kernel where it can, else by looking; a loader that lives on holds neither folder."""
    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    out.mkdir()
    words = [sys.executable, "-c", LAUNCHER, RUN.format(polls=polls), logs, out]
    launcher = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    _, loader = map(int, launcher.stdout.readline().split())
    try:
        assert not is_free(logs)
        assert not is_free(out)
        launcher.kill()
        launcher.wait()
        wait_until(lambda: is_free(logs) and is_free(out), 10)
        os.kill(loader, 0)  # It is there.
        assert is_free(logs)
        assert is_free(out)
    finally:
        os.kill(loader, signal.SIGKILL)
        launcher.stdout.close()


FOLLOW = (
    "import time, tools.machine.parent as p; p.follow_launcher(); time.sleep({}); print('here')"
)


def test_a_run_whose_launcher_was_gone_first_ends():
    gone = subprocess.Popen(["true"])
    gone.wait()
    result = command(
        sys.executable, "-c", FOLLOW.format(30), cwd=ROOT, ALBERT_LAUNCHER=str(gone.pid)
    )
    assert result.returncode == -signal.SIGTERM


def test_a_run_that_no_launcher_started_outlives_its_shell(tmp_path):
    """And so does what a run starts, as the variable is not handed on."""
    (tmp_path / "said").touch()
    script = f'"{sys.executable}" -c "{FOLLOW.format(1)}" >"{tmp_path}/said" & disown; exit'
    environment = {k: v for k, v in os.environ.items() if k not in name_launcher()}
    subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, check=True)
    wait_until((tmp_path / "said").read_text, 30)
    assert (tmp_path / "said").read_text() == "here\n"
    words = (FOLLOW.format(0), "import os; print('ALBERT_LAUNCHER' in os.environ)")
    code = f"{words[0]}; {words[1]}"
    result = command(sys.executable, "-c", code, cwd=ROOT, **name_launcher())
    assert result.stdout == "here\nFalse\n"
