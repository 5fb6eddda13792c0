"""Models that are scored by graphs have the outputs of the plain loop, to the bit, whatever happens."""

import numpy as np
import pytest
import torch
from helpers import records
from scored import FAULTS, Scored
from tape import LACK, Crowded

from model.modeling_albert import AlbertTransformer
from tools.machine.device import Device
from tools.run.inference import COMMON, Inference, prepare_to_score

pytestmark = pytest.mark.newer_torch("has no graphs that these are")


@pytest.mark.parametrize(("precision", "task"), [("fp32", "sts-b"), ("bf16", "sst-2")])
def test_graphs_have_the_outputs_of_the_loop_while_the_model_is_trained(tokenizer, precision, task):
    scored = Scored(tokenizer, precision, task)
    counts = scored.counts()
    common = sum(count >= COMMON for count in counts)
    assert 0 < common < len(counts), counts
    outputs, recorded = [], []
    for step in range(4):
        scored.training.go_on(until=step)
        outputs.append(scored.logits(scored.inference))
        recorded.append(scored.graphs.count)
        assert np.array_equal(outputs[-1], scored.logits())
        assert scored.model.training
    # What comes once a set pays from the second time on that the set comes.
    assert recorded == [common, *[len(counts)] * 3]
    assert not np.array_equal(*outputs[1:3])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(tokenizer, fault, monkeypatch):
    scored = Scored(tokenizer, "bf16")
    FAULTS[fault](scored, monkeypatch)
    same = []
    for step in range(3):
        scored.training.go_on(until=step)
        same.append(scored.is_the_same())
    assert not all(same)


def test_graphs_are_of_one_model_and_of_weights_where_they_lie(tokenizer):
    scored, other = Scored(tokenizer), Scored(tokenizer)
    assert scored.is_the_same()
    first = scored.graphs
    assert first.count
    with torch.no_grad():
        moved = scored.model.classifier.weight
        moved.data = moved + 1
    assert scored.is_the_same()
    assert scored.graphs is not first
    other.inference = scored.inference
    own = other.inference.of(scored.model)
    assert other.is_the_same()
    assert other.inference.of(scored.model) is not own


@pytest.mark.parametrize("place", ["a recording", "a first run"])
def test_without_memory_for_graphs_it_goes_on_as_it_is(tokenizer, place, monkeypatch, caplog):
    caplog.set_level("INFO")
    fails_at = 1 if place == "a recording" else None
    scored = Scored(tokenizer, device=Crowded("cpu", fails_at=fails_at))
    forward, graphs = scored.inference.of(scored.model), scored.graphs
    run, recorded = forward._run, []

    def fail_once(*arguments):
        if graphs.count and not recorded:
            recorded.append(graphs.count)
            raise torch.OutOfMemoryError(LACK)
        run(*arguments)

    if place == "a first run":
        monkeypatch.setattr(forward, "_run", fail_once)
    for _ in range(3):
        assert scored.is_the_same()
    assert recorded == ([1] if place == "a first run" else [])
    assert graphs.count == 0
    words = (
        "--cuda_graphs auto: none to score with from here on, for the device's memory does not hold"
    )
    assert caplog.text.count(words) == 1
    assert not hasattr(scored.inference.of(scored.model), "graphs")


def test_a_run_scores_and_predicts_by_graphs(program, sst2, tmp_path, on_tape, capsys):
    """One that trains, with an evaluation after every other step, and one that does not."""
    own = ("--data_dir", sst2, "--eval_batch_size=2", "--do_eval", "--do_predict")
    train = ("--do_train", "--max_steps=6", "--eval_steps=2", "--learning_rate=1e-2")
    found = {}
    for folder, flags in {"plain": ("--cuda_graphs=off",), "graphed": ()}.items():
        names = (*own, *flags, "--output_dir", folder)
        assert program(*names, *train, "--save_steps=0") == 0
        before = len(on_tape)
        assert program(*names) == 0
        assert (len(on_tape) > before) == (not flags)
        rows = (tmp_path / folder / "predictions" / "SST-2.jsonl").read_text()
        evaluated = [
            {name: row[name] for name in row if name != "time"}
            for row in records(tmp_path / folder, "eval")
        ]
        assert (
            len(evaluated) == 5
        )  # After steps 2, 4 and 6, of the best model, and without a training.
        found[folder] = [rows, evaluated]
        assert ("CUDA graphs to score with: " in capsys.readouterr().out) == (not flags)
    assert found["graphed"] == found["plain"]


def test_the_command_that_predicts_has_graphs_too(ask, small_model, tmp_path, on_tape):
    model = small_model(False)
    (tmp_path / "texts").write_text("one two three\n" * 12)
    status, found, errors = ask(model, "--file=texts", "--batch_size=2")
    assert (status, len(on_tape)) == (0, 1), errors
    assert len(found) == 12
    assert found[0] | {"id": 12} == found[-1]


@pytest.mark.parametrize(
    ("wanted", "alone", "graphed"),
    [("auto", True, True), ("auto", False, False), ("on", False, True)],
)
def test_processes_that_score_together_have_graphs_where_they_are_asked_for(
    tokenizer, wanted, alone, graphed
):
    scored = Scored(tokenizer)
    inference = Inference(scored.device)
    prepare_to_score(
        scored.model, scored.device, torch.float32, inference, wanted, "off", alone=alone
    )
    assert inference.has_graphs == graphed


def test_without_a_gpu_nothing_is_said_of_graphs_unless_they_are_asked_for(
    program, refused, sst2, capsys
):
    own = ("--data_dir", sst2, "--do_eval")
    for train in (("--do_train", "--max_steps=1", "--save_steps=0"), ()):
        assert program(*own, *train) == 0
        log = capsys.readouterr().out
        assert "cuda_graphs" not in log
        assert "fused_kernels" not in log
    for flag in ("cuda_graphs", "fused_kernels"):
        assert f"--{flag} on: " in refused(*own, f"--{flag}=on", status=2)


def test_the_model_that_is_scored_at_the_end_has_the_layers_of_its_training(
    program, sst2, monkeypatch
):
    seen = []
    monkeypatch.setattr(Device, "why_no_fused_kernels", lambda *args: None)
    monkeypatch.setattr(
        AlbertTransformer, "_can_fuse", lambda model, _: seen.append(model) or False
    )
    own = ("--data_dir", sst2, "--do_eval", "--eval_all_checkpoints", "--fused_kernels=on")
    assert program(*own, "--do_train", "--max_steps=2", "--save_steps=1") == 0
    assert len({id(model) for model in seen}) == 4  # in training, of two checkpoints, at the end
    seen.clear()
    assert program(*own[:-2], own[-1]) == 0
    assert len({id(model) for model in seen}) == 1
