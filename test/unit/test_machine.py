"""Devices, processes, the FPS counter and progress lines."""

import logging
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from forks import fork, statuses
from helpers import ROOT, command, free_port
from simulated_npu import install

from callback.progressbar import ProgressBar
from tools.cli.errors import UsageError, error_line
from tools.machine import device as device_module
from tools.machine.cann import cann_folders, describe_cann
from tools.machine.device import Device, select_device
from tools.machine.distributed import Processes
from tools.run.throughput import FpsCounter


def test_the_cpu_is_everywhere():
    device = select_device("cpu")
    assert device.torch_device == torch.device("cpu")
    assert device.process_group_backend == "gloo"
    assert "cpu" in str(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_said():
    with pytest.raises(UsageError, match="--device cuda: .* --device cpu works everywhere"):
        select_device("cuda")
    assert select_device("auto").type in ("cpu", "npu")


@pytest.fixture
def npu(monkeypatch):
    """Pretend that there is an NPU; hands back what tells how torch_npu loads."""

    def loads(error=None, sees=0):
        def load(name):
            assert name == "torch_npu"
            if error:
                raise error

        monkeypatch.setattr(device_module, "_npu_hardware", lambda: Path("/dev/davinci0"))
        monkeypatch.setattr(device_module.importlib, "import_module", load)
        known = SimpleNamespace(is_available=lambda: sees > 0, device_count=lambda: sees)
        monkeypatch.setattr(torch, "npu", known, raising=False)

    return loads


@pytest.mark.parametrize("choice", ["auto", "npu"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ModuleNotFoundError("No module named 'torch_npu'", name="torch_npu"),
            f"torch_npu is not installed in {sys.executable}",
        ),
        (
            ModuleNotFoundError("No module named 'yaml'", name="yaml"),
            "torch_npu does not load: No module named 'yaml'",
        ),
        (
            ImportError("libhccl.so: cannot open shared object file: No such file or directory"),
            "torch_npu does not load: libhccl.so: cannot open shared object file",
        ),
        (
            RuntimeError("\nThe driver's version 23.0 does not fit.\n[ERROR] 2026-11-26"),
            "torch_npu does not load: The driver's version 23.0 does not fit.;",
        ),
        (None, "torch_npu sees no NPU: `npu-smi info` shows"),
    ],
)
def test_an_npu_that_cannot_be_used_is_said_with_the_reason(npu, choice, error, words):
    npu(error)
    with pytest.raises(UsageError, match="--device cpu") as caught:
        select_device(choice)
    line = str(caught.value)
    assert words in line
    assert "\n" not in line
    if error is None or not isinstance(error, ModuleNotFoundError):
        assert "no CANN found, looked in " in line
        assert "/usr/local/Ascend/cann, /usr/local/Ascend/ascend-toolkit" in line
    assert select_device("cpu").type == "cpu"


def test_an_npu_is_taken_where_it_works(npu):
    npu(sees=2)
    assert select_device("auto", 1) == Device("npu", 1)


CANN = "cann/set_env.sh"


@pytest.mark.parametrize(
    ("file", "variables"),
    [
        (f"usr/local/Ascend/{CANN}", {}),
        (f"home/Ascend/{CANN}", {}),
        (f"elsewhere/{CANN}", {"ASCEND_HOME_PATH": "elsewhere/cann"}),
        (f"noted/{CANN}", {}),
    ],
)
def test_cann_is_found_where_it_may_be(tmp_path, file, variables):
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).touch()
    info = tmp_path / "etc" / "Ascend" / "ascend_cann_install.info"
    info.parent.mkdir(parents=True)
    info.write_text(f"Version=1\nInstall_Path={tmp_path / 'noted'}\n")
    environment = {name: str(tmp_path / value) for name, value in variables.items()}
    environment["HOME"] = str(tmp_path / "home")
    words = describe_cann(environment, tmp_path)
    assert words == f"CANN is in {(tmp_path / file).parent}: source {tmp_path / file} first"


def test_cann_is_looked_for_where_the_launchers_look(tmp_path, monkeypatch):
    for noted, folder in (("etc/Ascend", "one"), ("home/Ascend", "two")):
        info = tmp_path / noted / "ascend_cann_install.info"
        info.parent.mkdir(parents=True)
        info.write_text(f"Install_Path={tmp_path / folder}\n")
    environment = {
        "HOME": str(tmp_path / "home"),
        "ASCEND_HOME_PATH": str(tmp_path / "three" / "latest"),
        "ALBERT_TEST_ROOT": str(tmp_path),
    }
    script = f". '{ROOT}/test/env_npu.sh' >/dev/null 2>&1; cann_folders"
    result = command("bash", "-c", script, cwd=tmp_path, **environment)
    listed = list(dict.fromkeys(result.stdout.splitlines()))
    assert listed == [str(folder) for folder in cann_folders(environment, tmp_path)]
    assert len(listed) == 18


@pytest.mark.parametrize(
    "words",
    [
        "Timed out waiting 1000ms for recv operation to complete",
        "wait timeout after 2000ms",
        "EI0002: The wait execution of the Notify register times out. Reason: the Notify register",
        "The watchdog timeout exception",
    ],
)
def test_a_process_that_does_not_answer_is_said_in_one_line(monkeypatch, words):
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    with (
        pytest.raises(TimeoutError, match="no answer from the other processes within 3 s"),
        Processes(0, 0, 2, 2).connected(Device("cpu"), 3),
    ):
        raise RuntimeError(words)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("EI0006: Getting socket times out. Reason: the remote does not", TimeoutError),
        ("The aicore execution times out", RuntimeError),
        ("fftsplus task timeout", RuntimeError),
    ],
)
def test_other_timeouts_are_not_laid_to_a_silent_process(monkeypatch, words, error):
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    with (
        pytest.raises(error) as caught,
        Processes(0, 0, 2, 2).connected(Device("cpu"), 3),
    ):
        raise RuntimeError(words)
    assert "--ddp_timeout" not in str(caught.value)
    assert ("HCCL_CONNECT_TIMEOUT" in str(caught.value)) == (error is TimeoutError)


def test_flags_that_contradict_each_other():
    with pytest.raises(UsageError, match="--no_cuda"):
        select_device("cuda", no_cuda=True)


def test_fps_leaves_out_the_first_six_steps_pauses_and_compilation():
    compilation = SimpleNamespace(seconds=0.0)
    counter = FpsCounter(Device("cpu"), 8, compilation)
    for _ in range(6):
        time.sleep(0.05)
        counter.count(10)
    assert counter.result() == 0.0
    for _ in range(2):
        time.sleep(0.01)
        counter.count(10)
        with counter.paused():
            time.sleep(0.2)
        time.sleep(0.2)
        compilation.seconds += 0.2
    # 20 samples in two steps of 0.01 s and more; anything else would bring it below 50.
    assert 50 < counter.result() <= 1000


@pytest.mark.parametrize("steps", [1, 2, 6])
def test_fps_of_a_short_epoch_counts_its_last_step(steps):
    counter = FpsCounter(Device("cpu"), steps)
    for _ in range(steps):
        time.sleep(0.01)
        counter.count(10)
    assert 0 < counter.result() <= 1000


def test_progress_lines_in_a_log(caplog):
    caplog.set_level(logging.INFO)
    progress = ProgressBar("Training", 2)
    progress.advance()
    progress.report(0.6931, 1e-4)
    assert "[Training] 1/2  loss: 0.6931  lr: 1.00e-04" in caplog.text


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UsageError("this and that"), "this and that"),
        (ValueError("two\nlines"), "two"),
        (
            FileNotFoundError(2, "No such file or directory", "x.tsv"),
            "x.tsv: No such file or directory",
        ),
        (RuntimeError("odd"), "RuntimeError: odd (--debug shows where)"),
        (KeyError("name"), "KeyError: 'name' (--debug shows where)"),
    ],
)
def test_errors_are_one_line(error, line):
    assert error_line(error) == line


def test_hccl_gives_up_before_the_watchdog_does(monkeypatch):
    monkeypatch.delenv("HCCL_EXEC_TIMEOUT", raising=False)
    assert Device("cuda").limit_collectives(0.5) == timedelta(seconds=0.5)
    assert "HCCL_EXEC_TIMEOUT" not in os.environ
    monkeypatch.setenv("HCCL_EXEC_TIMEOUT", "7")  # It is the user's.
    assert Device("npu").limit_collectives(1800) == timedelta(seconds=1830)
    assert os.environ["HCCL_EXEC_TIMEOUT"] == "7"
    monkeypatch.setenv("HCCL_EXEC_TIMEOUT", "3600")  # The watchdog leaves HCCL the time to say why.
    assert Device("npu").limit_collectives(1800) == timedelta(seconds=3630)
    monkeypatch.delenv("HCCL_EXEC_TIMEOUT")
    assert Device("npu").limit_collectives(86400) == timedelta(seconds=86430)
    assert os.environ["HCCL_EXEC_TIMEOUT"] == "17340"
    monkeypatch.delenv("HCCL_EXEC_TIMEOUT")
    assert Device("npu").limit_collectives(0.5) > timedelta(seconds=1)
    assert os.environ["HCCL_EXEC_TIMEOUT"] == "1"  # 0 would be no limit at all


SILENT = """
import os, sys, time
import torch_npu
from tools.machine.device import select_device
from tools.machine.distributed import processes_from_environment
processes = processes_from_environment()
device = select_device("npu", processes.rank)
device.activate()
try:
    with processes.connected(device, 2):
        processes.barrier()
        if processes.rank == 1:
            time.sleep(6)
            os._exit(0)
        began = time.monotonic()
        processes.barrier()
except TimeoutError as error:
    print(error)
    print(f"after {time.monotonic() - began:.1f} s", flush=True)
os._exit(0)
"""


def test_ddp_timeout_is_the_limit_of_hccl(tmp_path):
    (tmp_path / "silent.py").write_text(SILENT)
    environment = install(tmp_path / "packages")
    environment["PYTHONPATH"] += f":{ROOT}"
    words = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2, "silent.py")
    result = command(sys.executable, *words, cwd=tmp_path, **environment)
    assert result.returncode == 0, result.stderr
    said, after = result.stdout.splitlines()
    assert "no answer from the other processes within 2 s (--ddp_timeout)" in said
    assert 1.5 < float(after.split()[1]) < 5


def test_a_group_is_left_though_its_threads_wait_for_python():
    """torch 2.6 hung there: a thread that has done a collective drops its tensors by Python's lock."""
    ports = [free_port() for _ in range(4)]

    def leave_again_and_again(rank):
        def action():
            sys.setswitchinterval(5)  # So the other threads get no turn that is not given to them.
            for port in ports:
                os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
                processes = Processes(rank, rank, 2, 2)
                with processes.connected(Device("cpu"), 60):
                    processes.all_reduce(torch.ones(4))
            return 0

        return action

    assert statuses([fork(leave_again_and_again(rank)) for rank in range(2)]) == [0, 0]
