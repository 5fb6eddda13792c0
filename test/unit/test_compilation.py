"""torch.compile: the same numbers, its time told, and one line where it cannot be."""

import os
import shutil
import sys
from functools import partial

import pytest
import torch

from tools.cli.errors import UsageError
from tools.machine import compilation
from tools.machine.compilation import Compilation
from tools.machine.device import Device

COMPILER = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")


newer_torch = pytest.mark.newer_torch("is not for torch.compile")


def test_a_torch_too_old_for_it_is_told(monkeypatch):
    monkeypatch.setattr(compilation, "CAN_COMPILE", False)
    with pytest.raises(
        UsageError, match=r"--torch_compile needs torch 2\.4 or later, and this is \d"
    ):
        Compilation(Device("cpu"))


@newer_torch
@pytest.mark.skipif(not shutil.which(COMPILER), reason="this machine has no C++ compiler")
def test_a_compiled_network_gives_the_same_numbers_and_tells_its_time(monkeypatch):
    # The graphs are traced as ever, but run without new kernels: g++ takes up to a minute for one.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.GELU())
    compiling = Compilation(Device("cpu"))
    compiled = compiling.compile(network)
    assert compiling.graphs == 0
    inputs = torch.randn(3, 4)
    torch.testing.assert_close(compiled(inputs), network(inputs))
    assert compiling.graphs == 1
    assert compiling.seconds > 0
    compiled(inputs).sum().backward()
    assert network[0].weight.grad is not None


@newer_torch
def test_a_device_that_torch_cannot_compile_for():
    with pytest.raises(UsageError, match="npu; leave it out"):
        Compilation(Device("npu"))


@newer_torch
def test_a_machine_without_a_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match=r"install g\+\+"):
        Compilation(Device("cpu"))
