"""Several processes of run_classifier.py against one, over the same examples with the same cores."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tools.bench.fleet import ROOT, worker_environment
from tools.bench.spec import Setting

_UNTIMED_STEPS = 6  # FpsCounter leaves them out
_END_SECONDS = 15.0


def _run(command: list[str], threads: int) -> tuple[int, list[str]]:
    """Run a program; returns its exit status and its last words. It ends in order if this one does."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=worker_environment(threads),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            output, errors = program.communicate()
        except BaseException:
            program.terminate()
            with suppress(subprocess.TimeoutExpired):
                program.communicate(timeout=_END_SECONDS)
            program.kill()
            raise
    return program.returncode, (errors.strip() or output.strip()).splitlines()


class ProcessRuns:
    """Trains in ``count`` processes and in one, each run in a folder of its own."""

    def __init__(self, setting: Setting, folder: Path, count: int) -> None:
        self._setting, self._folder = setting, folder
        self._count = count
        self._runs = 0

    def names(self) -> list[str]:
        """Return what the two are called: several processes, and one."""
        batch, threads = self._setting.batch_size, self._setting.threads
        shares = ((self._count, "processes"), (1, "process"))
        return [
            f"{n} {word} of batch {batch // n}, threads {max(1, threads // n)}"
            for n, word in shares
        ]

    def run(self, several: bool) -> float:
        """Train some steps; returns the samples per second of all processes together.

        Raises:
            ChildProcessError: the run failed; says why.
        """
        self._runs += 1
        output = self._folder / f"run_{self._runs}"
        processes = self._count if several else 1
        device = self._setting.device_type
        command = [sys.executable]
        if several:
            command += ["-m", "tools.launch", "--nproc", str(processes), "--device", device]
            command += ["--log_dir", str(output / "logs"), "--"]
        command += ["run_classifier.py", *self._flags(output, processes)]
        status, words = _run(command, max(1, self._setting.threads // processes))
        if status:
            reason = words[-1] if words else "no message"
            raise ChildProcessError(f"the run of {processes} processes failed: {reason}")
        rows = map(json.loads, (output / "metrics.jsonl").read_text().splitlines())
        return [row["fps"] for row in rows if row["event"] == "epoch"][-1]

    def _flags(self, output: Path, processes: int) -> list[str]:
        setting = self._setting
        values = {
            "task_name": setting.task_name,
            "data_dir": setting.data,
            "model_name_or_path": setting.model,
            "output_dir": output,
            "device": setting.device_type,
            "optimizer": setting.optimizer,
            "learning_rate": setting.learning_rate,
            "batch_size": setting.batch_size // processes,
            "max_seq_length": setting.max_seq_length,
            "max_steps": _UNTIMED_STEPS + setting.sample,
            "save_steps": 0,
            "logging_steps": 1000,
            "seed": setting.seed,
        }
        flags = [word for name, value in values.items() for word in (f"--{name}", str(value))]
        precision = ["--bf16"] if setting.precision == "bf16" else []
        return [*flags, *precision, "--do_train", "--random_init"]
