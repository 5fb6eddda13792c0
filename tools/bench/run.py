"""The benchmark from its files to its report."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
import shutil
import sys
import time
from argparse import Namespace
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from model.configuration_albert import CONFIG_NAME, AlbertConfig
from model.files import write_whole
from model.tokenization_albert import AlbertTokenizer, check_vocabulary, find_vocabulary
from processors.features import Features, build_features
from processors.glue import TASKS
from processors.reading import read_examples
from tools.bench.contenders import Ratio, make_ratios
from tools.bench.data import (
    DEV_EXAMPLES,
    TRAIN_EXAMPLES,
    draw_lengths,
    draw_static_lengths,
    generate_features,
)
from tools.bench.fleet import Worker, in_turns, start_workers
from tools.bench.processes import ProcessRuns
from tools.bench.report import make_report
from tools.bench.results import contender_figures, peak_figures, ratio_figures, summary
from tools.bench.spec import Contender, Setting
from tools.cli.errors import UsageError
from tools.machine.compilation import Compilation
from tools.machine.device import select_device
from tools.run.inputs import check_sizes

PARTS = ("train", "static", "eval", "startup", "processes")
_SEED = 42
_PEAK = Contender("matmul", "", "matmul")
_STARTUP = Contender("startup", "startup", "startup")


class Benchmark:
    """One comparison, as the flags describe it.

    Args:
        folder: a temporary one, for the examples, a copy of the data and what workers write.
    """

    def __init__(self, args: Namespace, folder: Path) -> None:
        self._args, self._folder = args, folder
        self._task = TASKS[args.task_name]
        self._began = time.monotonic()
        torch.set_num_threads(args.threads)  # only said here; workers compute
        self._device = select_device(args.device, args.device_id)
        if any(contender.compiled for contender in args.chosen):
            Compilation(self._device)  # says what is missing before anything is computed
        bf16 = args.precision == "bf16" or any(contender.bf16 for contender in args.chosen)
        if bf16 and not self._device.has_bf16:
            flag = "--bf16" if args.bf16 else "--precision bf16"
            raise UsageError(f"{flag}: {self._device} cannot compute in bf16; leave it out")
        self._prepare_model()
        self._data = self._prepare_data()
        self._setting = Setting(
            task_name=args.task_name,
            features=str(folder / "features"),
            data=str(folder / "data") if args.data_dir else "",
            model=str(folder / "model"),
            device_type=self._device.type,
            device_index=self._device.index,
            threads=args.threads,
            precision=args.precision,
            optimizer=args.optimizer,
            batch_size=args.batch_size,
            max_seq_length=args.max_seq_length,
            sample=args.sample,
            seed=_SEED,
        )
        self._facts: dict[str, dict[str, Any]] = {}  # a contender's answer to "prepare"
        self._turns: dict[str, list[dict[str, Any]]] = defaultdict(list)
        # By group, of its own rounds: a shared machine is faster at one time than at another.
        self._peaks: dict[str, dict[str, Any]] = {}
        self._startup: dict[str, dict[str, Any]] = {}
        self._processes: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        """Compare, write the figures, and print the tables.

        A run that is cut short prints those of the groups that were over, and writes nothing.
        """
        whole = False
        try:
            self._measure()
            whole = True
        finally:
            result = self._result(whole)
            if whole and self._args.json:
                text = json.dumps(result, indent=2, ensure_ascii=False)
                write_whole(self._args.json, text + "\n")
            if whole or result["contenders"]:
                print(make_report(result), flush=True)

    def _measure(self) -> None:
        if self._args.chosen:
            self._compare_contenders()
        if "startup" in self._args.parts:
            self._take_turns("startup", [_STARTUP], [])
            reads = self._turns[_STARTUP.name]
            self._startup = {k: summary([r[k] for r in reads]) for k in ("cold", "cached")}
        if "processes" in self._args.parts:
            self._compare_processes()

    def _compare_contenders(self) -> None:
        with start_workers([_PEAK], self._setting, self._folder, self._args.debug) as workers:
            for group in dict.fromkeys(contender.group for contender in self._args.chosen):
                members = [c for c in self._args.chosen if c.group == group]
                self._take_turns(group, members, workers)
                self._peaks[group] = peak_figures(self._turns[_PEAK.name][-self._args.rounds :])

    def _take_turns(self, group: str, contenders: list[Contender], others: list[Worker]) -> None:
        """Have a group measured; ``others`` are workers that take part."""
        debug = self._args.debug
        with start_workers(contenders, self._setting, self._folder, debug) as started:
            workers = [*others, *started]
            for worker in workers:
                if worker.name not in self._facts:
                    _say(f"{group}: {worker.name} warms up")
                    self._facts[worker.name] = worker.ask("prepare")
            for number in range(self._args.rounds):
                for index in in_turns(len(workers), number):
                    self._turns[workers[index].name].append(workers[index].ask("turn"))
                _say(f"{group}: round {number + 1} of {self._args.rounds} is over")

    def _compare_processes(self) -> None:
        runs = ProcessRuns(self._setting, self._folder, self._args.processes)
        speeds: dict[bool, list[float]] = {True: [], False: []}
        for number in range(self._args.rounds):
            for several in (True, False) if number % 2 else (False, True):
                speeds[several].append(runs.run(several))
            _say(f"processes: round {number + 1} of {self._args.rounds} is over")
        several, one = runs.names()
        self._processes = {several: summary(speeds[True]), one: summary(speeds[False])}

    def _result(self, whole: bool) -> dict[str, Any]:
        """Return the figures of all groups that are over; ``whole`` tells whether all of them are."""
        contenders = {}
        chosen = [c for c in self._args.chosen if c.group in self._peaks]
        for contender in chosen:
            # The peak is that of the run's precision.
            comparable = self._setting.precision_of(contender) == self._setting.precision
            peak = self._peaks[contender.group]["flops_per_second"] if comparable else None
            contenders[contender.name] = {
                "group": contender.group,
                **contender_figures(self._facts[contender.name], self._turns[contender.name], peak),
            }
        speeds = {name: figures["samples_per_second"] for name, figures in contenders.items()}
        ratios = {ratio.name: ratio_figures(ratio, speeds) for ratio in make_ratios(chosen)}
        if self._processes:
            several, one = self._processes
            ratio = Ratio(f"{self._args.processes} processes / 1 process", several, (one,))
            ratios[ratio.name] = ratio_figures(ratio, self._processes)
        return {
            "whole": whole,
            "machine": self._machine(),
            "data": self._data,
            "peaks": self._peaks,
            "contenders": contenders,
            "startup": self._startup,
            "processes": self._processes,
            "ratios": ratios,
        }

    def _prepare_model(self) -> None:
        """Write the shape, and the vocabulary if there is one, to a folder that workers read."""
        args, folder = self._args, self._folder / "model"
        folder.mkdir()
        self._config = AlbertConfig.from_file(args.config) if args.config else AlbertConfig()
        check_sizes(self._config, self._task, args.max_seq_length)
        (folder / CONFIG_NAME).write_text(self._config.to_json(), encoding="utf-8")
        if args.data_dir:
            vocabulary = find_vocabulary(args.config)
            shutil.copy(vocabulary, folder / vocabulary.name)

    def _prepare_data(self) -> dict[str, Any]:
        """Write the examples of every group; returns what the report says of them."""
        args, folder = self._args, self._folder / "features"
        folder.mkdir()
        train, dev = self._read_data() if args.data_dir else self._generate_data()
        if len(train) < args.batch_size:
            raise UsageError(
                f"{len(train)} training examples do not fill one batch of {args.batch_size}: lower "
                "--batch_size"
            )
        train.save(folder / "train.safetensors")
        dev.save(folder / "eval.safetensors")
        for width in {c.width for c in args.chosen if c.width}:
            lengths = draw_static_lengths(args.batch_size, width, _SEED)
            self._generate(lengths).save(folder / f"static-{width}.safetensors")
        return {
            "source": str(args.data_dir) if args.data_dir else "generated",
            "train_examples": len(train),
            "dev_examples": len(dev),
            "mean_length": float(train.lengths.mean()),
            "longest": int(train.lengths.max()),
        }

    def _read_data(self) -> tuple[Features, Features]:
        """Read the task's files, and copy them: what is measured must not meet the cache beside them."""
        copy = self._folder / "data"
        copy.mkdir()
        tokenizer = AlbertTokenizer(find_vocabulary(self._folder / "model"))
        check_vocabulary(self._config, tokenizer)
        found = []
        for split in ("train", "dev"):
            for source in self._task.paths(self._args.data_dir, split)[:1]:
                if not source.is_file():
                    raise FileNotFoundError(
                        f"{source} is missing: dataset/README.md says where from"
                    )
                shutil.copy(source, copy / source.name)
                examples = read_examples(self._task, source, split)
                length, scores = self._args.max_seq_length, self._task.is_regression
                found.append(build_features(examples, tokenizer, length, scores))
        return found[0], found[1]

    def _generate_data(self) -> tuple[Features, Features]:
        def make(count: int) -> Features:
            args = self._args
            return self._generate(draw_lengths(count, args.mean_length, args.max_seq_length, _SEED))

        return make(TRAIN_EXAMPLES), make(DEV_EXAMPLES)

    def _generate(self, lengths: Any) -> Features:
        return generate_features(lengths, self._task, self._config.vocab_size, _SEED)

    def _machine(self) -> dict[str, Any]:
        args = self._args
        return {
            "command": shlex.join(["python", "-m", "tools.benchmark", *sys.argv[1:]]),
            "processor": _processor(),
            "device": str(self._device),
            "threads": args.threads,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": _version("transformers"),
            "precision": args.precision,
            "optimizer": args.optimizer,
            "batch_size": args.batch_size,
            "max_seq_length": args.max_seq_length,
            "rounds": args.rounds,
            "sample": args.sample,
            "seconds": time.monotonic() - self._began,
        }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Return the CPU's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
