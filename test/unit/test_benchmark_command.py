"""The benchmark's command on a tiny model: its report, its flags, and how it fails."""

import importlib.util
import json
import sys
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from helpers import ROOT, command

from model.configuration_albert import AlbertConfig
from tools.bench import run
from tools.bench.workers import OutOfMemory, failure
from tools.benchmark import build_parser
from tools.cli.errors import UsageError

pytestmark = pytest.mark.newer_torch("is not for the benchmark")

WIDTH, BATCH = 32, 4
SHAPE = AlbertConfig(
    vocab_size=60, embedding_size=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=WIDTH,
)  # fmt: skip


def benchmark(*flags, cwd, **environment):
    """Run the command on the tiny model; ``flags`` win."""
    (cwd / "config.json").write_text(SHAPE.to_json())
    small = ("--config", cwd, "--device", "cpu", "--threads", 1, "--batch_size", BATCH)
    small += ("--max_seq_length", WIDTH, "--rounds", 1, "--sample", 2)
    words = (sys.executable, ROOT / "tools/benchmark.py", *small, *flags)
    return command(*words, cwd=cwd, **environment)


def test_the_command_compares_contenders_and_precisions(tmp_path):
    names = ("ours-static-16", "ours-static-16-bf16")
    flags = ("--precision", "fp32,bf16", "--contenders", ",".join(names))
    words = (*flags, "--json", tmp_path / "b.json")
    result = benchmark(*words, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "b.json").read_text())
    assert found["contenders"].keys() == set(names)
    assert found["machine"]["batch_size"] == BATCH
    assert found["data"]["mean_length"] == pytest.approx(14.3, rel=0.1)  # cut at WIDTH
    ratio = "ours-static-16-bf16 / ours-static-16"
    assert found["ratios"].keys() == {ratio}
    plain, half = (found["contenders"][name]["samples_per_second"] for name in names)
    assert found["ratios"][ratio]["values"] == [half["values"][0] / plain["values"][0]]
    assert found["peaks"]["static-16"].keys() == {"fp32", "bf16"}
    peak = found["peaks"]["static-16"]["fp32"]
    assert peak["shape"] in peak["shapes"]
    assert found["one_after_the_other"] == []
    assert "| ours-static-16 | " in result.stdout
    assert f"| {ratio} | " in result.stdout


def test_a_worker_that_dies_is_named_and_what_was_over_is_shown(tmp_path):
    package = tmp_path / "transformers"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('broken on purpose')")
    flags = ("--contenders", "ours-static-16,hf-eval", "--json", tmp_path / "b.json")
    result = benchmark(*flags, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert "The run was cut short" in result.stdout
    assert "| ours-static-16 | " in result.stdout
    assert not (tmp_path / "b.json").exists()
    assert result.stderr.splitlines()[-1] == (
        "benchmark: error: the worker hf-eval failed: ImportError: broken on purpose "
        "(--debug shows where)"
    )
    assert "Traceback" not in result.stderr


def test_what_says_that_memory_lacks():
    for error in (
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("NPU out of memory. Tried to allocate 2.00 GiB (NPU 0; 32.00 GiB total)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ):
        assert isinstance(failure("hf-eval", error), OutOfMemory)
    other = failure("hf-eval", ValueError("the loss is no finite number"))
    assert not isinstance(other, OutOfMemory)
    assert str(other) == "the worker hf-eval failed: the loss is no finite number"


class NarrowMachine:
    """Stands in for the workers, on a machine that holds ``room`` contenders, and one of them never."""

    def __init__(self, room, too_large=None):
        self.room, self.too_large, self.turns = room, too_large, []

    @contextmanager
    def start_workers(self, contenders, *_):
        names = [c.name for c in contenders if c.system != "matmul"]
        yield [
            SimpleNamespace(name=c.name, ask=partial(self.ask, c.name, names)) for c in contenders
        ]

    def ask(self, name, names, question):
        if name in names[self.room :] or name == self.too_large:
            raise OutOfMemory(f"the worker {name} failed: CUDA out of memory")
        if question == "turn":
            self.turns.append(name)
        work = dict.fromkeys(("batches", "samples", "tokens", "padded_tokens"), 8)
        work |= {"model_flops": 8.0, "needed_flops": 8.0}
        turn = {"seconds": 1.0, "mean": 0.0, "update_seconds": 0.1, "peak_memory": 1}
        return {"epoch": work, "turn": work, **turn, "flops_per_second": {"1×1 · 1×1": 80.0}}


def parse(*words):
    flags, _ = build_parser().parse(
        [*words, "--device", "cpu", "--parts", "train", "--rounds", "2"]
    )
    return flags


@pytest.mark.parametrize(("room", "apart"), [(3, False), (1, True)])
def test_contenders_that_do_not_fit_together_run_one_after_the_other(
    room, apart, monkeypatch, tmp_path, capsys
):
    machine, names = NarrowMachine(room), ["ours-bucket", "ours-longest", "ours-max_length"]
    monkeypatch.setattr(run, "start_workers", machine.start_workers)
    flags = parse("--contenders", ",".join(names), "--json", str(tmp_path / "b.json"))
    run.Benchmark(flags, tmp_path).run()
    turns = [name for name in machine.turns if name in names]
    assert sorted(turns) == sorted(names * 2)
    assert (turns == sorted(turns)) == apart  # in rounds, each begins with another one
    found = json.loads((tmp_path / "b.json").read_text())
    assert found["one_after_the_other"] == (["train"] if apart else [])
    assert found["contenders"].keys() == set(names)
    assert found["ratios"]["ours-bucket / ours-longest"]["values"] == [1.0, 1.0]
    assert ("One after the other, since they do not fit" in capsys.readouterr().out) == apart


def test_one_that_does_not_fit_alone_is_left_out(monkeypatch, tmp_path, capsys):
    machine = NarrowMachine(1, too_large="ours-longest")
    monkeypatch.setattr(run, "start_workers", machine.start_workers)
    names = ["ours-bucket", "ours-longest", "ours-max_length"]
    flags = parse("--contenders", ",".join(names), "--json", str(tmp_path / "b.json"))
    run.Benchmark(flags, tmp_path).run()
    found = json.loads((tmp_path / "b.json").read_text())
    assert list(found["contenders"]) == [names[0], names[2]]
    assert (found["whole"], found["too_large"]) == (True, ["ours-longest"])
    output = capsys.readouterr()
    assert "Too large for the memory, also alone: ours-longest." in output.out
    assert "train: the worker ours-longest failed: CUDA out of memory" in output.err


def test_a_run_whose_contenders_all_do_not_fit_fails(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "start_workers", NarrowMachine(0).start_workers)
    with pytest.raises(OutOfMemory, match="ours-bucket failed"):
        run.Benchmark(parse("--contenders", "ours-bucket,ours-longest"), tmp_path).run()
    assert capsys.readouterr().out == ""


@pytest.mark.long
def test_workers_that_lack_memory_get_another_try_alone(tmp_path):
    """This transformers never finds any, so the second tries fail as well."""
    package = tmp_path / "transformers"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('CUDA out of memory. Tried 2.00 GiB')")
    flags = ("--contenders", "hf-sdpa-static-16,hf-eager-static-16")
    result = benchmark(*flags, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    first, apart, *alone, last = result.stderr.splitlines()[-5:]
    reason = "the worker hf-sdpa-static-16 failed: RuntimeError: CUDA out of memory. Tried 2.00 GiB"
    assert alone[0] == first
    assert alone[1].startswith("static-16: the worker hf-eager-static-16 failed: ")
    assert first == f"static-16: {reason} (--debug shows where)"
    assert apart == "static-16: its contenders do not fit together and run one after the other"
    assert last == f"benchmark: error: {reason} (--debug shows where)"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--parts trian", "--parts 'trian': there are train, static"),
        ("--parts ,", "--parts '': there are train, static"),
        ("--contenders ours", "--contenders 'ours': there are ours-bucket"),
        ("--data_dir .", "--data_dir needs --config"),
        ("--parts eval --contenders ours-bucket", "ours-bucket is in none of --parts eval"),
        ("--rounds 0", "--rounds: 0 is not 1 or more"),
        ("--mean_length nan", "--mean_length: nan is not 3 or more"),
        ("--threads 100000", "and at most"),
        ("--precision fp16", "--precision 'fp16': there are fp32, bf16"),
        ("--precision fp32 --contenders ours-bucket-bf16", "'ours-bucket-bf16': there are"),
        ("--json README.md", "README.md is there already"),
        ("--json no/folder/b.json", "no/folder is no folder that can be written to"),
    ],
)
def test_wrong_usage_is_told(flags, words, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as end:
        build_parser().parse(flags.split())
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_missing_transformers_is_told(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        build_parser().parse([])
    assert end.value.code == 2
    assert "python3 -m pip install -r requirements-test.txt" in capsys.readouterr().err
    assert build_parser().parse(["--contenders", "ours-bucket"])[0].chosen


def test_a_torch_too_old_for_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "CAN_COMPILE", False)
    with pytest.raises(
        UsageError, match=r"the benchmark needs torch 2\.4 or later, and this is \d"
    ):
        run.Benchmark(build_parser().parse([])[0], tmp_path)


def test_what_the_data_lack_is_told_by_their_own_names(sst2, pretrained, tmp_path):
    text = (sst2 / "dev.tsv").read_text()
    (sst2 / "dev.tsv").write_text(text.replace("\t1\n", "\t2\n", 1))
    result = benchmark("--data_dir", sst2, "--config", pretrained, cwd=tmp_path)
    assert result.returncode == 1
    assert f"benchmark: error: {sst2 / 'dev.tsv'}, line " in result.stderr
