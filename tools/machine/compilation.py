"""torch.compile, with what it costs."""

from __future__ import annotations

import os
import shutil
import sys
import time

import torch
from torch import nn

from model.torch_releases import CAN_COMPILE
from tools.cli.errors import UsageError
from tools.machine.device import Device


class Compilation:
    """Compiles networks and adds up the time that this takes.

    torch compiles a graph when it is first called and again when a batch has a shape that the graph does
    not serve, so the time is spread over the first steps.

    Raises:
        UsageError: torch is too old, the device has no compiler of torch's, or this machine no C++ one.
    """

    def __init__(self, device: Device) -> None:
        if not CAN_COMPILE:
            raise UsageError(
                f"--torch_compile needs torch 2.4 or later, and this is {torch.__version__}; leave it out"
            )
        if not device.can_compile:
            raise UsageError(
                f"--torch_compile: torch cannot compile for type {device.type}; leave it out"
            )
        # torch itself looks for this one.
        compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
        if not shutil.which(compiler):
            raise UsageError(
                f"--torch_compile: there is no C++ compiler {compiler}: install g++ or name one in the "
                "variable CXX, or leave it out"
            )
        self.seconds, self.graphs = 0.0, 0
        self._depth, self._began = 0, 0.0

    def compile(self, network: nn.Module) -> nn.Module:
        """Return ``network`` compiled; it shares its weights, and ``network`` itself stays as it is."""
        # The import comes late, since it takes a second.
        from torch._dynamo.callback import on_compile_end, on_compile_start

        on_compile_start(self._start)
        on_compile_end(self._end)
        return torch.compile(network)

    def _start(self, *_: object) -> None:
        self._depth += 1
        if self._depth == 1:
            self._began = time.perf_counter()

    def _end(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._began
            self.graphs += 1
