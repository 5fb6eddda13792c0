"""Steps that run run_classifier.py for some seconds, and look at what it learned."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from callback.checkpointing import find_checkpoints
from tools.check.outcome import NotOnThisChip, StepFailure
from tools.check.programs import run_program, speed_in
from tools.check.setting import Setting
from tools.cli.paths import ROOT
from tools.machine.device import select_device

_WEIGHTS = "model.safetensors"
_O2 = ("--fp16", "--fp16_opt_level", "O2")
# Two runs that compute in other precisions drift apart, so that only the first losses are compared.
_FIRST_LOSSES, _LAST_LOSSES = 8, 5
_APART, _MORE = 0.06, 0.15
# torch_npu says this of an operation that it has no kernel for.
_FALLBACK = re.compile(r"operator '([\w:.]+)' .*?(?:fall back to|fallback on)[^.]*CPU", re.DOTALL)


def words_of_training(setting: Setting, output: Path, *flags: str) -> list[object]:
    """Return run_classifier.py and its flags for a short training into ``output``.

    Args:
        flags: others, which win.
    """
    sizes = setting.sizes
    starts = () if "--resume" in flags else ("--overwrite_output_dir",)
    return [
        *(ROOT / "run_classifier.py", "--data_dir", setting.data, "--output_dir", output),
        *("--model_name_or_path", setting.model, "--do_train", "--do_eval", "--keep", "last"),
        *("--batch_size", sizes.batch_size, "--learning_rate", sizes.learning_rate),
        *("--max_steps", sizes.steps, "--save_steps", sizes.steps // 2),
        *("--max_seq_length", 32, "--logging_steps", 1),
        *("--device", "npu", "--device_id", setting.device_id),
        *(*starts, *flags),
    ]


def _train(setting: Setting, name: str, *flags: str, **variables: str) -> Path:
    """Run a short training into a folder of that name; what it prints is kept beside it.

    Raises:
        StepFailure: it fails.
    """
    output = setting.folder / name
    words = [sys.executable, *words_of_training(setting, output, *flags)]
    run_program(words, setting.folder / f"{name}.log", **variables)
    return output


def _losses(output: Path) -> list[float]:
    lines = (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = map(json.loads, lines)
    return [row["loss"] for row in rows if row["event"] == "step"]


def _speed(setting: Setting, name: str) -> float:
    return speed_in((setting.folder / f"{name}.log").read_text(encoding="utf-8"))


def _learn(setting: Setting, name: str, *flags: str) -> str:
    """Train, and compare the losses with those of fp32 on the CPU."""
    cpu = setting.folder / "cpu"
    if not (cpu / _WEIGHTS).exists():
        _train(setting, "cpu", "--device", "cpu")
    found, wanted = _losses(_train(setting, name, *flags)), _losses(cpu)
    first = zip(found[:_FIRST_LOSSES], wanted[:_FIRST_LOSSES], strict=True)
    apart = max(abs(a - b) for a, b in first)
    last, of_cpu = (sum(losses[-_LAST_LOSSES:]) / _LAST_LOSSES for losses in (found, wanted))
    words = (
        f"the first losses are {apart:.3f} from the CPU's at most, the last ones {last:.3f}, the CPU's "
        f"{of_cpu:.3f}"
    )
    if not (apart <= _APART and last <= of_cpu + _MORE):
        raise StepFailure(words)
    return f"{words}; {_speed(setting, name):.0f} samples/s"


def fp32(setting: Setting) -> str:
    """Train in fp32."""
    return _learn(setting, "fp32")


def level_o1(setting: Setting) -> str:
    """Train at O1."""
    return _learn(setting, "O1", "--fp16", "--fp16_opt_level", "O1")


def level_o2(setting: Setting) -> str:
    """Train at O2."""
    return _learn(setting, "O2", *_O2)


def bf16(setting: Setting) -> str:
    """Train in bf16."""
    if not select_device("npu", setting.device_id).has_bf16:
        raise NotOnThisChip("it has no bf16")
    return _learn(setting, "bf16", "--bf16")


def _compare(one: Path, two: Path) -> str:
    first, second = (load_file(folder / _WEIGHTS) for folder in (one, two))
    apart = max((first[name] - second[name]).abs().max().item() for name in first)
    if any(not torch.equal(first[name], second[name]) for name in first):
        raise StepFailure(f"the weights differ by up to {apart:.1e}")
    return "the same weights, to the last bit"


def repeat(setting: Setting) -> str:
    """Train at O2 a second time: the weights are the same."""
    return _compare(_train(setting, "again", *_O2), setting.folder / "O2")


def resume(setting: Setting) -> str:
    """Go on from a checkpoint of that run: the weights are the same."""
    output = setting.folder / "again"
    checkpoints = find_checkpoints(output)
    if len(checkpoints) < 2:
        raise StepFailure("the run before left no two checkpoints")
    shutil.rmtree(checkpoints[-1])
    return _compare(_train(setting, "again", *_O2, "--resume"), setting.folder / "O2")


def fallbacks(setting: Setting) -> str:
    """Look in all that the steps before printed for operations that the CPU did for the NPU."""
    logs = [file for file in setting.folder.glob("*.log") if file.name != "cpu.log"]
    logs += (setting.folder / "printed").glob("*.txt")
    text = "\n".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)
    if names := sorted(set(_FALLBACK.findall(text))):
        raise StepFailure(f"computed on the CPU: {', '.join(names)}")
    return f"none, in {len(logs)} files of what steps printed"


def queue(setting: Setting) -> str:
    """Train with each of torch_npu's ways to hand operations to the device."""
    speeds = {}
    for value in ("1", "2"):
        _train(setting, f"queue{value}", *_O2, TASK_QUEUE_ENABLE=value)
        speeds[value] = _speed(setting, f"queue{value}")
    return ", ".join(f"TASK_QUEUE_ENABLE={v}: {speed:.0f} samples/s" for v, speed in speeds.items())
