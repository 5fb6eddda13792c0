"""The benchmark from its data to its report."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import shlex
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from model.configuration_albert import AlbertConfig
from model.files import write_whole
from model.torch_releases import CAN_COMPILE
from processors.glue import TASKS
from tools.bench.contenders import Contender, make_ratios
from tools.bench.data import prepare_features
from tools.bench.figures import contender_figures, peak_figures, ratio_figures
from tools.bench.flags import BenchmarkFlags, Setting
from tools.bench.report import make_report
from tools.bench.workers import OutOfMemory, start_workers
from tools.cli.errors import UsageError
from tools.cli.streams import say
from tools.machine.compilation import Compilation
from tools.machine.device import select_device
from tools.run.inputs import check_sizes


class Benchmark:
    """One comparison, as the flags describe it.

    Args:
        folder: a temporary one, for what torch compiles.
    """

    def __init__(self, flags: BenchmarkFlags, folder: Path) -> None:
        self._flags, self._folder = flags, folder
        self._began = time.monotonic()
        torch.set_num_threads(flags.threads)  # It is only reported here; workers compute.
        if not CAN_COMPILE:
            raise UsageError(
                f"the benchmark needs torch 2.4 or later, and this is {torch.__version__}"
            )
        device = select_device(flags.device, flags.device_id)
        if any(contender.compiled for contender in flags.chosen):
            Compilation(device)  # It says what is missing before anything is computed.
        if any(c.precision == "bf16" for c in flags.chosen) and not device.has_bf16:
            raise UsageError(f"--precision bf16: {device} cannot compute in bf16; leave it out")
        task = TASKS[flags.task_name]
        config = AlbertConfig.from_file(flags.config) if flags.config else AlbertConfig()
        check_sizes(config, task, flags.max_seq_length)
        config.set_task(task.labels)
        self._setting = Setting(flags, config, device)
        self._features = prepare_features(self._setting, task)
        self._facts: dict[str, dict[str, Any]] = {}  # They are a contender's answer to "prepare".
        # They are of the contenders that are through.
        self._turns: dict[str, list[dict[str, Any]]] = {}
        # Their keys are group and precision: a shared machine is now faster, now slower.
        self._products: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self._apart: list[str] = []  # In these groups the contenders ran one after the other.
        self._too_large: list[str] = []  # These did not fit alone either.

    def run(self) -> None:
        """Compare, write the figures, and print the tables.

        A run that is cut short prints those of what was over, and writes nothing.
        """
        whole = False
        try:
            for group in dict.fromkeys(contender.group for contender in self._flags.chosen):
                self._measure([c for c in self._flags.chosen if c.group == group])
            whole = True
        finally:
            result = self._result(whole)
            if whole and self._flags.json:
                text = json.dumps(result, indent=2, ensure_ascii=False)
                write_whole(self._flags.json, text + "\n")
            if whole or result["contenders"]:
                say(make_report(result))

    def _measure(self, contenders: list[Contender]) -> None:
        """Have a group measured: together or, where the memory is too small for that, one by one.

        One that does not even fit alone is left out.

        Raises:
            OutOfMemory: none of them fits.
        """
        try:
            self._take_turns(contenders)
        except OutOfMemory as error:
            if len(contenders) == 1:
                raise
            group = contenders[0].group
            _say(f"{group}: {error}")
            _say(f"{group}: its contenders do not fit together and run one after the other")
            self._apart.append(group)
            for contender in contenders:
                self._measure_alone(contender)
            if not any(contender.name in self._turns for contender in contenders):
                raise

    def _measure_alone(self, contender: Contender) -> None:
        try:
            self._take_turns([contender])
        except OutOfMemory as error:
            _say(f"{contender.group}: {error}")
            self._too_large.append(contender.name)

    def _take_turns(self, contenders: list[Contender]) -> None:
        """Have contenders of one group take turns, with the matrix products that measure the machine."""
        group, rounds = contenders[0].group, self._flags.rounds
        precisions = dict.fromkeys(contender.precision for contender in contenders)
        members = [
            *(Contender(f"matmul-{p}", group, "matmul", precision=p) for p in precisions),
            *contenders,
        ]
        turns: dict[str, list[dict[str, Any]]] = defaultdict(list)
        with start_workers(members, self._setting, self._features[group], self._folder) as workers:
            for worker in workers:
                self._tell(f"{group}: {worker.name} warms up")
                self._facts[worker.name] = worker.ask("prepare")
            for number in range(rounds):
                first = number % len(workers)  # Each round begins with another one.
                for worker in [*workers[first:], *workers[:first]]:
                    turns[worker.name].append(worker.ask("turn"))
                self._tell(f"{group}: round {number + 1} of {rounds} is over")
        for member in members:
            if member.system == "matmul":
                self._products[group, member.precision] += turns[member.name]
            else:
                self._turns[member.name] = turns[member.name]

    def _tell(self, line: str) -> None:
        _say(f"{line}, {time.monotonic() - self._began:.0f} s after the start")

    def _result(self, whole: bool) -> dict[str, Any]:
        """Return the figures of all that is over; ``whole`` tells whether that is everything."""
        peaks: dict[str, dict[str, Any]] = defaultdict(dict)
        for (group, precision), turns in self._products.items():
            peaks[group][precision] = peak_figures(turns)
        through = [c for c in self._flags.chosen if c.name in self._turns]
        contenders = {}
        for contender in through:
            peak = peaks[contender.group][contender.precision]["flops_per_second"]
            facts, turns = self._facts[contender.name], self._turns[contender.name]
            figures = contender_figures(facts, turns, peak)
            contenders[contender.name] = {"group": contender.group, **figures}
        speeds = {name: figures["samples_per_second"] for name, figures in contenders.items()}
        ratios = {
            f"{left} / {right}": ratio_figures(speeds[left], speeds[right])
            for left, right in make_ratios(through)
        }
        train = self._features["train"]
        return {
            "whole": whole,
            "machine": self._machine(),
            "data": {
                "source": str(self._flags.data_dir or "generated"),
                "train_examples": len(train),
                "dev_examples": len(self._features["eval"]),
                "mean_length": float(train.lengths.mean()),
                "longest": int(train.lengths.max()),
            },
            "one_after_the_other": self._apart,
            "too_large": self._too_large,
            "peaks": peaks,
            "contenders": contenders,
            "ratios": ratios,
        }

    def _machine(self) -> dict[str, Any]:
        flags, there = self._flags, importlib.util.find_spec("transformers")
        shown = ("threads", "optimizer", "batch_size", "max_seq_length", "rounds", "sample")
        return {
            "command": shlex.join(["python", "-m", "tools.benchmark", *sys.argv[1:]]),
            "processor": _processor(),
            "device": str(self._setting.device),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": importlib.metadata.version("transformers") if there else None,
            "precision": ",".join(flags.precision),
            **{name: getattr(flags, name) for name in shown},
            "seconds": time.monotonic() - self._began,
        }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _processor() -> str:
    """Return the CPU's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
