"""Parts that measure speed: beside transformers, and as the launchers do."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

from tools.check.outcome import FAIL, NoData
from tools.cli.paths import ROOT
from tools.gpu.answer import Answer, table
from tools.gpu.programs import Programs
from tools.gpu.records import records_of, remarks_in, remove_weights
from tools.gpu.setting import Comparison, Setting


def small_batches(setting: Setting, programs: Programs) -> Answer:
    """Compare with transformers where the host is the limit, and in evaluation."""
    return _compare(setting, programs, "speed32", setting.sizes.small)


def large_batches(setting: Setting, programs: Programs) -> Answer:
    """Compare with transformers where the device is the limit."""
    return _compare(setting, programs, "speed440", setting.sizes.large)


def peak_in_half_precision(folder: Path) -> float:
    """Return the operations a second of the fastest product that the comparisons have met; 0 for none."""
    results = [json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("speed*.json")]
    met = (group.get("bf16") for result in results for group in result["peaks"].values())
    return max((peak["flops_per_second"] for peak in met if peak), default=0.0)


def benchmark_words(setting: Setting, comparison: Comparison, has_transformers: bool) -> list[str]:
    """Return the flags of tools/benchmark.py for one comparison, but for the file of its figures."""
    names = [n for n in comparison.contenders if has_transformers or not n.startswith("hf-")]
    words = ["--contenders", ",".join(names), "--precision", "bf16"]
    words += [
        "--batch_size",
        comparison.batch_size,
        "--max_seq_length",
        setting.sizes.max_seq_length,
    ]
    if setting.model:
        words += ["--config", setting.model]
        words += ["--data_dir", setting.data] if setting.data else []
    return [str(word) for word in (*words, *comparison.flags, *setting.of_device)]


def _compare(setting: Setting, programs: Programs, name: str, comparison: Comparison) -> Answer:
    there = importlib.util.find_spec("transformers") is not None
    file = setting.folder / f"{name}.json"
    words = benchmark_words(setting, comparison, there)
    ended = programs.run(name, [sys.executable, "-m", "tools.benchmark", *words, "--json", file])
    page = ended.output.strip()
    if ended.reason:
        return Answer(ended.reason, page, FAIL)
    result = json.loads(file.read_text(encoding="utf-8"))
    said = [
        f"{contender} {figures['samples_per_second']['median']:.0f} samples/s"
        for contender, figures in result["contenders"].items()
    ]
    said += [f"{pair} {figures['median']:.2f}" for pair, figures in result["ratios"].items()]
    if not there:
        said.append("transformers is not installed, so ours alone")
    if apart := result["one_after_the_other"]:
        said.append(f"one after the other, for lack of memory: {', '.join(apart)}")
    if large := result["too_large"]:
        said.append(f"too large for this GPU: {', '.join(large)}")
    return Answer("; ".join(said), page)


def launcher_words(setting: Setting, output: Path) -> list[object]:
    """Return the flags of test/train_performance_1p.sh's run into ``output``, without its checkpoints."""
    sizes = setting.sizes
    return [
        *("--task_name", "sst-2", "--do_train", "--data_dir", setting.data),
        *("--model_name_or_path", setting.model, "--output_dir", output),
        *("--batch_size", sizes.launcher_batch, "--max_seq_length", sizes.max_seq_length),
        *("--learning_rate", 28e-5, "--num_train_epochs", 2, "--drop_last"),
        *("--fp16", "--fp16_opt_level", "O2", "--amp_backend", "native"),
        *("--cuda_graphs", "auto", "--fused_kernels", "auto"),
        *("--logging_steps", 80, "--save_steps", 0, *setting.of_device),
        *(() if setting.has_weights else ("--random_init",)),
    ]


def launcher(setting: Setting, programs: Programs) -> Answer:
    """Train as the launchers do, and compare the speeds of the first epoch and the second."""
    if not (setting.data and setting.model):
        raise NoData("it needs SST-2 and a vocabulary: give --data_path and --model_path")
    output = setting.folder / "launcher"
    words = [sys.executable, ROOT / "run_classifier.py", *launcher_words(setting, output)]
    ended = programs.run("launcher", words).check()
    remove_weights(output)
    first, second = (record["fps"] for record in records_of(output, "epoch"))
    batch = setting.sizes.launcher_batch
    page = table(
        [f"batch {batch}, `--fp16 --fp16_opt_level O2`", "samples/s"],
        [
            ["first epoch", f"{first:.0f}"],
            ["second epoch", f"{second:.0f}"],
            ["first over second", f"{first / second:.2f}"],
        ],
    )
    found = f"{first:.0f} and {second:.0f} samples/s, the first epoch {first / second:.2f} of the second"
    return Answer(f"{found}; {remarks_in(ended)}", page)
