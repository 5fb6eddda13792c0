"""The part that lists the kernels of a step, and what measures them, in a process of its own."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch.profiler import ProfilerActivity, profile

from model.checkpoint import build_model
from model.configuration_albert import AlbertConfig
from processors.batching import BatchPlan
from processors.glue import TASKS
from processors.loading import load_steps
from tools.bench.data import generate_features
from tools.bench.flops import TRAINING, model_flops
from tools.bench.host_reads import HostReads
from tools.check.outcome import FAIL, PASS
from tools.gpu.answer import Answer, table
from tools.gpu.programs import Programs
from tools.gpu.setting import Setting
from tools.gpu.speed import peak_in_half_precision
from tools.machine.device import Device
from tools.machine.distributed import Processes
from tools.machine.runtime import Runtime
from tools.machine.seeds import seed_everything
from tools.run.flags import TrainingFlags
from tools.run.training import build_state

_TASK = TASKS["sst-2"]
_SEED = 42
_STEPS_OF_SCHEDULE = 1000
_WARM_STEPS = 5  # The second one is recorded as a graph, where there are graphs.
_BF16: dict[str, Any] = {"bf16": True}
# The launchers' precision.
_O2: dict[str, Any] = {"fp16": True, "fp16_opt_level": "O2", "amp_backend": "native"}
_SHOWN, _LONGEST_NAME = 15, 100
# What a trace says of an event of the device that is work, and no name for some of that.
_OF_DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")
# torch sets these for its own graphs: the profiler does not survive graphs with its usual clean-up.
_FOR_GRAPHS = {"TEARDOWN_CUPTI": "0", "DISABLE_CUPTI_LAZY_REINIT": "1"}

# By kernel: how often it ran, and for how many milliseconds in all.
Times = dict[str, tuple[int, float]]


def kernels(setting: Setting, programs: Programs) -> Answer:
    """List the kernels of a step at each shape."""
    words, pages, verdict = [], [], PASS
    peak = peak_in_half_precision(setting.folder)
    for examples, width in setting.sizes.shapes:
        name = f"profile-{examples}x{width}"
        command = [sys.executable, "-m", "tools.check_gpu", "--profile_of", f"{examples}x{width}"]
        command += ["--folder", setting.folder, "--size", setting.size, *setting.of_device]
        command += ["--model_path", setting.model] if setting.model else []
        programs.run(name, command, **_FOR_GRAPHS).check()
        found = json.loads((setting.folder / f"{name}.json").read_text(encoding="utf-8"))
        of_bf16 = _described(found["in_bf16"], examples, found["flops"], peak)
        said = f"{examples} × {width}: {of_bf16}, and {found['kernels_ms']:.2f} ms of kernels in it"
        if in_o2 := found["in_o2"]:
            of_o2 = _described(in_o2, examples, found["flops"], peak)
            said += f"; with --fp16 --fp16_opt_level O2 {of_o2}"
        words.append(said)
        pages.append(f"{said}; {found['graphs']}.\n\n{_table_of(found)}")
        if not found["kernels"]:
            words.append("the profiler saw no kernel")
            verdict = FAIL
    return Answer("; ".join(words), "\n\n".join(pages), verdict)


def _described(timed: dict[str, Any], examples: int, flops: float, peak: float) -> str:
    """Return in words what a step took.

    Args:
        flops: the operations of a step.
        peak: as many a second are all of the device; 0 where nobody knows.
    """
    seconds = timed["milliseconds"] / 1000
    share = f", {100 * flops / seconds / peak:.1f} % of the peak" if peak else ""
    return (
        f"{timed['milliseconds']:.2f} ms a step ({examples / seconds:.0f} samples/s, "
        f"{flops / seconds / 1e12:.0f} TFLOP/s{share}; host reads {timed['host_reads']:g})"
    )


def _table_of(found: dict) -> str:
    header = ["kernel", "ms a step", "share", "times a step"]
    rows = [
        [f"`{_short(name)}`", f"{ms:.3f}", f"{100 * ms / found['kernels_ms']:.1f} %", f"{times:g}"]
        for name, times, ms in found["kernels"][:_SHOWN]
    ]
    if others := found["kernels"][_SHOWN:]:
        ms = sum(row[2] for row in others)
        share = f"{100 * ms / found['kernels_ms']:.1f} %"
        times = f"{sum(row[1] for row in others):g}"
        rows.append([f"{len(others)} others", f"{ms:.3f}", share, times])
    return table(header, rows)


def _short(name: str) -> str:
    name = name.replace("|", "/").replace("`", "'")
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def measure(setting: Setting, examples: int, width: int) -> None:
    """Time a training step in bf16 at one shape, list its kernels, and write both down as JSON.

    Beside that, where the device has fp16, time one of the launchers' precision.
    """
    setting.device.activate()
    setting.device.keep_memory()
    in_o2 = None
    if setting.device.has_fp16:
        in_o2 = _timed(_build_step(setting, examples, width, _O2)[0], setting)
        gc.collect()  # Its memory is for the next one.
    step, graphs = _build_step(setting, examples, width, _BF16)
    in_bf16 = _timed(step, setting)
    seen = setting.sizes.steps[1]
    name = f"profile-{examples}x{width}"
    times = _profile(step, seen, setting.device, setting.folder / f"{name}.trace.json")
    by_time = sorted(times.items(), key=lambda item: -item[1][1])
    found = {
        "in_bf16": in_bf16,
        "in_o2": in_o2,
        "flops": TRAINING * model_flops(config_of(setting), np.full(examples, width)),
        "kernels_ms": sum(ms for _, ms in times.values()) / seen,
        "graphs": graphs(),
        "kernels": [(kernel, count / seen, ms / seen) for kernel, (count, ms) in by_time],
    }
    (setting.folder / f"{name}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def _timed(step: Callable[[], None], setting: Setting) -> dict[str, float]:
    """Return what a step takes, once it is warm: its milliseconds, and how often the host waits in it."""
    for _ in range(_WARM_STEPS):
        step()
    timed = setting.sizes.steps[0]
    with HostReads(setting.device.torch_device) as reads:
        for _ in range(timed):
            step()
    setting.device.synchronize()
    began = time.perf_counter()
    for _ in range(timed):
        step()
    setting.device.synchronize()
    milliseconds = 1000 * (time.perf_counter() - began) / timed
    return {"milliseconds": milliseconds, "host_reads": reads.count / timed}


def config_of(setting: Setting) -> AlbertConfig:
    """Return the configuration of the network whose steps are measured."""
    config = AlbertConfig.from_file(setting.model) if setting.model else AlbertConfig()
    config.set_task(_TASK.labels)
    return config


def _build_step(
    setting: Setting, examples: int, width: int, precision: dict[str, Any]
) -> tuple[Callable[[], None], Callable[[], str]]:
    """Return what takes a step as run_classifier.py does, batch and all, and what tells of its graphs."""
    config = config_of(setting)
    seed_everything(_SEED)
    model = setting.device.place(build_model(config))
    flags = TrainingFlags(
        **precision,
        batch_size=examples,
        learning_rate=1e-5,
        seed=_SEED,
        fused_kernels="auto",
        cuda_graphs="auto",
    )
    runtime = Runtime(setting.device, Processes())
    state = build_state(flags, runtime, model, _STEPS_OF_SCHEDULE, facts={})
    lengths = np.full(examples, width, np.int64)
    features = generate_features(lengths, _TASK, config.vocab_size, _SEED)
    plan = BatchPlan(np.arange(examples), width)
    count = _WARM_STEPS + 2 * setting.sizes.steps[0] + setting.sizes.steps[1]
    steps = load_steps([[plan]] * count, features, setting.device.torch_device)

    def step() -> None:
        state.forward_backward(next(steps))
        state.update()

    def graphs() -> str:
        if setting.device.why_no_graphs():
            return "no graphs on this device"
        return f"{state.graphs.count} graphs, recorded in {state.graphs.seconds:.1f} s"

    return step, graphs


def _profile(step: Callable[[], None], steps: int, device: Device, trace: Path) -> Times:
    """Return what the kernels of some steps take; on the CPU, what its operations do."""
    shared = device.is_shared
    activity = ProfilerActivity.CPU if shared else ProfilerActivity.CUDA
    with profile(activities=[activity]) as seen:
        for _ in range(steps):
            step()
        device.synchronize()
    if shared:
        rows = seen.key_averages()
        return {row.key: (row.count, row.self_cpu_time_total / 1000) for row in rows}
    seen.export_chrome_trace(str(trace))
    return read_trace(trace)


def read_trace(file: Path) -> Times:
    """Return how often each kernel of a trace ran, and its milliseconds in all.

    Copies and fills of memory count as kernels.
    """
    events = json.loads(file.read_text(encoding="utf-8", errors="replace"))["traceEvents"]
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for event in events:
        if event.get("cat") in _OF_DEVICE and event.get("ph") == "X":
            counts[event["name"]] += 1
            sums[event["name"]] += event["dur"] / 1000
    return {name: (counts[name], sums[name]) for name in counts}
