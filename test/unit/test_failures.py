"""A process of several that fails, is killed or hangs ends the run, and the last lines say which."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import (
    ROOT,
    command,
    free_port,
    is_free,
    records,
    start_command,
    wait_until,
    write_sst2,
)

# What the test has rank 1 do when a signal comes: hang in Python code, or raise.
CUSTOMIZE = """
import os, signal, time

def fail(*_):
    raise RuntimeError("out of luck")

if os.environ.get("RANK") == "1":
    signal.signal(signal.SIGUSR1, lambda *_: time.sleep(3600))
    signal.signal(signal.SIGUSR2, fail)
"""


@pytest.fixture
def run(clone, tmp_path):
    """Start a long run of two processes and wait until it trains; rank 1 can be made to misbehave."""
    (tmp_path / "sitecustomize.py").write_text(CUSTOMIZE)
    environment = {
        "PATH": "/usr/bin:/bin",
        "VIRTUAL_ENV": sys.prefix,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(tmp_path),
    }
    process = start_command(
        ["bash", clone / "test" / "train_full_8p.sh", "--device=cpu", "--nproc=2", "--batch_size=8",
         "--", "--max_seq_length=32", "--max_steps=1000000", "--save_steps=0", "--ddp_timeout=10"],
        cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if "[Training] 20/" in line:
            break
    yield process
    process.kill()
    process.stdout.close()


def processes_of(folder):
    """Return the ids of the processes that run in ``folder``, with their ranks (None: no rank)."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() != folder or entry.name == str(os.getpid()):
                continue
            variables = (entry / "environ").read_bytes().decode().split("\0")
        except OSError:  # it ended, or is another user's
            continue
        found[int(entry.name)] = next((v[5:] for v in variables if v.startswith("RANK=")), None)
    return found


def end(process, clone, seconds=0, within=60):
    """Return what the run printed from now on; it must end ``within`` so many seconds and leave nobody.

    ``seconds`` is how long others may outlive the one that was started.
    """
    output, _ = process.communicate(timeout=within)
    wait_until(lambda: not processes_of(clone), seconds)
    assert processes_of(clone) == {}
    return output.splitlines()


@pytest.mark.parametrize(
    ("number", "words", "status"),
    [
        (signal.SIGKILL, "was killed by SIGKILL; its log is", 137),
        (signal.SIGUSR2, "RuntimeError: out of luck", 1),
    ],
)
def test_a_process_that_fails_or_is_killed_ends_the_run(run, clone, number, words, status):
    (victim,) = (pid for pid, rank in processes_of(clone).items() if rank == "1")
    os.kill(victim, number)
    *_, line, last = end(run, clone)
    assert run.returncode == status
    assert line.startswith("launch: error: rank 1")
    assert words in line
    assert line.endswith(f"its log is {clone / 'test' / 'output' / '0' / 'rank_1.log'}")
    assert last.startswith("train_full_8p.sh: error: the run ended with status")


def test_a_process_that_hangs_ends_the_run_after_the_timeout(run, clone):
    (victim,) = (pid for pid, rank in processes_of(clone).items() if rank == "1")
    os.kill(victim, signal.SIGUSR1)
    *_, line, _ = end(run, clone)
    assert run.returncode == 1
    assert "rank 0: no answer from the other processes within 10 s (--ddp_timeout)" in line
    hung = (clone / "test" / "output" / "0" / "rank_1.log").read_text()
    assert "terminated at" in hung
    assert "sitecustomize.py" in hung  # where it hung


def test_nobody_outlives_a_launcher_that_is_killed(run, clone):
    run.kill()
    end(run, clone, seconds=15)
    for folder in (clone / "test" / "output" / "0", clone / "outputs" / "SST-2"):
        wait_until(lambda folder=folder: is_free(folder), 5)  # The kernel closes files last.
        assert is_free(folder), folder


def test_the_other_machine_s_processes_end_when_torchrun_is_killed_on_one(clone, tmp_path):
    """Here a machine is a launcher of its own."""
    port = free_port()
    data = write_sst2(tmp_path / "data")
    model = clone / "prev_trained_model" / "albert_base_v2"
    machines = [
        start_command(
            [sys.executable, ROOT / "tools" / "launch.py", "--nnodes=2", f"--node_rank={number}",
             "--master_addr=127.0.0.1", f"--master_port={port}", "--device=cpu", f"--log_dir=logs{number}",
             "--", ROOT / "run_classifier.py", "--do_train", "--data_dir", data, "--device=cpu",
             "--model_name_or_path", model, "--max_seq_length=32", "--max_steps=1000000",
             "--ddp_timeout=10"],
            cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for number in range(2)
    ]  # fmt: skip
    for line in machines[0].stdout:
        if "[Training] 20/" in line:
            break
    machines[1].kill()
    lines = end(machines[0], clone)
    machines[1].stdout.close()
    machines[1].wait()
    # The process that lost its launcher asks for an end as SIGTERM does, and both save and stop.
    assert machines[0].returncode == 128 + signal.SIGTERM
    (said,) = (line for line in lines if line.startswith("run_classifier.py: "))
    assert re.search(r"terminated after step (\d+): .*checkpoint-\1 is saved; --resume", said)
    (saved,) = (clone / "outputs" / "SST-2").glob("checkpoint-*")
    assert saved.name in said


def test_sigterm_to_the_launcher_ends_all(run, clone):
    run.send_signal(signal.SIGTERM)
    lines = end(run, clone)
    assert run.returncode == 128 + signal.SIGTERM
    assert "launch: all processes are terminated" in lines
    assert "Traceback" not in "\n".join(lines)


def test_ctrl_c_ends_all(run, clone):
    """On the launcher, which passes it on as a terminal would send it."""
    run.send_signal(signal.SIGINT)
    *lines, last = end(run, clone)
    assert run.returncode == 128 + signal.SIGINT
    (checkpoint,) = (clone / "outputs" / "SST-2").glob("checkpoint-*")
    assert re.fullmatch(
        r"run_classifier.py: interrupted after step (\d+): \S*/checkpoint-\1 is saved; --resume goes on "
        "from there",
        lines[-2],
    )
    assert lines[-2].split()[-8].endswith(checkpoint.name)
    assert lines[-1] == "launch: all processes are interrupted"
    assert last.startswith("train_full_8p.sh: interrupted; its log is ")
    assert "Traceback" not in "\n".join(lines)


def test_a_run_that_is_restarted_goes_on_from_its_checkpoint(clone, tmp_path, no_dropout):
    data = write_sst2(tmp_path / "data")
    process = start_command(
        [sys.executable, ROOT / "tools" / "launch.py", "--nproc=2", "--device=cpu", "--max_restarts=1",
         "--", ROOT / "run_classifier.py", "--do_train", "--data_dir", data, "--device=cpu",
         "--model_name_or_path", no_dropout, "--max_seq_length=32", "--max_steps=100",
         "--save_steps=20", "--resume", "--output_dir=out"],
        cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if "[Training] 40/" in line:
            break
    (victim,) = (pid for pid, rank in processes_of(clone).items() if rank == "1")
    os.kill(victim, signal.SIGKILL)
    lines = "\n".join(end(process, clone, within=300))
    assert process.returncode == 0, lines
    assert "optimizer steps = 100, done = " in lines
    assert "optimizer steps = 100, done = 0" not in lines
    assert [r["step"] for r in records(clone / "out", "step")] == list(range(1, 101))


@pytest.mark.parametrize(
    ("several", "printed"), [({}, "late\n"), ({"WORLD_SIZE": "2", "RANK": "1"}, "")]
)
def test_one_process_of_several_ends_without_pythons_own_end(several, printed):
    code = "import atexit, tools.cli.program as p; atexit.register(print, 'late'); p.end_program(3)"
    result = command(sys.executable, "-c", code, cwd=ROOT, **several)
    assert (result.returncode, result.stdout, result.stderr) == (3, printed, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_lost_last_line_is_a_failure_without_a_traceback():
    code = "import sys, tools.cli.program as p; sys.stdout.write('last'); p.end_program(0)"
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={"WORLD_SIZE": "2", "RANK": "0"}, text=True,
            stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_does_not_hide_what_went_wrong():
    code = "import tools.cli.program as p; print(p.run_program(lambda: 1 / 0, 'it', False, rank=0))"
    result = command(sys.executable, "-c", code, cwd=ROOT, TORCHELASTIC_ERROR_FILE="/dev/full")
    assert result.stdout == "1\n"
    assert result.stderr.startswith("it: error: rank 0: ZeroDivisionError: division by zero")
