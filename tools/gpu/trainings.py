"""The part that trains a small network with CUDA graphs and without, and compares what they learn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import t as student

from processors.glue import TASKS
from tools.check.material import make_material
from tools.check.outcome import FAIL, NOT_HERE, PASS
from tools.cli.paths import ROOT
from tools.gpu.answer import Answer, table
from tools.gpu.programs import Programs
from tools.gpu.records import records_of, remarks_in, remove_weights
from tools.gpu.setting import MADE_SHAPE, Setting

_TASK = TASKS["sst-2"]
_BY_CHANCE = 0.01
_DOWNLOAD_SECONDS = 25.0  # Where there is no network, pip may try for long.
_OF_DEMO = (ROOT / "dataset/demo/SST-2", ROOT / "prev_trained_model/albert_demo")


# By name, the flags of the runs that are compared.
_KINDS = {
    "on": ("--cuda_graphs", "on", "--fused_kernels", "off"),
    "off": ("--cuda_graphs", "off", "--fused_kernels", "off"),
    "fused": ("--cuda_graphs", "on", "--fused_kernels", "on"),
}


def accuracy(setting: Setting, programs: Programs) -> Answer:
    """Train in bf16 with several seeds, with graphs and without, all runs at the same time."""
    data, model, source = _material(setting, programs)
    kinds = tuple(_KINDS) if setting.device.why_no_graphs() is None else ("off",)
    outputs = {
        (kind, seed): setting.folder / "short" / f"graphs_{kind}-seed_{seed}"
        for kind in kinds
        for seed in setting.sizes.seeds
    }
    words = [sys.executable, ROOT / "run_classifier.py", "--task_name", "sst-2", "--bf16"]
    words += ["--do_train", "--do_eval", "--keep", "last", "--data_dir", data]
    words += ["--model_name_or_path", model]
    words += ["--save_steps", 0, "--logging_steps", 50, *setting.sizes.short_training]
    words += setting.of_device
    ended = programs.run_together(
        {
            output.name: [*words, *_KINDS[kind], "--seed", seed, "--output_dir", output]
            for (kind, seed), output in outputs.items()
        }
    )
    for one in ended.values():
        one.check()
    scores = {key: records_of(output, "eval")[-1] for key, output in outputs.items()}
    losses = {
        key: [record["loss"] for record in records_of(output, "step")]
        for key, output in outputs.items()
    }
    remove_weights(setting.folder / "short")
    by_kind = {
        kind: [scores[kind, seed][_TASK.metrics[0]] for seed in setting.sizes.seeds]
        for kind in kinds
    }
    same = {
        seed: compare_losses(losses["on", seed], losses["off", seed])
        for seed in setting.sizes.seeds
        if "on" in kinds
    }
    page = f"{source}.\n\n{_page(setting.sizes.seeds, by_kind, same)}"
    if "on" not in kinds:
        words_of_off = _mean_and_spread(by_kind["off"])
        return Answer(f"no graphs on this device; without them {words_of_off}", page, NOT_HERE)
    equal, found = judge(by_kind["on"], by_kind["off"])
    as_equal, of_kernels = judge(by_kind["fused"], by_kind["off"])
    found += f"; with fused kernels, too: {of_kernels}"
    exact = sum(words == _SAME for words in same.values())
    found += f"; losses the same to the bit with {exact} of {len(same)} seeds"
    remarks = remarks_in(ended[outputs["on", setting.sizes.seeds[0]].name])
    return Answer(found, f"{found}.\n\n{remarks}. {page}", PASS if equal and as_equal else FAIL)


def _material(setting: Setting, programs: Programs) -> tuple[Path, Path, str]:
    """Return the folders of data and model to train, and what they are."""
    if setting.size == "full":
        words = [sys.executable, "-m", "tools.prepare_demo"]
        ended = programs.run("demo", words, at_most=_DOWNLOAD_SECONDS)
        if not ended.reason:
            return (*_OF_DEMO, "Data and network: the demonstration's (tools/prepare_demo.py)")
        why = f" ({ended.reason})"
    else:
        why = ""
    data, model = setting.folder / "made" / "SST-2", setting.folder / "made" / "model"
    make_material(data, model, MADE_SHAPE)
    return data, model, f"Data and network: made up, not the demonstration's{why}"


def judge(on: Sequence[float], off: Sequence[float]) -> tuple[bool, str]:
    """Return whether two sets of scores have the same mean within the noise of seeds, and that in words.

    The noise is Student's: so much two means of as many seeds differ by chance in one of twenty cases,
    with the spread that both sets have together. Means that are the same are so with any spread.

    Args:
        on, off: one score a seed, as many of each, two at least.
    """
    apart = abs(mean(on) - mean(off))
    spread = ((stdev(on) ** 2 + stdev(off) ** 2) / len(on)) ** 0.5
    noise = float(student.ppf(1 - _BY_CHANCE / 2, 2 * len(on) - 2)) * spread
    equal = apart <= noise
    found = (
        f"with graphs {_mean_and_spread(on)}, without {_mean_and_spread(off)}: "
        f"{'equal' if equal else 'not equal'}, the means are {apart:.4f} apart, and by chance up to "
        f"{noise:.4f} in 99 of 100 cases"
    )
    return equal, found


_SAME = "the same to the bit"


def compare_losses(one: Sequence[float], two: Sequence[float]) -> str:
    """Return in words how the losses of two runs differ, step by step."""
    if len(one) != len(two):
        return f"{len(one)} steps and {len(two)}"
    gaps = [abs(a - b) for a, b in zip(one, two, strict=True)]
    first = next((step for step, gap in enumerate(gaps, start=1) if gap != 0), None)
    return _SAME if first is None else f"apart from step {first} on, by {max(gaps):.2g} at most"


def _mean_and_spread(scores: Sequence[float]) -> str:
    return f"{mean(scores):.4f} ± {stdev(scores):.4f}"


def _page(seeds: Sequence[int], by_kind: dict[str, list[float]], same: dict[int, str]) -> str:
    rows = [
        [str(seed), *(f"{scores[index]:.4f}" for scores in by_kind.values()), same.get(seed, "–")]
        for index, seed in enumerate(seeds)
    ]
    rows.append(["mean ± spread", *map(_mean_and_spread, by_kind.values()), ""])
    kinds = [f"accuracy, `{' '.join(_KINDS[kind])}`" for kind in by_kind]
    return table(["seed", *kinds, "losses of all steps"], rows)
