"""The benchmark on a tiny model: who takes part, what is counted, and how it fails."""

import json
import shutil
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from helpers import ROOT, command
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.configuration_albert import AlbertConfig
from model.modeling_albert import AlbertForSequenceClassification
from processors.glue import TASKS
from tools.bench.contenders import VARIANTS, Ratio, make_contenders, make_ratios
from tools.bench.data import draw_lengths, draw_static_lengths, generate_features, write_features
from tools.bench.flops import TRAINING, model_flops, needed_flops
from tools.bench.matmul import MatmulPeak
from tools.bench.ours import Ours
from tools.bench.results import contender_figures, peak_figures, ratio_figures, summary
from tools.bench.run import PARTS
from tools.bench.sample import sample_size, take_sample
from tools.bench.session import Session
from tools.bench.spec import Contender, Setting, read_spec, write_spec
from tools.bench.startup import Startup

WIDTH, BATCH = 32, 4
SHAPE = AlbertConfig(
    vocab_size=60, embedding_size=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=WIDTH,
)  # fmt: skip
EVERYBODY = make_contenders(WIDTH, ("sdpa",))
BY_NAME = {contender.name: contender for contender in make_contenders(WIDTH, ("sdpa",), VARIANTS)}


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """The files that workers read."""
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "config.json").write_text(SHAPE.to_json())
    lengths = {"train": draw_lengths(400, 10.0, WIDTH, 0), "eval": draw_lengths(50, 10.0, WIDTH, 0)}
    lengths |= {f"static-{width}": draw_static_lengths(BATCH, width, 0) for width in (16, WIDTH)}
    for group, drawn in lengths.items():
        features = generate_features(drawn, TASKS["sst-2"], SHAPE.vocab_size, 0)
        write_features(folder / f"{group}.safetensors", features)
    return Setting(
        "sst-2", str(folder), "", str(folder), "cpu", 0, 1, "fp32", "lamb", BATCH, WIDTH, 2
    )


def test_the_contenders_have_names_of_their_own():
    everybody = make_contenders(128, ("sdpa", "eager"), VARIANTS)
    names = [contender.name for contender in everybody]
    assert len(set(names)) == len(names)
    assert {"ours-bucket", "hf-grouped-eager", "ours-compile-static-16"} < set(names)
    assert {contender.group.partition("-")[0] for contender in everybody} < set(PARTS)
    for ratio in make_ratios(everybody):
        assert {ratio.contender, *ratio.others} <= set(names)


@pytest.mark.parametrize("contender", EVERYBODY, ids=lambda contender: contender.name)
def test_every_contender_takes_turns(setting, contender):
    if contender.system == "hf":
        pytest.importorskip("transformers")
    session = Session(contender, setting)
    facts, turn = session.prepare(), session.turn()
    assert facts["host_reads"] == (
        contender.system == "hf"
    )  # it looks whether its mask is all ones
    figures = contender_figures(facts, [turn], 1e12)
    assert (figures["optimizer_share"] is not None) == contender.trains
    assert 0 < figures["needed"] < figures["mfu"] < 1
    epoch = figures["epoch"]
    if contender.batching == "max_length":
        assert figures["padding_efficiency"] == epoch["tokens"] / epoch["samples"] / WIDTH
        assert facts["turn"]["batches"] == 1
    assert figures["padding_efficiency"] <= 1
    assert turn["peak_memory"] > 0
    if contender.trains:
        assert abs(turn["mean"] - np.log(2)) < 0.2


def test_the_losses_of_a_static_batch_are_those_of_transformers(setting):
    pytest.importorskip("transformers")
    losses = []
    for name in ("ours-static-16", "hf-sdpa-static-16", "hf-eager-static-16"):
        session = Session(BY_NAME[name], setting)
        engine = session._engine
        (batch,) = engine.batches(engine.epoch())
        model = engine._network if isinstance(engine, Ours) else engine._model
        model.eval()  # without the classifier's dropout
        if isinstance(engine, Ours):
            model.config.classifier_input_shift = 0.0
        losses.append(engine.gradients(batch).item())
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-5)


def test_a_compiled_contender_tells_what_that_took(setting, monkeypatch):
    """It compiles as the flag --torch_compile does; here the graphs run without new kernels."""
    if not shutil.which("g++"):
        pytest.skip("this machine has no C++ compiler")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    session = Session(BY_NAME["ours-compile-bucket"], setting)
    facts, turn = session.prepare(), session.turn()
    assert 0 < facts["compile_seconds"] < 100
    assert "host_reads" not in facts
    assert turn["mean"] == pytest.approx(np.log(2), abs=0.2)


def test_a_bf16_contender_computes_in_bf16(setting):
    losses = []
    for name in ("ours-static-16", "ours-bf16-static-16"):
        engine = Session(BY_NAME[name], setting)._engine
        losses.append(engine.gradients(*engine.batches(engine.epoch())).item())
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], abs=0.01)


@pytest.mark.parametrize(
    ("group", "batching"),
    [("train", "bucket"), ("train", "longest"), ("train", "max_length"), ("eval", "bucket")],
)
def test_a_sample_stands_for_its_epoch(setting, group, batching):
    """An evaluation's batches are of unequal sizes."""
    lengths = draw_lengths(40_000, 14.3, 128, 1)
    assert lengths.mean() == pytest.approx(14.3, rel=0.03)
    assert lengths.min() == 3
    lengths = lengths[:900] if group == "eval" else lengths
    features = generate_features(lengths, TASKS["sst-2"], SHAPE.vocab_size, 0)
    wide = replace(setting, batch_size=32, max_seq_length=128)
    plans = Ours(Contender("", group, "ours", batching), wide, features).epoch()
    widths = np.array([plan.width for plan in plans])
    sizes = np.array([len(plan.rows) for plan in plans])
    tokens = np.array([lengths[plan.rows].sum() for plan in plans])
    assert (len(set(sizes)) > 2) == (group == "eval")
    chosen = take_sample(widths, tokens, sizes, sample_size(widths, 8))
    assert len(set(chosen)) == len(chosen) <= 8
    for work in (tokens, widths * sizes):
        mean = work[chosen].sum() / sizes[chosen].sum()
        assert mean == pytest.approx(work.sum() / sizes.sum(), rel=0.03)


def test_a_sample_makes_up_for_a_batch_that_is_not_full():
    """The means to meet are those of all examples, not of the full batches alone."""
    widths, sizes = np.arange(1, 28), np.array([8] * 26 + [1])
    tokens = widths * sizes - 1
    chosen = take_sample(widths, tokens, sizes, 5)
    for work in (tokens, widths * sizes):
        mean = work[chosen].sum() / sizes[chosen].sum()
        assert mean == pytest.approx(work.sum() / sizes.sum(), rel=0.01)


def test_wide_batches_make_short_turns():
    assert sample_size(np.full(100, 128), 8) == 1
    assert sample_size(np.array([120, 128] * 50), 8) == 2
    assert sample_size(np.array([16, 24] * 50), 8) == 8
    assert sample_size(np.array([16, 24]), 8) == 2


def test_flops_are_those_that_torch_counts():
    transformers = pytest.importorskip("transformers")
    values = {k: v for k, v in SHAPE.to_dict().items() if k != "classifier_input_shift"}
    config = transformers.AlbertConfig(**values, attn_implementation="eager")
    model = transformers.AlbertForSequenceClassification(config)
    with FlopCounterMode(display=False) as counter:
        loss = model(input_ids=torch.ones(3, 8, dtype=torch.long), labels=torch.ones(3).long()).loss
        loss.backward()
    assert counter.get_total_flops() == TRAINING * model_flops(SHAPE, np.array([8, 8, 8]))


def test_needed_flops_are_those_of_this_model_but_for_queries_that_nobody_asks():
    """One product makes query, key and value of all tokens, in the last layer, too."""
    batch = 3
    model = AlbertForSequenceClassification(SHAPE)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(torch.ones(batch, 8, dtype=torch.int))
    unasked = 2 * SHAPE.hidden_size**2 * (8 - 1) * batch
    assert counter.get_total_flops() == needed_flops(SHAPE, np.array([8] * batch)) + unasked


def test_ratios_are_of_turns_of_the_same_round():
    speeds = {"a": summary([2.0, 9.0]), "b": summary([1.0, 3.0]), "c": summary([0.5, 0.5])}
    figures = ratio_figures(Ratio("a / b", "a", ("c", "b")), speeds)
    assert figures["over"] == "b"  # the faster
    assert figures["values"] == [2.0, 3.0]
    assert (figures["median"], figures["low"], figures["high"]) == (2.5, 2.0, 3.0)


def test_the_peak_is_the_fastest_shape_of_the_model(setting):
    products = MatmulPeak(setting)
    products.prepare()
    peak = peak_figures([products.turn(), products.turn()])
    assert peak["flops_per_second"] == max(peak["shapes"].values()) > 1e8
    assert {"512×32 · 32×96", "64×4096 · 4096×32"} <= peak["shapes"].keys()


def test_startup_reads_anew_and_from_the_cache(setting, sst2, pretrained):
    startup = Startup(replace(setting, data=str(sst2), model=str(pretrained)))
    startup.prepare()
    turn = startup.turn()
    assert turn.keys() == {"cold", "cached"}
    assert min(turn.values()) > 0


def test_specifications_survive_the_way_to_a_worker(setting, tmp_path):
    write_spec(tmp_path / "spec", EVERYBODY[0], setting)
    assert read_spec(tmp_path / "spec") == (EVERYBODY[0], setting)


def benchmark(setting, *flags, cwd, **environment):
    own = ("--config", setting.model, "--device", "cpu", "--threads", 1, "--batch_size", BATCH)
    own += ("--max_seq_length", WIDTH, "--rounds", 1, "--sample", 2)
    return command(
        sys.executable, ROOT / "tools/benchmark.py", *own, *flags, cwd=cwd, **environment
    )


def test_the_command_compares(setting, tmp_path):
    flags = ("--contenders", "ours-bucket,ours-max_length", "--json", tmp_path / "b.json")
    result = benchmark(setting, *flags, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "b.json").read_text())
    assert found["contenders"].keys() == {"ours-bucket", "ours-max_length"}
    assert found["machine"]["batch_size"] == BATCH
    assert found["data"]["mean_length"] == pytest.approx(14.3, rel=0.1)  # cut at WIDTH
    bucket, plain = found["contenders"].values()
    assert found["ratios"]["ours-bucket / ours-max_length"]["values"] == [
        bucket["samples_per_second"]["values"][0] / plain["samples_per_second"]["values"][0]
    ]
    assert found["peaks"]["train"]["shape"] in found["peaks"]["train"]["shapes"]
    assert "| ours-bucket | " in result.stdout
    assert "| ours-bucket / ours-max_length | ours-max_length | " in result.stdout


def test_a_worker_that_dies_is_named_and_what_was_over_is_shown(setting, tmp_path):
    package = tmp_path / "transformers"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('broken on purpose')")
    flags = ("--contenders", "ours-static-16,hf-eval", "--json", tmp_path / "b.json")
    result = benchmark(setting, *flags, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert "The run was cut short" in result.stdout
    assert "| ours-static-16 | " in result.stdout
    assert not (tmp_path / "b.json").exists()
    assert result.stderr.splitlines()[-1] == (
        "benchmark: error: the worker hf-eval ended with status 1: ImportError: broken on purpose "
        "(--debug shows where)"
    )
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--parts trian", "--parts 'trian': there are train, static"),
        ("--parts ,", "--parts '': there are train, static"),
        ("--contenders ours", "--contenders 'ours': there are ours-bucket"),
        ("--parts startup", "give --data_dir"),
        ("--processes 2", "give --data_dir"),
        ("--data_dir .", "--data_dir needs --config"),
        ("--parts eval --contenders ours-bucket", "ours-bucket is in none of --parts eval"),
        ("--rounds 0", "--rounds: 0 is not 1 or more"),
        ("--mean_length nan", "--mean_length: nan is not 3 or more"),
        ("--threads 100000", "and at most"),
        ("--bf16 --precision bf16", "--bf16 compares with fp32"),
        ("--json README.md", "README.md is there already"),
        ("--json no/folder/b.json", "no/folder is no folder that can be written to"),
    ],
)
def test_wrong_usage_is_told(flags, words, capsys, monkeypatch):
    from tools.benchmark import build_parser

    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as end:
        build_parser().parse(flags.split())
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_missing_transformers_is_told(monkeypatch, capsys):
    from tools import benchmark

    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        benchmark.build_parser().parse([])
    assert end.value.code == 2
    assert "python3 -m pip install -r requirements-test.txt" in capsys.readouterr().err
    assert benchmark.build_parser().parse(["--contenders", "ours-bucket"])[0].chosen


def test_what_the_data_lack_is_told_by_their_own_names(setting, sst2, pretrained, tmp_path):
    text = (sst2 / "dev.tsv").read_text()
    (sst2 / "dev.tsv").write_text(text.replace("\t1\n", "\t2\n", 1))
    result = benchmark(setting, "--data_dir", sst2, "--config", pretrained, cwd=tmp_path)
    assert result.returncode == 1
    assert f"benchmark: error: {sst2 / 'dev.tsv'}, line " in result.stderr
