"""The tests' own way to run commands: what a command would see, and nothing that outlives the tests."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from forkserver import ROOT, THREADS, can_fork
from helpers import command, forked_environment, start_command, wait_until

SCRIPT = ROOT / "run_classifier.py"


def test_only_what_is_loaded_alike_is_forked(tmp_path):
    assert can_fork([sys.executable, str(SCRIPT), "--help"], tmp_path, {})
    assert can_fork([sys.executable, "-m", "tools.predict"], ROOT, {})
    assert can_fork([sys.executable, "-m", "torch.distributed.run"], tmp_path, {})
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


def relayed(script, *words, **options):
    """Start ``script`` as a forked command starts it, for which a program in Python's place stands."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    whole = {**os.environ, **THREADS, **options.pop("variables", {})}
    python = forked_environment() / "bin" / "python"
    return start_command([python, script, *words], env=whole, **options)


@pytest.fixture
def script(tmp_path):
    """Return a function that writes a script that says first whether it is forked, and its process."""

    def write(*lines):
        first = (
            "import os, signal, sys, time; print('torch' in sys.modules, os.getpid(), flush=True)"
        )
        path = tmp_path / "script.py"
        path.write_text("\n".join([first, *lines]) + "\n")
        return path

    return write


@pytest.mark.parametrize(
    ("variables", "is_forked"),
    [
        ({"MARK": "here"}, True),
        ({"MARK": "here", "OMP_NUM_THREADS": "2"}, False),
        ({"MARK": "here", "PYTHONHASHSEED": "1"}, False),
        ({"MARK": "here", "PYTHONPATH": "/other packages"}, False),
    ],
)
def test_what_a_command_starts_is_forked_where_it_would_be_loaded_alike(
    script, tmp_path, variables, is_forked
):
    says = "print(sys.argv[1:], os.getcwd(), os.environ['MARK'], sys.path[0], __name__)"
    path = script(says, "print(input(), file=sys.stderr)", "sys.exit(3)")
    process = relayed(path, "a word", cwd=ROOT, stdin=subprocess.PIPE, variables=variables)
    output, errors = process.communicate("typed\n", timeout=60)
    first, second = output.splitlines()
    assert first.split()[0] == str(is_forked)
    assert second == f"['a word'] {ROOT} here {tmp_path} __main__"
    assert (errors, process.returncode) == ("typed\n", 3)


def test_a_forked_command_has_what_it_starts_forked(script, tmp_path):
    for name, words in (("run.py", "'script.py'"), ("again.py", "'-u', 'run.py'")):
        text = f"import subprocess, sys\nsys.exit(subprocess.call([sys.executable, {words}]))\n"
        (tmp_path / name).write_text(text)
    script("sys.exit(4)")
    process = relayed("again.py", cwd=tmp_path)
    output, errors = process.communicate(timeout=60)
    assert (output.split()[0], errors, process.returncode) == ("True", "", 4)


def test_who_stands_for_a_forked_command_ends_as_it_does(script):
    process = relayed(script("os.kill(os.getpid(), signal.SIGSEGV)"))
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGSEGV
    process = relayed(script("raise ValueError('what is wrong')"))
    output, errors = process.communicate(timeout=60)
    assert output.startswith("True")
    assert errors.endswith("ValueError: what is wrong\n")
    assert process.returncode == 1


def test_a_signal_comes_to_the_forked_command(script):
    handler = "signal.signal(signal.SIGTERM, lambda *_: sys.exit('asked to end'))"
    process = relayed(script(handler, "print('ready', flush=True)", "time.sleep(60)"))
    assert [process.stdout.readline().split()[0] for _ in range(2)] == ["True", "ready"]
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert (errors, process.returncode) == ("asked to end\n", 1)


def test_a_forked_command_does_not_outlive_who_stands_for_it(script):
    process = relayed(script("time.sleep(60)"))
    is_forked, pid = process.stdout.readline().split()
    assert is_forked == "True"
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not Path("/proc", pid).exists(), 20)
    assert not Path("/proc", pid).exists()


def test_descriptors_that_are_passed_come_to_the_forked_command(script):
    reading, writing = os.pipe()
    process = relayed(
        script("os.write(int(sys.argv[1]), b'here')"), str(writing), pass_fds=[writing]
    )
    output, errors = process.communicate(timeout=60)
    os.close(writing)
    with os.fdopen(reading) as read:
        assert (output.split()[0], read.read(), errors) == ("True", "here", "")


@pytest.mark.parametrize("lacks", ["<&-", "2>&-"])
def test_what_has_closed_streams_or_ignores_signals_is_not_forked(script, lacks):
    python, path = forked_environment() / "bin" / "python", script()
    for shell in (f'"$0" "$1" {lacks}', 'trap "" HUP; "$0" "$1"'):
        result = command("bash", "-c", shell, python, path, cwd=ROOT)
        assert (result.stdout.split()[0], result.returncode) == ("False", 0)


# It has three processes beside pytest's own: the servers, with which their children end, and a command
# that is no child of them.
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
    while len(running := [p for p in marked(tmp_path) if p != tests.pid]) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    lines = [Path("/proc", str(p), "cmdline").read_text().split("\0") for p in running]
    folders = {Path(word) for words in lines for word in words if "/forks-" in word}
    assert [folder.is_dir() for folder in folders] == [True]
    tests.send_signal(number)
    tests.wait(timeout=60)
    while running and time.monotonic() < deadline:
        time.sleep(0.1)
        running = marked(tmp_path)
    assert not running
    assert not any(folder.exists() for folder in folders)


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
