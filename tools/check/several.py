"""Steps with several processes, and the launchers whose speed is published."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tools.check.outcome import NoData, NotOnThisChip, StepFailure
from tools.check.processes import descendants, variable_of
from tools.check.programs import last_line, run_program, speed_in
from tools.check.setting import Setting
from tools.check.trainings import words_of_training
from tools.cli.paths import ROOT
from tools.machine.device import select_device

# Samples per second of the references' own runs (README.md).
_PUBLISHED = {1: 445.21, 8: 3111.56}
_LAUNCHERS = {1: "train_performance_1p.sh", 8: "train_performance_8p.sh"}
_MODEL = Path("prev_trained_model", "albert_base_v2")
_STARTED = "Total optimization steps"
_POLL_SECONDS = 0.1


def _need(processes: int) -> None:
    count = select_device("npu").count()
    if count < processes:
        raise NotOnThisChip(f"the machine has {count} NPUs")


def _start(setting: Setting, name: str, processes: int, *flags: str) -> subprocess.Popen:
    """Start a short training in several processes; what they print goes to a file of that name."""
    output = setting.folder / name
    patience = ("--ddp_timeout", str(setting.sizes.patience))
    program = words_of_training(setting, output, *flags, *patience)
    words = ["-m", "tools.launch", "--nproc", processes, "--device", "npu"]
    words += ["--log_dir", output / "logs", "--", *program]
    with (setting.folder / f"{name}.log").open("w", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, "-u", *map(str, words)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _log(setting: Setting, name: str) -> str:
    return (setting.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")


def _together(setting: Setting, processes: int) -> str:
    _need(processes)
    name = f"processes{processes}"
    status = _start(setting, name, processes).wait()
    log = _log(setting, name)
    if status:
        raise StepFailure(f"status {status}: {last_line(log)}")
    return f"{processes} processes train together, {speed_in(log):.0f} samples/s"


def two_processes(setting: Setting) -> str:
    """Train in two processes."""
    return _together(setting, 2)


def eight_processes(setting: Setting) -> str:
    """Train in eight processes."""
    return _together(setting, 8)


def killed_process(setting: Setting) -> str:
    """Kill one of two processes in the middle: the others end in time, and one line says which it was."""
    _need(2)
    endless = ("--max_steps", "1000000")
    launch = _start(setting, "killed", 2, *endless)
    try:
        while _STARTED not in _log(setting, "killed"):
            if launch.poll() is not None:
                log = _log(setting, "killed")
                raise StepFailure(f"it did not start: {last_line(log)}")
            time.sleep(_POLL_SECONDS)
        ranks = {variable_of(pid, "RANK"): pid for pid in descendants(launch.pid)}
        if "1" not in ranks:
            raise StepFailure("there is no process with RANK=1 to kill")
        victim = ranks["1"]
        os.kill(victim, signal.SIGKILL)
        began = time.monotonic()
        limit = 2 * setting.sizes.patience + 60
        try:
            status = launch.wait(limit)
        except subprocess.TimeoutExpired:
            raise StepFailure(f"the others still wait after {limit} s") from None
    finally:
        launch.terminate()
    line = last_line(_log(setting, "killed"))
    if not status or "rank 1" not in line:
        raise StepFailure(f"status {status}, and the last line is: {line}")
    return f"the others ended after {time.monotonic() - began:.0f} s: {line}"


def _launcher(setting: Setting, processes: int) -> str:
    _need(processes)
    if not (setting.data_path / "SST-2" / "train.tsv").is_file():
        raise NoData(f"there is no {setting.data_path}/SST-2: give --data_path")
    folders = (folder / _MODEL for folder in (setting.data_path, ROOT))
    if not any((folder / "config.json").is_file() for folder in folders):
        raise NoData(f"there is no {ROOT / _MODEL} (README.md says where it is to be had)")
    name = _LAUNCHERS[processes]
    words = ["bash", f"test/{name}", f"--data_path={setting.data_path}", "--device=npu"]
    words += [f"--output_dir={setting.folder / name}"]
    words += [f"--device_id={setting.device_id}"] if processes == 1 else []
    words += setting.sizes.of_launcher
    printed = run_program(words, setting.folder / f"{name}.log")
    speed = speed_in(printed, "Final Performance images/sec : ")
    return f"{speed} samples/s padded to --max_seq_length; published are {_PUBLISHED[processes]}"


def launcher_of_one(setting: Setting) -> str:
    """Run the launcher of the published speed of one NPU, padded as there."""
    return _launcher(setting, 1)


def launcher_of_eight(setting: Setting) -> str:
    """Run the launcher of the published speed of eight NPUs, padded as there."""
    return _launcher(setting, 8)
