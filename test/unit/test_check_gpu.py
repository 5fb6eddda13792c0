"""test/check_gpu.sh on the CPU with tiny sizes, and what its parts make of a GPU's answers."""

import json
import re
import shutil
import sys
import time
from importlib import metadata
from types import SimpleNamespace

import pytest
import torch
from helpers import ROOT, command, launch

from tools import benchmark, check_gpu
from tools.check.outcome import NotOnThisChip, NotRun, StepFailure
from tools.cli.groups import parser_of
from tools.gpu import parts
from tools.gpu.profiles import kernels, read_trace
from tools.gpu.programs import Ended, Programs
from tools.gpu.setting import Setting
from tools.gpu.speed import benchmark_words, launcher_words
from tools.gpu.trainings import accuracy, compare_losses, judge
from tools.machine.device import Device
from tools.run.flags import parse_flags

pytestmark = pytest.mark.newer_torch("is not for the benchmark")

LINE = r"^ *(pass|fail|not on this chip|no data|not run)  (\w+): (.*) \(\d+ s\)$"
TINY = ("--size=tiny", "--device=cpu")


def test_the_check_on_the_cpu(tmp_path):
    """The other comparison has the same code, and its flags have a test of their own."""
    names = ["speed32", "launcher", "profile", "accuracy", "tests"]
    flags = (*TINY, f"--folder={tmp_path / 'out'}", f"--parts={','.join(names)}")
    result = launch(ROOT, "check_gpu.sh", *flags, CUDA_VISIBLE_DEVICES="")
    assert result.returncode == 0, result.stdout + result.stderr
    found = re.findall(LINE, result.stdout, re.MULTILINE)
    assert [(name, verdict) for verdict, name, _ in found] == [
        ("tests", "not on this chip"),
        ("speed32", "pass"),
        ("launcher", "pass"),
        ("profile", "pass"),
        ("accuracy", "not on this chip"),
    ]
    words = {name: said for _, name, said in found}
    assert "no graphs on this device" in words["accuracy"]
    assert re.fullmatch(r"\d+ skipped in .*", words["tests"])
    page = (tmp_path / "out" / "report.md").read_text()
    assert f"`bash test/check_gpu.sh {flags[0]} " in page
    assert f"| torch | {metadata.version('torch')} |" in page
    for name, said in words.items():
        assert f"| {name} | " in page
        assert f" | {said} | " in page
    for row in (
        r"\| ours-bucket \| \d",
        r"\| first over second \| \d",
        r"\| `aten::\w+` \| \d",
        r"\| mean ± spread \| 0\.\d{4} ± 0\.\d{4} \|",
    ):
        assert re.search(row, page), row
    assert not list(tmp_path.glob("out/short/**/*.safetensors"))


def test_parts_whose_time_is_up_are_ended_and_the_next_is_asked(tmp_path):
    flags = ("--parts", "launcher,profile", "--minutes", "0.0001", "--folder", tmp_path)
    words = (sys.executable, "-m", "tools.check_gpu", *TINY, *flags)
    result = command(*words, cwd=ROOT)
    assert result.returncode == 1
    found = re.findall(LINE, result.stdout, re.MULTILINE)
    assert found == [
        ("fail", "launcher", "launcher had not ended when its time was up"),
        ("fail", "profile", "profile-8x14 had not ended when its time was up"),
    ]
    assert (tmp_path / "report.md").read_text().count("What it printed at last:") == 2
    again = command(*words, cwd=ROOT)
    assert again.returncode == 2
    assert again.stderr == (
        f"check_gpu: error: --folder {tmp_path} has a report.md already: name another folder\n"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line():
    result = command(sys.executable, "-m", "tools.check_gpu", cwd=ROOT)
    assert result.returncode == 2
    assert result.stderr == (
        f"check_gpu: error: --device cuda: torch {torch.__version__} sees no GPU: it takes a GPU and a "
        "torch with CUDA; --size tiny --device cpu tries the check itself\n"
    )
    result = command(sys.executable, "-m", "tools.check_gpu", "--device", "cpu", cwd=ROOT)
    assert result.returncode == 2
    assert "--device cpu is no GPU: --size tiny" in result.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--parts speed32,nonsense", "--parts nonsense: there are tests, speed32, speed440, "),
        ("--data_path test", "--data_path test: there is no test/SST-2/train.tsv"),
        ("--model_path test", "--model_path test: it has no config.json, or no vocabulary"),
        ("--minutes 0", "--minutes: 0 is not above 0"),
        ("--profile_of 32", "'32' is not of the form 32x128"),
    ],
)
def test_wrong_usage_is_one_line(flags, words, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as end:
        parser_of(check_gpu.CheckFlags, "check_gpu", "").parse(flags.split())
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.parametrize("size", ["full", "tiny"])
def test_the_benchmark_takes_the_flags_of_both_comparisons(size, tmp_path, sst2, pretrained):
    setting = Setting(tmp_path, size, Device("cpu"), sst2, pretrained)
    for comparison in (setting.sizes.small, setting.sizes.large):
        words = benchmark_words(setting, comparison, has_transformers=True)
        flags, _ = benchmark.build_parser().parse(words)
        assert {c.name for c in flags.chosen} == set(comparison.contenders)
        assert {c.precision for c in flags.chosen if c.trains} == {"bf16"}
        assert (flags.data_dir, flags.config) == (sst2, pretrained)
        alone, _ = benchmark.build_parser().parse(benchmark_words(setting, comparison, False))
        assert alone.chosen == tuple(c for c in flags.chosen if c.system == "ours")


def test_without_data_or_vocabulary_examples_are_generated(tmp_path, sst2, pretrained):
    for data, model in ((sst2, None), (None, pretrained)):
        setting = Setting(tmp_path, "full", Device("cpu"), data, model)
        words = benchmark_words(setting, setting.sizes.small, False)
        assert "--data_dir" not in words
        assert ("--config" in words) == (model is not None)


def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path):
    programs = Programs(tmp_path / "printed", 60)
    script = f"echo begun; echo why >&2; (sleep 61; touch {tmp_path}/late) & wait"
    began = time.monotonic()
    ended = programs.run("hanging", ["bash", "-c", script], at_most=0.5)
    assert time.monotonic() - began < 20
    assert (ended.output, ended.reason) == (
        "begun\n",
        "hanging had not ended when its time was up",
    )
    with pytest.raises(StepFailure, match="its time was up"):
        ended.check()
    assert str(tmp_path) not in command("ps", "ax", "-o", "args", cwd=tmp_path).stdout
    assert list(programs.last_words(5)) == [
        *("--- hanging.out.txt", "begun", "--- hanging.err.txt", "why"),
    ]


def test_a_program_that_fails_says_why_and_the_others_end(tmp_path):
    programs = Programs(tmp_path / "printed", 60)
    ended = programs.run_together(
        {
            "bad": ["bash", "-c", "echo 'x: error: no such thing' >&2; echo more >&2; exit 3"],
            "good": ["bash", "-c", "sleep 0.1; echo $WORD"],
        },
        WORD="done",
    )
    assert ended["bad"].reason == "bad ended with status 3: x: error: no such thing"
    assert ended["good"].check().output == "done\n"


def test_scores_are_equal_within_the_noise_of_seeds():
    near = ([0.780, 0.790, 0.785], [0.787, 0.779, 0.792])
    equal, words = judge(*near)
    assert equal
    # The spreads are 0.005 and 0.0066, the noise 2.776 of sqrt((0.005² + 0.0066²) / 3).
    assert "equal, the means are 0.0010 apart, and by chance up to 0.0219 in 99 of 100" in words
    assert "with graphs 0.7850 ± 0.0050, without 0.7860 ± 0.0066" in words
    assert not judge([0.780, 0.790, 0.785], [0.740, 0.750, 0.745])[0]
    assert judge([0.5, 0.5], [0.5, 0.5])[0]
    assert not judge([0.5, 0.5], [0.51, 0.51])[0]


def test_losses_are_compared_to_the_bit():
    assert compare_losses([0.5, 0.25], [0.5, 0.25]) == "the same to the bit"
    apart = compare_losses([0.5, 0.25, 0.25], [0.5, 0.25 + 2**-20, 0.5])
    assert apart == "apart from step 2 on, by 0.25 at most"
    assert compare_losses([0.5], []) == "1 steps and 0"


class OnPaper:
    """In the place of the programs: leaves the records that runs with these scores would."""

    def __init__(self, scores, reason=""):
        self.scores, self.reason, self.data = scores, reason, set()

    def run(self, name, words, at_most):
        assert (name, words[2]) == ("demo", "tools.prepare_demo")
        return Ended("", "", self.reason)

    def run_together(self, programs):
        for name, words in programs.items():
            flags = dict(zip(words[:-1], words[1:], strict=True))
            output = flags["--output_dir"]
            self.data.add(flags["--data_dir"])
            output.mkdir(parents=True)
            (output / "model.safetensors").touch()
            score = self.scores[flags["--cuda_graphs"]][flags["--seed"] - 1]
            rows = [{"event": "step", "step": 1, "loss": 1 - score}]
            rows += [{"event": "eval", "acc": 0.0}, {"event": "eval", "acc": score}]
            (output / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
            assert name == output.name
        return dict.fromkeys(
            programs, Ended("CUDA graphs: 9 shapes", "--fused_kernels auto: none, for x", "")
        )


class WithGraphs(Device):
    """A device with graphs; nothing is computed on it."""

    def why_no_graphs(self):
        return None


@pytest.mark.parametrize(("off", "verdict"), [([0.8, 0.6], "pass"), ([0.2, 0.2], "fail")])
def test_trainings_with_graphs_are_held_against_those_without(tmp_path, off, verdict):
    setting = Setting(tmp_path, "tiny", WithGraphs("cpu"), None, None)
    on = [0.8, 0.7] if verdict == "pass" else [0.8, 0.8]
    answer = accuracy(setting, OnPaper({"on": on, "off": off}))
    assert answer.verdict == verdict
    assert f"losses the same to the bit with {sum(map(float.__eq__, on, off))} of 2" in answer.words
    assert f"| 1 | {on[0]:.4f} | {off[0]:.4f} | " in answer.page
    assert "--fused_kernels auto: none, for x; CUDA graphs: 9 shapes. " in answer.page
    assert not list(tmp_path.glob("short/**/*.safetensors"))


@pytest.mark.parametrize("reason", ["", "demo ended with status 1: no network"])
def test_the_demonstration_is_trained_where_it_is_to_be_had(reason, tmp_path):
    setting = Setting(tmp_path, "full", WithGraphs("cpu"), None, None)
    programs = OnPaper(dict.fromkeys(("on", "off"), [0.7, 0.8, 0.75]), reason)
    answer = accuracy(setting, programs)
    (data,) = programs.data
    assert (data == ROOT / "dataset/demo/SST-2") == (not reason)
    assert (data / "train.tsv").is_relative_to(tmp_path) == bool(reason)
    assert reason in answer.page
    assert answer.words.endswith("losses the same to the bit with 3 of 3 seeds")


def test_the_kernels_of_a_trace_are_added_up(tmp_path):
    def event(name, category, milliseconds, kind="X"):
        return {"name": name, "cat": category, "ph": kind, "ts": 1, "dur": 1000 * milliseconds}

    events = [
        event("gemm", "kernel", 2), event("gemm", "kernel", 3), event("Memset (Device)", "gpu_memset", 1),
        event("aten::mm", "cpu_op", 9), event("Optimizer.step", "gpu_user_annotation", 9),
        event("cudaGraphLaunch", "cuda_runtime", 9), {"name": "gemm", "ph": "f", "cat": "ac2g"},
    ]  # fmt: skip
    file = tmp_path / "trace.json"
    file.write_text(json.dumps({"traceEvents": events}))
    assert read_trace(file) == {"gemm": (2, 5.0), "Memset (Device)": (1, 1.0)}


class ProfileOnPaper:
    """In the place of the programs: leaves what a profile of these kernels would."""

    def __init__(self, folder, kernels):
        self.folder, self.kernels = folder, kernels

    def run(self, name, words, **variables):
        assert name == f"profile-{words[words.index('--profile_of') + 1]}"
        assert variables["TEARDOWN_CUPTI"] == "0"  # Else the profiler may crash with graphs.
        milliseconds = sum(row[2] for row in self.kernels)
        found = {
            "in_bf16": {"milliseconds": 4.0, "host_reads": 0},
            "in_o2": {"milliseconds": 3.5, "host_reads": 1},
            "flops": 4e11,
            "kernels_ms": milliseconds,
            "graphs": "2 graphs, recorded in 0.5 s",
        }
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps({**found, "kernels": self.kernels}))
        return Ended("", "", "")


def test_the_page_has_the_kernels_that_take_longest(tmp_path):
    setting = Setting(tmp_path, "full", Device("cpu"), None, None)
    names = [f"void kernel<{'a|b, ' * 30}>", *(f"k{index}" for index in range(16))]
    programs = ProfileOnPaper(tmp_path, [(name, 2.0, 0.125) for name in names])
    peaks = {"train": {"bf16": {"flops_per_second": 4e14}, "fp32": {"flops_per_second": 9e14}}}
    (tmp_path / "speed440.json").write_text(json.dumps({"peaks": peaks}))
    answer = kernels(setting, programs)
    assert answer.words.startswith(
        "32 × 14: 4.00 ms a step (8000 samples/s, 100 TFLOP/s, 25.0 % of the peak; host reads 0), and "
        "2.12 ms of kernels in it; with --fp16 --fp16_opt_level O2 3.50 ms a step (9143 samples/s, "
        "114 TFLOP/s, 28.6 % of the peak; host reads 1); 440 × "
    )
    assert answer.page.count("; 2 graphs, recorded in 0.5 s.") == 2
    rows = answer.page.split("\n\n")[1].splitlines()
    assert len(rows) == 2 + 15 + 1
    assert rows[2].startswith("| `void kernel<a/b, a/b, ")
    assert rows[2].endswith("…` | 0.125 | 5.9 % | 2 |")
    assert rows[-1] == "| 2 others | 0.250 | 11.8 % | 4 |"
    nothing = kernels(setting, ProfileOnPaper(tmp_path, []))
    assert nothing.verdict == "fail"
    assert "host reads 0), and 0.00 ms of kernels in it; with " in nothing.words
    assert nothing.words.endswith("; the profiler saw no kernel")


@pytest.mark.parametrize(
    ("output", "reason", "expected"),
    [
        ("22 passed in 9.9s\n", "", "22 passed in 9.9s"),
        ("1 failed, 21 passed in 9s\n", "tests ended with status 1: x", StepFailure),
        ("22 skipped in 2s\n", "", NotOnThisChip),
        ("", "tests had not ended when its time was up", StepFailure),
    ],
)
def test_the_verdict_of_the_gpu_tests(output, reason, expected, tmp_path):
    setting = Setting(tmp_path, "tiny", Device("cpu"), None, None)
    programs = SimpleNamespace(run=lambda name, words: Ended(output, "", reason))
    if isinstance(expected, str):
        assert parts.tests(setting, programs).words == expected
    else:
        last = output.strip() or reason
        with pytest.raises(expected, match=f"{last}$"):
            parts.tests(setting, programs)


@pytest.mark.parametrize("weights", [True, False])
def test_data_and_model_are_found_where_the_launchers_find_them(
    weights, tmp_path, sst2, pretrained, monkeypatch
):
    monkeypatch.setattr(check_gpu, "ROOT", tmp_path / "nowhere")
    flags, _ = parser_of(check_gpu.CheckFlags, "check_gpu", "").parse(
        ["--data_path", str(sst2.parent)]
    )
    own = tmp_path / "out"
    assert check_gpu.make_setting(flags, own, Device("cpu")).model is None
    model = sst2.parent / "prev_trained_model" / "albert_base_v2"
    shutil.copytree(pretrained, model)
    if not weights:
        (model / "model.safetensors").unlink()
    setting = check_gpu.make_setting(flags, own, Device("cpu"))
    assert (setting.data, setting.model, setting.has_weights) == (sst2, model, weights)
    words = launcher_words(setting, own / "launcher")
    goals = parse_flags(list(map(str, words)))
    assert goals.inputs.random_init != weights
    assert (goals.training.batch_size, goals.training.fp16_opt_level) == (440, "O2")


def test_what_the_gpu_tests_said_before_their_time_was_up_is_told(tmp_path):
    output = "a.py::one PASSED [ 25%]\na.py::two[PASSED] FAILED [ 50%]\na.py::three PASSED [ 75%]\n"
    output += "a.py::four "
    setting = Setting(tmp_path, "tiny", Device("cpu"), None, None)
    programs = SimpleNamespace(run=lambda name, words: Ended(output, "", "time was up"))
    with pytest.raises(StepFailure, match=r"time was up \(up to there 2 passed, 1 failed\)"):
        parts.tests(setting, programs)


def test_without_pytest_the_tests_are_not_run(monkeypatch, tmp_path):
    monkeypatch.setattr(parts.importlib.util, "find_spec", lambda name: None)
    setting = Setting(tmp_path, "tiny", Device("cpu"), None, None)
    with pytest.raises(NotRun, match="pytest is not installed: python3 -m pip install -r"):
        parts.tests(setting, Programs(tmp_path, 1))
