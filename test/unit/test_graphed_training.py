"""Steps that are recorded once and run again do what the steps of the host's loop do, to the bit."""

import copy
import itertools
import json
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
import torch
from forks import run_together
from graphed import FAULTS, O2, OVERFLOWS, PRECISIONS, STEPS, Training, assert_same, rates_of
from helpers import write_sst2
from tape import LACK, Crowded, Tape

from processors.batching import TrainingPlan
from processors.loading import BatchBuilder, common_batches, load_steps
from tools.bench.host_reads import HostReads
from tools.cli.errors import UsageError
from tools.machine.device import Device
from tools.machine.step_graphs import InputBuffers, StepGraphs
from tools.precision import choice
from tools.run import training
from tools.run.graphed_training import GraphedTrainingState
from tools.run.training_state import TrainingState

pytestmark = pytest.mark.newer_torch("has no graphs that these are")


@pytest.mark.parametrize(("task", "accumulation"), [("sst-2", 3), ("sts-b", 1)])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_graphs_take_the_steps_of_the_loop(tokenizer, precision, task, accumulation):
    arguments = {"task": task, "accumulation": accumulation, **PRECISIONS[precision]}
    overflows = OVERFLOWS if precision.startswith("O") else ()
    plain = Training(tokenizer, "off", **arguments).go_on(overflows=overflows)
    graphed = Training(tokenizer, "auto", **arguments).go_on(overflows=overflows)
    assert graphed.state.graphs.count > 1
    assert len(graphed.state._gradients) == 1  # So that processes average them all at once.
    assert_same(graphed, plain)
    skipped = graphed.state.precision.skipped_steps
    assert skipped == plain.state.precision.skipped_steps
    assert skipped >= len(overflows)
    assert graphed.state.precision.loss_scale() == plain.state.precision.loss_scale()


@pytest.mark.parametrize("precision", ["fp32", "O2"])
def test_adamw_takes_the_steps_of_the_fused_one(tokenizer, precision, monkeypatch):
    """It is another of torch's than without graphs, and reads its rate in fp32: equal to rounding."""
    arguments = {"optimizer": "adamw", **PRECISIONS[precision]}
    overflows = OVERFLOWS if precision == "O2" else ()
    graphed = Training(tokenizer, "auto", **arguments).go_on(overflows=overflows)
    fused = partial(training.build_optimizer, capturable=True)
    monkeypatch.setattr(training, "build_optimizer", lambda *a, capturable, block: fused(*a))
    plain = Training(tokenizer, "off", **arguments).go_on(overflows=overflows)
    tolerance = {"atol": 1e-6 if precision == "fp32" else 5e-4, "rtol": 0, "equal_nan": True}
    torch.testing.assert_close(graphed.losses, plain.losses, **tolerance)
    torch.testing.assert_close(graphed.weights, plain.weights, **tolerance)
    assert graphed.state.precision.skipped_steps == plain.state.precision.skipped_steps


@pytest.mark.parametrize("precision", ["bf16", "O2"])
def test_a_warm_up_changes_nothing(tokenizer, precision):
    arguments = {"padding": "max_length", **PRECISIONS[precision]}
    plain = Training(tokenizer, "auto", **arguments).go_on()
    warm = Training(tokenizer, "auto", **arguments)
    warm.state.warm_up(common_batches(warm.plan, warm.features, warm.device))
    assert warm.state.graphs.count
    assert_same(warm.go_on(), plain)


@pytest.mark.parametrize("optimizer", ["lamb", "adamw"])
@pytest.mark.parametrize("precision", ["fp32", "O2"])
@pytest.mark.parametrize("order", [("auto", "auto"), ("auto", "off"), ("off", "auto")])
def test_a_run_goes_on_from_either_kind(tokenizer, order, precision, optimizer):
    arguments = {"optimizer": optimizer, **PRECISIONS[precision]}
    overflows = OVERFLOWS[:1] if precision == "O2" else ()
    straight = Training(tokenizer, order[0], **arguments).go_on(overflows=overflows)
    before, after = (Training(tokenizer, kind, **arguments) for kind in order)
    before.go_on(until=6, overflows=overflows)
    after.state.load_state_dict(
        copy.deepcopy(before.state.state_dict()) | {"settings": settings(after)}
    )
    own = after.state.fp32_model() if precision == "fp32" else None
    if own is not None:
        own.load_state_dict(before.state.fp32_model().state_dict())
    else:
        give_masters(before, after)
    after.go_on()
    tolerance = 0 if optimizer == "lamb" else 1e-5
    torch.testing.assert_close(after.losses, straight.losses[6:], atol=tolerance, rtol=0)
    torch.testing.assert_close(after.weights, straight.weights, atol=tolerance, rtol=0)
    assert rates_of(after) == pytest.approx(rates_of(straight)[6:], rel=1e-6)


def settings(run):
    return run.state.state_dict()["settings"]


@torch.no_grad()
def give_masters(before, after):
    """Do what loading a checkpoint's model before the precision is made does for the master copies."""
    for name, master in after.state.precision._masters.items():
        master.copy_(before.state.precision._masters[name])
    torch._foreach_copy_(
        after.state.precision._halves, list(after.state.precision._masters.values())
    )


def test_too_many_skipped_steps_in_a_row_are_found_later(tokenizer):
    run = Training(tokenizer, "auto", **O2)
    precision = run.state.precision
    for _ in range(6):
        run.state.global_step = 0
        run.go_on(overflows=range(STEPS + 1))
    assert precision.skipped_steps == 54
    run.state.global_step = 0
    run.go_on(until=1)  # A good one after them does not hide them.
    with pytest.raises(ValueError, match="50 steps in a row overflowed in fp16"):
        precision.check_skips()


def test_nothing_is_read_from_the_device(tokenizer):
    """The tape refuses it while it records; these are the steps around the graphs."""
    run = Training(tokenizer, "auto", **O2).go_on(until=4)
    plans = run.plan.epoch(0)[4:8]
    steps = list(load_steps(plans, run.features, run.device, 4))
    with HostReads(run.device) as reads:
        for step in steps:
            run.state.forward_backward(step)
            run.state.update()
    assert reads.count == 0


def test_a_number_of_the_host_stays_what_it_was():
    """The tape is as blind as a graph to what the host computes anew; so these tests see it."""
    graphs = StepGraphs(Tape(), pytest.fail)
    numbers, seen = iter(range(9)), torch.zeros(())
    for _ in range(4):
        graphs.run("piece", lambda: seen.fill_(next(numbers)))
    assert seen == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(tokenizer, fault, monkeypatch):
    own = O2 | {"padding": "max_length"}
    plain = Training(tokenizer, "off", **own).go_on(overflows=OVERFLOWS)
    graphed = Training(tokenizer, "auto", **own)
    FAULTS[fault](graphed, monkeypatch)
    graphed.go_on(overflows=OVERFLOWS)
    with pytest.raises(AssertionError):
        assert_same(graphed, plain)


def test_batches_of_a_shape_share_their_buffers():
    inputs = InputBuffers()
    first = {"input_ids": torch.ones(2, 3, dtype=torch.int32), "labels": torch.tensor([0, 1])}
    shape, buffers = inputs.fill(first)
    again, same = inputs.fill({name: tensor + 1 for name, tensor in first.items()})
    assert again == shape
    assert same is buffers
    assert buffers["labels"].tolist() == [1, 2]
    assert first["labels"].tolist() == [0, 1]
    masked = first | {"attention_mask": torch.ones(2, 3, dtype=torch.bool)}
    assert inputs.fill(masked)[0] != shape


@pytest.mark.parametrize(("epochs", "least"), [(1, 2), (2, 1)])
def test_common_batches_are_one_of_each_shape_that_comes_again(tokenizer, epochs, least):
    """The largest comes first."""
    run = Training(tokenizer, "off")
    plan = TrainingPlan(
        run.features.lengths, batch_size=8, num_train_epochs=epochs, seed=3, max_seq_length=64
    )
    shape = BatchBuilder(run.features, run.device).shape
    counts = Counter(shape(batch) for (batch,) in plan.epoch(0))
    assert {1, 2} <= set(counts.values())
    wanted = [rows * width for (rows, width, _), n in counts.items() if n >= least]
    batches = common_batches(plan, run.features, run.device)
    sizes = [(batch["input_ids"].numel(), comes_again) for batch, comes_again in batches]
    assert [size for size, comes_again in sizes if comes_again] == sorted(wanted, reverse=True)
    assert sizes[0][0] == max(rows * width for rows, width, _ in counts)
    assert all(comes_again for _, comes_again in sizes[1:])
    assert not list(common_batches(plan, run.features, run.device, plan.total_steps))


def test_common_batches_are_of_what_is_left_to_train(tokenizer):
    run = Training(tokenizer, "off", padding="max_length")
    ((_, comes_again),) = common_batches(run.plan, run.features, run.device, STEPS - 1)
    assert not comes_again


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"optimizer": "nadam"}, "--optimizer nadam decides on the host"),
        ({"gradient_checkpointing": True}, "--gradient_checkpointing reads"),
        ({**O2, "fp16_opt_level": "O3"}, "--fp16_opt_level O3 is not"),
    ],
)
def test_what_has_no_graphs_says_so(tokenizer, caplog, flags, reason):
    with pytest.raises(UsageError, match=f"--cuda_graphs on: {reason}"):
        Training(tokenizer, "on", **flags)
    caplog.set_level("INFO")
    assert not hasattr(Training(tokenizer, "auto", **flags).state, "graphs")
    assert f"--cuda_graphs auto: none, for {reason}" in caplog.text


@pytest.mark.parametrize("place", ["warm-up", "a step", "the first run of a shape"])
def test_without_memory_for_graphs_the_training_goes_on_as_it_is(
    tokenizer, place, monkeypatch, caplog
):
    caplog.set_level("INFO")
    own = {"padding": "max_length", **O2}
    plain = Training(tokenizer, "off", **own).go_on(overflows=OVERFLOWS)
    failing = {"warm-up": 0, "a step": 1}.get(place)
    run = Training(tokenizer, "auto", device=Crowded("cpu", fails_at=failing), **own)
    state = run.state
    if place == "the first run of a shape":
        accumulate, numbers = state._accumulate, itertools.count()

        def fail_once(batch):
            if next(numbers) == 2:
                raise torch.OutOfMemoryError(LACK)
            accumulate(batch)

        monkeypatch.setattr(state, "_accumulate", fail_once)
    recorded = []
    give_up = state.graphs.give_up
    monkeypatch.setattr(
        state.graphs, "give_up", lambda error: recorded.append(state.graphs.count) or give_up(error)
    )
    if place != "a step":
        first, _ = next(iter(common_batches(run.plan, run.features, run.device)))
        smaller = {name: tensor[:4] for name, tensor in first.items()}
        state.warm_up([(first, True), (smaller, True)])
    run.go_on(overflows=OVERFLOWS)
    assert recorded == [0 if place == "warm-up" else 1]
    assert state.graphs.count == 0
    words = "--cuda_graphs auto: none from here on, for the device's memory does not hold them: CUDA out"
    assert caplog.text.count(words) == 1
    assert_same(run, plain)


@pytest.mark.parametrize("precision", ["fp32", "O1", "O2"])
def test_an_update_whose_recording_fails_midway_begins_anew(tokenizer, precision):
    """A loss scale of 1, since unlike a graph the tape does what it records, unscaling included."""
    own = PRECISIONS[precision] | {"padding": "max_length"}
    own |= {} if precision == "fp32" else {"loss_scale": 1.0}
    plain = Training(tokenizer, "off", **own).go_on()
    crowded = Crowded("cpu", fails_at=1, operation="aten::_foreach_norm")
    run = Training(tokenizer, "auto", device=crowded, **own).go_on()
    assert run.state.graphs.count == 0
    assert_same(run, plain)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_step_that_finds_no_memory_beside_the_graphs_is_taken_again_without(
    tokenizer, accumulation, monkeypatch, caplog
):
    caplog.set_level("INFO")
    own = {"accumulation": accumulation, **O2}
    plain = Training(tokenizer, "off", **own).go_on()
    run = Training(tokenizer, "auto", **own)
    state = run.state
    accumulate, failed = state._accumulate, []

    def fail_beside_graphs(batch):
        accumulate(batch)
        if state.graphs.count > 1 and not failed:
            failed.append(state.global_step)
            raise torch.OutOfMemoryError(LACK)

    monkeypatch.setattr(state, "_accumulate", fail_beside_graphs)
    run.go_on()
    assert failed
    assert "--cuda_graphs auto: none from here on" in caplog.text
    assert_same(run, plain)


def test_graphs_that_are_insisted_on_end_the_run_where_memory_lacks(tokenizer):
    run = Training(tokenizer, "on", device=Crowded("cpu"), padding="max_length")
    words = r"--cuda_graphs on: .* \(CUDA out of memory.*\): --cuda_graphs auto goes on without"
    with pytest.raises(ValueError, match=words):
        run.state.warm_up(common_batches(run.plan, run.features, run.device))


def test_an_apex_that_does_not_load_is_warned_of_once(tokenizer, monkeypatch, caplog):
    def broken():
        raise ImportError("undefined symbol")

    monkeypatch.setattr(choice, "find_amp", broken)
    state = Training(tokenizer, "auto", fp16=True, fused_kernels="auto").state
    assert "O1, torch's own" in state.precision.description
    assert caplog.text.count("apex is installed, but does not load") == 1


@pytest.mark.parametrize(
    "precision",
    [
        (),
        pytest.param(("--bf16", "--fp16_opt_level=O2"), marks=pytest.mark.long),
        ("--fp16", "--fp16_opt_level=O2", "--amp_backend=native"),
    ],
)
def test_two_processes_with_graphs_learn_what_two_without_do(
    pretrained, tmp_path, monkeypatch, precision
):
    """In fp16 a step overflows in one of them alone, and both leave it out."""
    monkeypatch.chdir(tmp_path)
    data = write_sst2(tmp_path / "SST-2", train=45, dev=8)
    words = ["--do_train", "--device=cpu", "--data_dir", data, "--max_seq_length=32", "--batch_size=4",
             "--num_train_epochs=2", "--learning_rate=1e-3", "--gradient_accumulation_steps=2",
             "--model_name_or_path", pretrained, "--save_steps=0", *precision]  # fmt: skip

    def tape(rank):
        Device.why_no_graphs = lambda device: None
        Device.graph_recorder = lambda device: Tape()
        Device.has_cuda = Device.has_fp16 = True
        for kind in (TrainingState, GraphedTrainingState):
            kind.forward_backward = overflowing(kind.forward_backward, rank)

    def overflowing(forward_backward, rank):
        def overflow(state, step):
            if "--fp16" in precision and rank == 1 and step.global_step == 3:
                step = replace(step, loss_weights=[1e30] * len(step.loss_weights))
            return forward_backward(state, step)

        return overflow

    plain = [*words, "--output_dir=plain"]
    graphed = [*words, "--cuda_graphs=on", "--output_dir=graphed"]
    ends = run_together([plain, plain], tmp_path, tape)
    assert [end[0] for end in ends] == [0, 0], ends
    assert "--cuda_graphs auto: none, for several processes run together" in ends[0][1]
    ends = run_together([graphed, graphed], tmp_path, tape)
    assert [end[0] for end in ends] == [0, 0], ends
    assert "CUDA graphs: " in ends[0][1]
    if "--fp16" in precision:
        lines = (tmp_path / "graphed" / "metrics.jsonl").read_text().splitlines()
        scales = [record for record in map(json.loads, lines) if record["event"] == "scale"]
        assert scales[-1]["skipped_steps"] == 1
    weights = [
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "graphed")
    ]
    assert weights[0] == weights[1]
