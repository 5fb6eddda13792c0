"""Devices, processes, the FPS counter and progress lines."""

import logging
import time
from types import SimpleNamespace

import pytest
import torch

from callback.progressbar import ProgressBar
from tools.cli.errors import UsageError, error_line
from tools.machine.device import Device, select_device
from tools.machine.distributed import Processes, processes_from_environment
from tools.run.throughput import FpsCounter


@pytest.fixture
def environment(monkeypatch):
    def set_variables(**variables):
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            monkeypatch.delenv(name, raising=False)
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
        for name, value in (address | variables).items():
            monkeypatch.setenv(name, str(value))

    return set_variables


def test_one_process_without_variables(environment):
    environment()
    assert processes_from_environment() == Processes(0, 0, 1)
    assert processes_from_environment(local_rank=0) == Processes(0, 0, 1)


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
    [({"WORLD_SIZE": "two"}, "no number"), ({"WORLD_SIZE": 2, "RANK": 2}, "RANK is 2")],
)
def test_contradicting_variables_are_refused(environment, variables, words):
    environment(**variables)
    with pytest.raises(UsageError, match=words):
        processes_from_environment()


def test_a_local_rank_without_its_variables_is_refused(environment):
    environment()
    with pytest.raises(UsageError, match="torchrun"):
        processes_from_environment(local_rank=1)


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
