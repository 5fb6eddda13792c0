"""Batches hold what they should, whatever the padding and the number of processes."""

import os
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import make_examples, wait_until

from model.checkpoint import load_model
from model.configuration_albert import AlbertConfig
from processors.batching import (
    BUCKET_WIDTHS,
    MOST_PADDING,
    PADDING_POLICIES,
    BatchPlan,
    TrainingPlan,
    plan_evaluation,
)
from processors.features import build_features, load_features
from processors.glue import TASKS
from processors.loading import BatchBuilder, load_batches, training_steps
from tools.cli.errors import error_line
from tools.run.resume import Settings

CPU = torch.device("cpu")
LENGTHS = np.random.default_rng(0).integers(3, 60, size=500)


def plan(**changes):
    settings = {"batch_size": 8, "seed": 1, "max_seq_length": 64, "num_train_epochs": 2.0} | changes
    return TrainingPlan(LENGTHS, **settings)


def rows_of(steps):
    return [batch.rows.tolist() for step in steps for batch in step]


@pytest.mark.parametrize("policy", PADDING_POLICIES)
def test_an_epoch_has_every_example_once(policy):
    rows = np.concatenate(rows_of(plan(padding=policy).epoch(0)))
    assert sorted(rows) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("policy", PADDING_POLICIES)
def test_drop_last_leaves_full_batches_alone(policy):
    batches = rows_of(plan(padding=policy, drop_last=True).epoch(0))
    assert {len(rows) for rows in batches} == {8}
    assert len(set(np.concatenate(batches))) == 496


@pytest.mark.parametrize("policy", PADDING_POLICIES)
def test_epochs_differ_and_follow_from_the_seed(policy):
    first = rows_of(plan(padding=policy).epoch(0))
    assert first == rows_of(plan(padding=policy).epoch(0))
    assert first != rows_of(plan(padding=policy).epoch(1))
    assert first != rows_of(plan(padding=policy, seed=2).epoch(0))


@pytest.mark.parametrize("policy", PADDING_POLICIES)
@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_processes_share_out_the_batches_of_one(policy, world_size):
    """The smaller batch has 4 examples, so that of 8 processes 4 get none of them."""
    whole = plan(padding=policy).epoch(0)
    shares = [
        plan(padding=policy, batch_size=8 // world_size, rank=r, world_size=world_size).epoch(0)
        for r in range(world_size)
    ]
    for step, *parts in zip(whole, *shares, strict=True):
        own = [part[0].rows for part in parts if part[0].loss_weight > 0]
        assert sorted(step[0].rows) == sorted(np.concatenate(own))
        assert all(len(part[0].rows) for part in parts)
        for name in ("width", "examples", "tokens"):
            assert {getattr(part[0], name) for part in parts} == {getattr(step[0], name)}


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("world_size", [1, 3, 8])
def test_a_steps_loss_is_the_mean_of_its_examples(accumulation, world_size):
    losses = np.random.default_rng(1).normal(size=len(LENGTHS))
    ranks = [
        plan(gradient_accumulation_steps=accumulation, rank=rank, world_size=world_size).epoch(0)
        for rank in range(world_size)
    ]
    for step in zip(*ranks, strict=True):
        batches = [batch for share in step for batch in share]
        rows = np.concatenate([batch.rows for batch in batches if batch.loss_weight > 0])
        summed = sum(batch.loss_weight * losses[batch.rows].mean() for batch in batches)
        assert summed / world_size == pytest.approx(losses[rows].mean())
        assert len(rows) == sum(batch.examples for batch in step[0])
        assert LENGTHS[rows].sum() == sum(batch.tokens for batch in step[0])


@pytest.mark.parametrize("policy", PADDING_POLICIES)
def test_widths(policy):
    for (batch,) in plan(padding=policy).epoch(0):
        longest = LENGTHS[batch.rows].max()
        assert longest <= batch.width <= 64
        if policy == "max_length":
            assert batch.width == 64
        if policy == "longest":
            assert batch.width == longest
        if policy == "bucket":
            assert batch.width in BUCKET_WIDTHS


def test_bucket_pads_less_than_longest():
    def padded(policy):
        return sum(len(b.rows) * b.width for (b,) in plan(padding=policy).epoch(0))

    assert padded("bucket") < padded("longest") < padded("max_length")


@pytest.mark.parametrize("policy", PADDING_POLICIES)
def test_no_part_of_an_epoch_prefers_lengths_or_labels(policy):
    """Labels follow lengths here, so that a bias in one would be seen in both."""
    labels = np.quantile(LENGTHS, 0.7) < LENGTHS
    made, epochs = plan(padding=policy, num_train_epochs=400.0), 400
    seen = [[batch.rows for (batch,) in made.epoch(e)] for e in range(epochs)]
    for values in (LENGTHS, labels):
        batches = np.array([[values[rows].mean() for rows in epoch] for epoch in seen])
        for window in np.array_split(batches, 6, axis=1):
            error = window.mean(axis=1).std() / np.sqrt(epochs)
            assert abs(window.mean() - values.mean()) < 4 * error
        neighbours = np.corrcoef(batches[:, :-1].ravel(), batches[:, 1:].ravel())[0, 1]
        assert abs(neighbours) < 4 / np.sqrt(batches.size) + 1 / batches.shape[1]
    smaller = np.concatenate([rows for epoch in seen for rows in epoch if len(rows) < 8])
    counts = np.bincount(smaller, minlength=len(LENGTHS))
    expected = epochs * 4 / 500  # of every example, by chance
    assert counts.max() < expected + 6 * np.sqrt(expected)
    error = LENGTHS.std() / np.sqrt(epochs)  # that of a batch whose examples are all of one length
    assert abs(LENGTHS[smaller].mean() - LENGTHS.mean()) < 4 * error


@pytest.mark.parametrize("policy", PADDING_POLICIES)
def test_drop_last_leaves_out_any_example(policy):
    made, epochs = plan(padding=policy, drop_last=True, num_train_epochs=400.0), 400
    seen = np.concatenate([batch.rows for e in range(epochs) for (batch,) in made.epoch(e)])
    left_out = epochs - np.bincount(seen, minlength=len(LENGTHS))
    expected = epochs * 4 / 500
    assert left_out.sum() == epochs * 4
    assert np.abs(left_out).max() < expected + 6 * np.sqrt(expected)


def test_examples_of_a_bucket_meet_others_each_epoch():
    made = plan(num_train_epochs=20.0)
    longest = int(LENGTHS.argmax())
    partners = {
        tuple(sorted(batch.rows))
        for e in range(20)
        for (batch,) in made.epoch(e)
        if longest in batch.rows
    }
    assert len(partners) > 15


def test_the_last_accumulation_of_an_epoch_is_smaller_and_not_dropped():
    accumulating = plan(gradient_accumulation_steps=4)
    sizes = [len(step) for step in accumulating.epoch(0)]
    assert sizes == [4] * 15 + [3]  # 63 batches
    assert accumulating.steps_per_epoch == 16


@pytest.mark.parametrize(
    ("changes", "total"),
    [
        ({}, 126),
        ({"num_train_epochs": 0.5}, 32),
        ({"num_train_epochs": 1e-9}, 1),
        ({"max_steps": 70}, 70),
    ],
)
def test_the_number_of_steps(tokenizer, changes, total):
    made = plan(**changes)
    assert made.total_steps == total
    examples = make_examples(*[("film", None, 0)] * len(LENGTHS))
    features = build_features(examples, tokenizer, 64, False)
    changes = {"num_train_epochs": 2.0} | changes
    made = TrainingPlan(features.lengths, batch_size=8, seed=1, max_seq_length=64, **changes)
    assert len(list(training_steps(made, features, CPU))) == total


def test_a_resumed_run_sees_the_rest(sst2, tokenizer):
    features = load_features(TASKS["sst-2"], sst2 / "train.tsv", "train", tokenizer, 32)
    made = TrainingPlan(
        features.lengths, batch_size=8, seed=1, max_seq_length=32, num_train_epochs=3.0
    )

    def seen(done):
        return [
            [b["input_ids"].tolist() for b in step.batches]
            for step in training_steps(made, features, CPU, done)
        ]

    assert seen(11) == seen(0)[11:]


def test_a_checkpoint_of_another_plan_is_refused():
    with pytest.raises(ValueError, match="global batch was 8 there and is 16 now"):
        Settings(plan(batch_size=16).settings).check(plan().settings, done=1, rated=1)


def test_too_few_examples_for_one_batch():
    ((batch,),) = plan(batch_size=501, num_train_epochs=1.0).epoch(0)
    assert len(batch.rows) == batch.examples == 500
    with pytest.raises(ValueError, match="lower --batch_size or leave out --drop_last"):
        plan(batch_size=501, drop_last=True)


@pytest.mark.parametrize("policy", PADDING_POLICIES)
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("batch_size", [1, 7, 440, 1000])
def test_evaluation_has_every_example_once(policy, world_size, batch_size):
    batches = [
        batch
        for rank in range(world_size)
        for batch in plan_evaluation(LENGTHS, batch_size, 64, policy, rank, world_size)
    ]
    assert sorted(np.concatenate([b.rows for b in batches])) == list(range(len(LENGTHS)))
    assert all(LENGTHS[b.rows].max() <= b.width for b in batches)


@pytest.mark.parametrize("batch_size", [7, 440])
def test_an_evaluation_pads_little_whatever_the_batch_size(batch_size):
    batches = [LENGTHS[b.rows] for b in plan_evaluation(LENGTHS, batch_size, 64, "longest")]
    for lengths, following in zip(batches, [*batches[1:], None], strict=True):
        assert len(lengths) <= batch_size
        assert (lengths.max() - lengths).sum() <= MOST_PADDING
        if following is not None and len(lengths) < batch_size:
            assert (following.min() - lengths).sum() > MOST_PADDING  # no room for one more


def test_padded_tensors(tokenizer):
    examples = make_examples(("a film", "the sea", 1), ("a film by the sea", "film", 0))
    features = build_features(examples, tokenizer, 64, False)
    width = int(features.lengths.max())
    batch = BatchBuilder(features, CPU)(BatchPlan(np.array([1, 0]), width))
    for row, index in enumerate((1, 0)):
        start, end = features.offsets[index], features.offsets[index + 1]
        ids = features.input_ids[start:end].tolist()
        pad = width - len(ids)
        first = int(features.first_lengths[index])
        assert batch["input_ids"][row].tolist() == ids + [0] * pad
        assert batch["attention_mask"][row].tolist() == [True] * len(ids) + [False] * pad
        types = [0] * first + [1] * (len(ids) - first) + [0] * pad
        assert batch["token_type_ids"][row].tolist() == types
    assert batch["labels"].tolist() == [0, 1]


def test_a_set_too_large_for_the_device_is_gathered_on_the_host(tokenizer, monkeypatch):
    examples = make_examples(("a film", "the sea", 1), ("a film by the sea", "film", 0))
    features = build_features(examples, tokenizer, 64, False)
    plans = [BatchPlan(np.array([1, 0]), 20)]
    (whole,) = load_batches(features, plans, CPU)
    monkeypatch.setattr("processors.loading.DEVICE_BYTES", 0)
    (parts,) = load_batches(features, plans, CPU)
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_no_types_where_no_text_is_a_pair(tokenizer):
    features = build_features(make_examples(("a film", None, 1)), tokenizer, 64, False)
    batch = BatchBuilder(features, CPU)(BatchPlan(np.array([0]), 16))
    assert batch.keys() == {"input_ids", "attention_mask", "labels"}
    assert batch["input_ids"].dtype == torch.int32


def test_no_mask_where_nothing_is_padded(tokenizer):
    features = build_features(make_examples(("a film", None, 1)), tokenizer, 64, False)
    batch = BatchBuilder(features, CPU)(BatchPlan(np.array([0]), int(features.lengths[0])))
    assert "attention_mask" not in batch


def test_logits_do_not_depend_on_the_policy(sst2, tokenizer, pretrained):
    features = load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 32)
    torch.manual_seed(0)
    model = load_model(pretrained, AlbertConfig.from_file(pretrained)).eval()
    logits = {}
    for policy in PADDING_POLICIES:
        logits[policy] = torch.zeros(len(features), 2)
        plans = plan_evaluation(features.lengths, 7, 32, policy)
        for batch, inputs in zip(plans, load_batches(features, plans, CPU), strict=True):
            inputs.pop("labels")
            logits[policy][batch.rows] = model(**inputs).logits.detach()
    torch.testing.assert_close(logits["bucket"], logits["max_length"], atol=1e-6, rtol=0)
    torch.testing.assert_close(logits["longest"], logits["max_length"], atol=1e-6, rtol=0)


def test_batches_of_other_processes_keep_no_files_open(sst2, tokenizer):
    features = load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 32)
    plans = plan_evaluation(features.lengths, 2, 32)
    before = open_files()
    batches = list(load_batches(features, plans, CPU, 1))
    assert len(batches) == 15
    # A queue's thread closes its end of the pipe when it gets to it.
    wait_until(lambda: open_files() <= before, seconds=30)
    assert open_files() <= before


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_too_few_files_for_other_processes_are_said(sst2, tokenizer):
    features = load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 32)
    plans = plan_evaluation(features.lengths, 20, 32)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as lowest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno() + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files") as found:
            list(load_batches(features, plans, CPU, 10))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert error_line(found.value).endswith("raise the limit (ulimit -n 4096)")


def test_batches_draw_no_random_numbers(sst2, tokenizer):
    features = load_features(TASKS["sst-2"], sst2 / "dev.tsv", "dev", tokenizer, 32)
    plans = plan_evaluation(features.lengths, 20, 32)
    for workers in (0, 1):
        torch.manual_seed(0)
        before = torch.get_rng_state()
        assert len(list(load_batches(features, plans, CPU, workers))) == len(plans)
        assert torch.equal(torch.get_rng_state(), before)
