"""test/check_npu.sh on the simulated NPU: whole, and on one with a fault that a step is to find."""

import os
import re
import sys
from dataclasses import replace

import pytest
from helpers import ROOT, command, launch
from simulated_npu import ASCEND_910A, install

from tools import check_npu
from tools.check.steps import STEPS, steps_for

LINE = r"^ *(pass|fail|not on this chip|no data|not asked)  (.*?): (.*) \(\d+ s\)(?:\. It means: (.*))?$"


def answers(text):
    """Return what each step says: its verdict, its words, and what a failure means."""
    return {name: rest for _, name, *rest in _lines(text)}, {n: v for v, n, *_ in _lines(text)}


def _lines(text):
    return re.findall(LINE, text, re.MULTILINE)


# These are steps that no other test here asks for, and with ALBERT_TEST_LONG=1 all steps are asked.
ASKED = ("memory", "compilation", "queue", "launcher on 1 NPU", "launcher on 8 NPUs")


def test_the_check_passes_on_the_simulated_npu(clone, tmp_path):
    report = tmp_path / "report.md"
    steps = list(STEPS) if os.environ.get("ALBERT_TEST_LONG") else steps_for(ASKED)
    names = [step.name for step in steps]
    flags = ("--size=tiny", f"--report={report}", f"--steps={','.join(names)}")
    result = launch(clone, "check_npu.sh", *flags, **install(tmp_path / "packages"))
    assert result.returncode == 0, result.stdout + result.stderr
    _, verdicts = answers(result.stdout)
    assert list(verdicts) == names
    elsewhere = {name: verdict for name, verdict in verdicts.items() if verdict != "pass"}
    of_eight = [name for name in names if name in ("8 processes", "launcher on 8 NPUs")]
    assert elsewhere == dict.fromkeys(of_eight, "not on this chip")
    passed = len(names) - len(of_eight)
    assert f"{passed} pass, {len(of_eight)} not on this chip" in result.stdout
    assert result.stdout.endswith(f"; the report is {report}\n")
    text = report.read_text()
    for line in result.stdout.splitlines()[:-1]:
        assert line in text
    assert "torch_npu: " in text
    assert "TASK_QUEUE_ENABLE: 2" in text
    assert "CANN: no CANN found, looked in " in text
    assert not list(clone.glob("test/output/check*"))


# The step that is to find each fault, and what it says.
FAULTS = {
    "mask": ("attention", "a mask [B, 1, S, S] is refused: npu_fusion_attention: atten_mask"),
    "frozen": ("overfit", "apart"),
    "fallback": ("fallbacks", "computed on the CPU: aten::gelu"),
    "product": ("product", "a product in float32 differs from the CPU's by"),
    "kernel": ("network", "differs from the CPU's by"),
    "hang": ("2 processes", "no answer from the other processes within 10 s (--ddp_timeout)"),
}
# Those that do not hide each other are planted together.
PLANTED = [
    (("product", "mask"), ""),
    (("kernel", "frozen"), ""),
    pytest.param(("fallback", "hang"), "O2", marks=pytest.mark.long),
]


def check(tmp_path, steps, **options):
    environment = install(tmp_path / "packages", **options)
    words = ("-m", "tools.check_npu", "--size", "tiny", "--report", tmp_path / "report.md")
    result = command(sys.executable, *words, "--steps", steps, cwd=ROOT, **environment)
    found, verdicts = answers(result.stdout)
    return result, found, verdicts


@pytest.mark.parametrize(("faults", "before"), PLANTED)
def test_a_planted_fault_is_found_by_the_right_step(tmp_path, faults, before):
    names = [FAULTS[fault][0] for fault in faults]
    steps = ",".join(filter(None, [before, *names]))
    result, found, verdicts = check(tmp_path, steps, faults=faults)
    assert result.returncode == 1, result.stdout + result.stderr
    assert [step for step, verdict in verdicts.items() if verdict == "fail"] == names
    text = (tmp_path / "report.md").read_text()
    for fault, name in zip(faults, names, strict=True):
        assert FAULTS[fault][1] in found[name][0]
        assert found[name][1]  # what it means
        assert f"## What {name} printed" in text


def test_a_chip_without_bf16_is_no_failure(tmp_path):
    result, _, verdicts = check(tmp_path, "bf16,attention", lacks=ASCEND_910A)
    assert result.returncode == 0, result.stdout + result.stderr
    assert verdicts == {"device": "pass", "attention": "pass", "bf16": "not on this chip"}


def test_without_an_npu_the_first_step_says_why_and_the_others_are_not_asked(tmp_path):
    report = tmp_path / "report.md"
    words = ("-m", "tools.check_npu", "--size", "tiny", "--report", report)
    result = command(sys.executable, *words, cwd=ROOT)
    assert result.returncode == 1
    found, verdicts = answers(result.stdout)
    assert verdicts.pop("device") == "fail"
    assert "--device npu: torch_npu is not installed" in found["device"][0]
    assert list(verdicts.values()) == 19 * ["not asked"]
    assert "1 fail, 19 not asked" in report.read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--steps", "product,nonsense"), "--steps nonsense: there are device, product, "),
        (("--report", ROOT / "README.md"), "README.md is there already: give another name"),
        (("--size", "huge"), "invalid choice: 'huge'"),
    ],
)
def test_wrong_usage_is_one_line(flags, words):
    result = command(sys.executable, "-m", "tools.check_npu", *flags, cwd=ROOT)
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_step_that_hangs_is_ended_with_all_it_started(tmp_path, monkeypatch):
    for name, value in install(tmp_path / "packages", faults=("hang",)).items():
        monkeypatch.setenv(name, value)
    flags = check_npu.CheckFlags(tmp_path / "r.md", tmp_path, 0, None, "tiny", None, tmp_path)
    by_name = {step.name: step for step in STEPS}
    check_npu.ask(by_name["device"], flags, tmp_path)
    # By then rank 1 hangs in a collective, and rank 0 waits for it.
    outcome = check_npu.ask(replace(by_name["2 processes"], limit=9), flags, tmp_path)
    assert (outcome.verdict, outcome.words) == ("fail", "no answer within 9 s")
    assert str(tmp_path) not in command("ps", "ax", "-o", "args", cwd=tmp_path).stdout


def test_a_step_is_asked_with_what_it_needs():
    names = [step.name for step in steps_for(["resume", "product"])]
    assert names == ["device", "product", "O2", "repeat", "resume"]
