"""The benchmark's contenders on a tiny model: what each computes, and what is counted of it."""

import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from helpers import losses_of, parse_flags, train
from torch.utils.flop_counter import FlopCounterMode

from model.checkpoint import build_model
from model.configuration_albert import AlbertConfig
from model.modeling_albert import AlbertForSequenceClassification
from processors.batching import BatchPlan
from processors.glue import TASKS
from tools.bench.contenders import (
    ATTENTIONS,
    PARTS,
    PRECISIONS,
    Contender,
    make_contenders,
    make_ratios,
)
from tools.bench.data import draw_lengths, draw_static_lengths, generate_features, take_sample
from tools.bench.figures import contender_figures, peak_figures, ratio_figures, summary
from tools.bench.flags import LEARNING_RATE, SEED, BenchmarkFlags, Setting
from tools.bench.flops import TRAINING, model_flops, needed_flops
from tools.bench.matmul import MatmulPeak
from tools.bench.ours import Ours
from tools.bench.session import Session
from tools.machine.device import Device
from tools.machine.seeds import seed_everything
from tools.precision.scoring import ScoringPrecision
from tools.run.scoring import compute_logits

pytestmark = pytest.mark.newer_torch("is not for the benchmark")

WIDTH, BATCH = 32, 4
SHAPE = AlbertConfig(
    vocab_size=60, embedding_size=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=WIDTH, classifier_dropout_prob=0.0,
)  # fmt: skip
SHAPE.set_task(TASKS["sst-2"].labels)
EVERYBODY = make_contenders(WIDTH)
BY_NAME = {c.name: c for c in make_contenders(WIDTH, ATTENTIONS, PRECISIONS, compiled=True)}
SETTING = Setting(
    BenchmarkFlags(batch_size=BATCH, max_seq_length=WIDTH, sample=2, threads=1),
    SHAPE,
    Device("cpu"),
)


@pytest.fixture(scope="module")
def features():
    """The examples of every group."""
    lengths = {"train": draw_lengths(400, 10.0, WIDTH, 0), "eval": draw_lengths(50, 10.0, WIDTH, 0)}
    lengths |= {f"static-{width}": draw_static_lengths(BATCH, width, 0) for width in (16, WIDTH)}
    return {
        group: generate_features(drawn, TASKS["sst-2"], SHAPE.vocab_size, 0)
        for group, drawn in lengths.items()
    }


def open_session(name, features):
    contender = BY_NAME[name]
    return Session(contender, SETTING, features[contender.group])


def test_the_contenders_have_names_of_their_own():
    everybody = make_contenders(128, ATTENTIONS, PRECISIONS, compiled=True)
    names = [contender.name for contender in everybody]
    assert len(set(names)) == len(names)
    assert {"ours-bucket", "hf-grouped-eager", "ours-compile-static-16"} < set(names)
    assert {contender.part for contender in everybody} == set(PARTS)
    pairs = make_ratios(everybody)
    assert len(set(pairs)) == len(pairs)
    assert {name for pair in pairs for name in pair} == set(names)


def test_the_ratios_are_those_that_matter():
    names = ("ours-bucket", "ours-compile-bucket", "ours-max_length", "hf-max_length", "hf-dynamic")
    names += ("ours-bucket-bf16", "hf-dynamic-bf16", "ours-eval", "ours-eval-bf16")
    names += ("hf-eval",)
    assert set(make_ratios([BY_NAME[name] for name in names])) == {
        ("ours-bucket", "ours-max_length"),
        ("ours-bucket", "hf-max_length"),
        ("ours-bucket", "hf-dynamic"),
        ("ours-max_length", "hf-max_length"),
        ("ours-compile-bucket", "ours-bucket"),
        ("ours-bucket-bf16", "hf-dynamic-bf16"),
        ("ours-bucket-bf16", "ours-bucket"),
        ("hf-dynamic-bf16", "hf-dynamic"),
        ("ours-eval", "hf-eval"),
        ("ours-eval-bf16", "ours-eval"),
    }


def test_every_contender_trains_in_every_precision_and_evaluates_in_fp32():
    everybody = make_contenders(128, precisions=("bf16", "fp32"))
    plain = [
        contender for contender in everybody if contender.trains and "fp32" not in contender.name
    ]
    for contender in plain:
        assert contender.precision == "bf16"
        assert replace(contender, name=f"{contender.name}-fp32", precision="fp32") in everybody
    evaluate = {c.name: c.precision for c in everybody if not c.trains}
    assert evaluate == {"ours-eval": "fp32", "ours-eval-bf16": "bf16", "hf-eval": "fp32"}
    assert "ours-eval-bf16" not in [contender.name for contender in EVERYBODY]


@pytest.mark.parametrize("contender", EVERYBODY, ids=lambda contender: contender.name)
def test_every_contender_takes_turns(features, contender):
    if contender.system == "hf":
        pytest.importorskip("transformers")
    session = Session(contender, SETTING, features[contender.group])
    facts, turn = session.prepare(), session.turn()
    # Many releases of transformers look whether their mask is all ones.
    assert facts["host_reads"] in ((0, 1) if contender.system == "hf" else (0,))
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


def losses_of_an_epoch(session, most=None):
    """Return the losses of the first steps of a contender's epoch."""
    losses = []
    for step in session.engine.steps(session.epoch[:most]):
        losses.append(session.engine.forward_backward(step).item())
        session.engine.update()
    return losses


def test_the_losses_of_a_static_batch_are_those_of_transformers(features):
    pytest.importorskip("transformers")
    losses = []
    for name in ("ours-static-16", "hf-sdpa-static-16", "hf-eager-static-16"):
        session = open_session(name, features)
        if name.startswith("ours"):
            session.engine.model.config.classifier_input_shift = 0.0
        losses += losses_of_an_epoch(session)
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "flag"), [("ours-bucket", ()), ("ours-longest-bf16", ("--bf16",))]
)
def test_the_steps_of_ours_are_those_of_a_run(features, tmp_path, tokenizer, name, flag):
    """The same seed, data and flags give run_classifier.py the same losses, to the last bit."""
    seed_everything(SEED)
    model = build_model(SHAPE)
    flags = f"--do_train --device cpu --output_dir {tmp_path} --save_steps 0 --logging_steps 1"
    flags += f" --batch_size {BATCH} --max_seq_length {WIDTH} --learning_rate {LEARNING_RATE}"
    flags += f" --padding {BY_NAME[name].batching} --drop_last --max_steps 6 --seed {SEED}"
    flags += " --lr_schedule constant --warmup_proportion 0"
    history = tmp_path / "history.jsonl"
    train(parse_flags([*flags.split(), *flag]), model, tokenizer, features["train"], history)
    assert losses_of_an_epoch(open_session(name, features), 6) == losses_of(history)


@pytest.mark.parametrize("name", ["ours-eval", "ours-eval-bf16"])
def test_the_outputs_of_ours_are_those_of_an_evaluation(features, name):
    session, device = open_session(name, features), Device("cpu")
    precision = ScoringPrecision(device, "--bf16" if "bf16" in name else None)
    session.prepare()
    with torch.no_grad():
        found = torch.cat(list(session.engine.logits(session.epoch)))
    rows = np.concatenate([plan.rows for plan in session.epoch])
    model = session.engine.model
    expected = compute_logits(model, features["eval"], device, BATCH, WIDTH, precision=precision)
    assert np.array_equal(found.float(), expected[rows])
    assert found.dtype == (torch.bfloat16 if "bf16" in name else torch.float32)


def test_transformers_batches_of_like_length_are_its_own_samplers(features):
    pytest.importorskip("transformers")
    lengths = features["train"].lengths
    grouped, random = (open_session(name, features).epoch for name in ("hf-grouped", "hf-dynamic"))
    for epoch in (grouped, random):
        rows = np.concatenate([plan.rows for plan in epoch])
        assert sorted(rows) == list(range(len(lengths)))
        assert all(plan.width == lengths[plan.rows].max() for plan in epoch)
    assert grouped[0].width == lengths.max()  # it has the longest come first
    assert sum(plan.width for plan in grouped) < 0.8 * sum(plan.width for plan in random)


def test_transformers_batches_are_padded_by_its_collator(features):
    pytest.importorskip("transformers")
    session = open_session("hf-dynamic", features)
    plan = session.epoch[0]
    (batch,) = session.engine.steps([plan])
    assert batch["input_ids"].shape == (BATCH, plan.width)
    assert batch["attention_mask"].sum(1).tolist() == features["train"].lengths[plan.rows].tolist()
    assert (batch["input_ids"] == batch["input_ids"] * batch["attention_mask"]).all()
    assert batch["labels"].tolist() == features["train"].labels[plan.rows].tolist()


@pytest.mark.long
def test_a_compiled_contender_tells_what_that_took(features, monkeypatch):
    """It compiles as the flag --torch_compile does; here the graphs run without new kernels."""
    if not shutil.which("g++"):
        pytest.skip("this machine has no C++ compiler")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    session = open_session("ours-compile-bucket", features)
    facts, turn = session.prepare(), session.turn()
    assert 0 < facts["compile_seconds"] < 100
    assert "host_reads" not in facts
    assert turn["mean"] == pytest.approx(np.log(2), abs=0.2)


@pytest.mark.parametrize("name", ["ours-static-16", "hf-sdpa-static-16"])
def test_a_bf16_contender_computes_in_bf16(features, name):
    if name.startswith("hf"):
        pytest.importorskip("transformers")
    (plain,), (in_bf16,) = (
        losses_of_an_epoch(open_session(name + suffix, features)) for suffix in ("", "-bf16")
    )
    assert plain != in_bf16
    assert in_bf16 == pytest.approx(plain, abs=0.01)


@pytest.mark.parametrize(
    ("group", "batching"),
    [("train", "bucket"), ("train", "longest"), ("train", "max_length"), ("eval", "bucket")],
)
def test_a_sample_stands_for_its_epoch(group, batching):
    """An evaluation's batches are of unequal sizes."""
    lengths = draw_lengths(40_000, 14.3, 128, 1)
    assert lengths.mean() == pytest.approx(14.3, rel=0.03)
    assert lengths.min() == 3
    lengths = lengths[:900] if group == "eval" else lengths
    features = generate_features(lengths, TASKS["sst-2"], SHAPE.vocab_size, 0)
    wide = replace(SETTING, flags=replace(SETTING.flags, batch_size=32, max_seq_length=128))
    epoch = Ours(Contender("", group, "ours", batching), wide, features).epoch
    assert (len({len(plan.rows) for plan in epoch}) > 2) == (group == "eval")
    sample = take_sample(epoch, lengths, 8)
    assert len({tuple(plan.rows) for plan in sample}) == len(sample) <= 8
    assert means(sample, lengths) == pytest.approx(means(epoch, lengths), rel=0.03)


def means(plans, lengths):
    """Return the mean tokens and the mean width of an example of these batches."""
    rows = np.concatenate([plan.rows for plan in plans])
    return lengths[rows].mean(), sum(p.width * len(p.rows) for p in plans) / len(rows)


def test_a_sample_makes_up_for_a_batch_that_is_not_full():
    """The means to meet are those of all examples, not of the full batches alone."""
    widths, sizes = np.arange(1, 28), np.array([8] * 26 + [1])
    lengths = np.repeat(widths, sizes)
    batches = np.split(np.arange(len(lengths)), np.cumsum(sizes)[:-1])
    epoch = [BatchPlan(rows, width) for rows, width in zip(batches, widths, strict=True)]
    for rows in batches:
        lengths[rows[0]] -= 1  # some padding
    sample = take_sample(epoch, lengths, 5)
    assert len(sample) == 5
    assert means(sample, lengths) == pytest.approx(means(epoch, lengths), rel=0.01)


@pytest.mark.parametrize(
    ("widths", "steps"),
    [([128] * 100, 1), ([120, 128] * 50, 2), ([16, 24] * 50, 8), ([16, 24], 2)],
)
def test_wide_batches_make_short_turns(widths, steps):
    epoch = [BatchPlan(np.array([index]), width) for index, width in enumerate(widths)]
    assert len(take_sample(epoch, np.array(widths), 8)) == steps


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
    math = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with FlopCounterMode(display=False) as counter, math, torch.no_grad():
        model(torch.ones(batch, 8, dtype=torch.int))
    unasked = 2 * SHAPE.hidden_size**2 * (8 - 1) * batch
    assert counter.get_total_flops() == needed_flops(SHAPE, np.array([8] * batch)) + unasked


def test_ratios_are_of_turns_of_the_same_round():
    figures = ratio_figures(summary([2.0, 9.0]), summary([1.0, 3.0]))
    assert figures["values"] == [2.0, 3.0]
    assert (figures["median"], figures["low"], figures["high"]) == (2.5, 2.0, 3.0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_peak_is_the_fastest_shape_of_the_model(precision, features):
    products = MatmulPeak(Contender("", "", "", precision=precision), SETTING, features["train"])
    products.prepare()
    peak = peak_figures([products.turn(), products.turn()])
    assert peak["flops_per_second"] == max(peak["shapes"].values()) > 1e8
    assert {"512×32 · 32×96", "64×4096 · 4096×32"} <= peak["shapes"].keys()
