"""Devices, processes, the FPS counter and progress lines."""

import logging
import os
import socket
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import ROOT, command, free_port
from simulated_npu import install

from callback.progressbar import ProgressBar
from tools.cli.errors import UsageError, error_line
from tools.machine import device as device_module
from tools.machine.cann import cann_folders, describe_cann
from tools.machine.cores import usable_cores
from tools.machine.device import Device, select_device
from tools.machine.distributed import Processes, processes_from_environment
from tools.machine.process_flags import ProcessFlags
from tools.machine.torchrun import check_machine
from tools.run.throughput import FpsCounter


@pytest.fixture
def environment(monkeypatch):
    def set_variables(**variables):
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK_SIZE", *address):
            monkeypatch.setenv(name, "")  # So what is set from here on is undone.
            monkeypatch.delenv(name)
        for name, value in (address | variables).items():
            if value is not None:
                monkeypatch.setenv(name, str(value))

    return set_variables


def test_one_process_without_variables(environment):
    environment()
    assert processes_from_environment() == Processes(0, 0, 1)
    environment(RANK_SIZE=8)  # An Ascend shell has it, whatever is started there.
    assert processes_from_environment() == Processes(0, 0, 1)
    assert "WORLD_SIZE" not in os.environ


def test_torchrun_variables(environment):
    environment(RANK=5, LOCAL_RANK=1, WORLD_SIZE=8)
    assert processes_from_environment() == Processes(5, 1, 8, 8)


def test_local_rank_from_the_flag(environment):
    environment(RANK=5, WORLD_SIZE=8)
    assert processes_from_environment(local_rank=1) == Processes(5, 1, 8, 8)
    environment(WORLD_SIZE=8)
    assert processes_from_environment(local_rank=3) == Processes(3, 3, 8, 8)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"WORLD_SIZE": "two"},
            "WORLD_SIZE in the environment is 'two': .* whole number from 1 on",
        ),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE in the environment is '0'"),
        ({"WORLD_SIZE": 2, "RANK": ""}, "RANK in the environment is ''"),
        ({"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 0}, "LOCAL_WORLD_SIZE in the environment is '0'"),
        (
            {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 3},
            "LOCAL_WORLD_SIZE is 3, but WORLD_SIZE, .* is 2",
        ),
        ({"WORLD_SIZE": 2, "MASTER_PORT": "abc"}, "MASTER_PORT .* 'abc': .* from 1 to 65535"),
        ({"WORLD_SIZE": 2, "MASTER_PORT": "65536"}, "MASTER_PORT"),
        ({"WORLD_SIZE": 2, "MASTER_ADDR": ""}, "there is no MASTER_ADDR in the environment"),
        ({"WORLD_SIZE": 2, "RANK": 2}, "RANK is 2"),
        (
            {"WORLD_SIZE": 1, "LOCAL_RANK": 1},
            "the local rank is 1, but there are 1 processes on this machine",
        ),
    ],
)
def test_contradicting_variables_are_refused(environment, variables, words):
    environment(**variables)
    with pytest.raises(UsageError, match=words):
        processes_from_environment()


def test_an_address_that_nobody_has_is_refused_before_torch_looks_for_it(environment):
    for rank in (0, 1):
        environment(RANK=rank, WORLD_SIZE=2, MASTER_ADDR="no-such-host.invalid")
        with (
            pytest.raises(
                UsageError, match="MASTER_ADDR no-such-host.invalid: no machine is known"
            ),
            processes_from_environment().connected(Device("cpu"), 3),
        ):
            pytest.fail("connected")
    flags = ProcessFlags(nnodes=2, master_addr="no-such-host.invalid", device="cpu")
    with pytest.raises(UsageError, match="--master_addr no-such-host.invalid: no machine is known"):
        check_machine(flags)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_finds_no_other_says_where_it_looked(environment, capfd, rank):
    """And torch does not print the addresses of its own code."""
    environment(RANK=rank, WORLD_SIZE=2, MASTER_PORT=free_port())
    words = (
        r"not find each other within 1 s \(--ddp_timeout\): .* MASTER_ADDR=127.0.0.1 MASTER_PORT="
    )
    with (
        pytest.raises(TimeoutError, match=words),
        processes_from_environment().connected(Device("cpu"), 1),
    ):
        pytest.fail("connected")
    assert "frame #" not in capfd.readouterr().err


def test_a_port_that_another_program_has_is_said(environment):
    with socket.create_server(("", 0)) as other:
        environment(RANK=0, WORLD_SIZE=2, MASTER_PORT=other.getsockname()[1])
        with (
            pytest.raises(
                UsageError, match="is where another program listens: choose another port"
            ),
            processes_from_environment().connected(Device("cpu"), 1),
        ):
            pytest.fail("connected")


def test_more_processes_than_cores_need_a_word_that_insists():
    many = usable_cores() + 1
    with pytest.raises(UsageError, match=f"--nproc={many} on the CPU, but there are .* --oversub"):
        ProcessFlags(nproc=many, device="cpu")
    assert ProcessFlags(nproc=many, device="cpu", oversubscribe=True).nproc == many
    undecided = ProcessFlags(nproc=many)
    if select_device("auto").is_shared:
        with pytest.raises(UsageError, match="--oversubscribe to insist"):
            check_machine(undecided)


@pytest.mark.parametrize("local_rank", [0, 7])
def test_a_loop_over_local_ranks_with_rank_size(environment, local_rank):
    """As the references' launchers; a RANK of somebody else's does not count, as it does not there."""
    environment(RANK_SIZE=8, RANK=0, MASTER_ADDR=None, MASTER_PORT=None)
    here = Processes(local_rank, local_rank, 8, 8)
    assert processes_from_environment(local_rank) == here
    # torch reads these; and whoever asks again gets the same answer.
    address = [os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT")]
    assert address == ["127.0.0.1", "29688"]
    assert processes_from_environment(local_rank) == here
    environment(RANK_SIZE=8, MASTER_ADDR=None, MASTER_PORT=3)
    processes_from_environment(local_rank)
    assert [os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT")] == ["127.0.0.1", "3"]


def test_torchruns_variables_win_over_rank_size(environment):
    environment(RANK=1, LOCAL_RANK=1, WORLD_SIZE=2, RANK_SIZE=8)
    assert processes_from_environment(local_rank=1) == Processes(1, 1, 2, 2)


@pytest.mark.parametrize("local_rank", [0, 1])
@pytest.mark.parametrize(
    ("size", "words"),
    [
        (None, "nothing says of how many: export RANK_SIZE=8 .* torchrun"),
        ("", "nothing says of how many"),
        ("eight", "RANK_SIZE is eight: it is to be the number of processes"),
        ("0", "RANK_SIZE is 0"),
    ],
)
def test_a_local_rank_of_an_unknown_number_is_refused(environment, local_rank, size, words):
    """By every process, the first as well: it must not train alone."""
    environment(RANK_SIZE=size)
    with pytest.raises(UsageError, match=f"--local_rank {local_rank}, but {words}"):
        processes_from_environment(local_rank)


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
