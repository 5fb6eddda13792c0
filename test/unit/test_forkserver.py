"""The tests' own way to run commands: what a command would see, and nothing that outlives the tests."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from forkserver import ROOT, can_fork
from helpers import command

SCRIPT = ROOT / "run_classifier.py"


def test_only_what_is_loaded_alike_is_forked(tmp_path):
    assert can_fork([sys.executable, str(SCRIPT), "--help"], tmp_path, {})
    assert can_fork([sys.executable, "-m", "tools.predict"], ROOT, {})
    assert not can_fork([sys.executable, "-m", "tools.predict"], tmp_path, {})  # another tools/
    assert not can_fork([sys.executable, str(SCRIPT)], tmp_path, {"OMP_NUM_THREADS": "2"})
    assert not can_fork([sys.executable, str(SCRIPT)], tmp_path, {"PYTHONPATH": "other packages"})
    assert not can_fork([sys.executable, str(tmp_path / "run_classifier.py")], tmp_path, {})
    assert not can_fork([sys.executable, "-c", "pass"], tmp_path, {})


def test_a_forked_command_is_what_a_started_one_is(tmp_path):
    for words in (["--help"], ["--do_eval", "--data_dir", "nowhere"]):
        forked = command(sys.executable, SCRIPT, *words, cwd=tmp_path)
        started = command(sys.executable, SCRIPT, *words, cwd=tmp_path, ANOTHER="variable")
        assert forked.args[:2] == [sys.executable, str(SCRIPT)]
        assert (forked.returncode, forked.stdout, forked.stderr) == (
            started.returncode,
            started.stdout,
            started.stderr,
        )


# It has two processes beside pytest's own: the server, with which its children end, and a command that is
# no child of it.
LONG = """
from helpers import ROOT, _fork_server, command

def test_that_takes_long():
    _fork_server()
    command("sleep", "300", cwd=ROOT)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux's prctl that ties processes")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_tests_that_are_killed(tmp_path, number):
    """As ``timeout`` kills them: the one process that runs pytest, and no other."""
    (tmp_path / "test_long.py").write_text(LONG)
    tests = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}", "MARK": str(tmp_path)},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while len(running := [p for p in marked(tmp_path) if p != tests.pid]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    tests.send_signal(number)
    tests.wait(timeout=60)
    while running and time.monotonic() < deadline:
        time.sleep(0.1)
        running = marked(tmp_path)
    assert not running


def marked(folder):
    """Return the ids of the processes whose environment has the mark ``folder``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK={folder}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # It ended, or is another user's.
            continue
    return found
