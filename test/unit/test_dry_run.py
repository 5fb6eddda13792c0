"""--dry_run checks what a run checks, measures some steps, and leaves everything as it was."""

import re
import time

import pytest
import torch

from processors.batching import TrainingPlan
from tools.machine.device import Device
from tools.run import dry_run
from tools.run.flags import parse_flags
from tools.run.graphed_training import GraphedTrainingState
from tools.run.inference import GraphedForward
from tools.run.previous import LOCK, hold
from tools.run.training_state import TrainingState

ALL = ("--do_train", "--do_eval", "--do_predict", "--dry_run", "--output_dir=out")


def everything_in(folder):
    found = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    return {**found, folder: folder.stat().st_mtime_ns}


def test_a_run_is_measured_and_nothing_is_written(program, sst2, tmp_path, capsys):
    before = everything_in(tmp_path)
    assert program("--data_dir", sst2, *ALL, "--num_train_epochs=2", "--batch_size=10") == 0
    assert everything_in(tmp_path) == before
    said = capsys.readouterr().out
    assert "Dry run: nothing is written to out" in said
    assert "train: 160 examples, 10 of a step; 16 steps of an epoch, 32 in all (2 epochs)" in said
    assert re.search(r"training: [\d.]+ s; a step takes [\d.e-]+ s on average, [\d.]+ samp", said)
    assert re.search(r"dev: 30 examples in [\d.e-]+ s, 2 times\n", said)
    assert re.search(r"test: 10 examples in [\d.e-]+ s\n", said)
    assert re.search(r"in all: [\d.]+ s; checkpoints", said)
    assert re.search(r"memory: 0\.\d\d GiB at most in a process", said)
    # What is looked for in logs of runs is in none of a dry one's.
    assert not [word for word in (" FPS", "acc = ", "loss:") if word in said]


def test_steps_are_measured_as_graphs_where_they_will_be_graphs(
    program, sst2, on_tape, monkeypatch
):
    """So are the batches that are scored; without a graph a shape runs once, and once to be recorded."""
    runs = []
    for kind, name in ((GraphedTrainingState, "_accumulate"), (GraphedForward, "_run")):
        monkeypatch.setattr(kind, name, _counted(getattr(kind, name), runs))
    flags = ("--do_train", "--do_eval", "--dry_run", "--output_dir=out", "--padding=max_length")
    assert program("--data_dir", sst2, *flags, "--batch_size=10", "--eval_batch_size=5") == 0
    assert len(on_tape) == 3  # One is the update's.
    assert len(runs) == 4


def test_what_is_scored_is_the_network_that_a_run_scores(program, sst2, monkeypatch):
    """Of a training in half precision that is its copy in fp32."""
    dtypes, score = set(), dry_run.batch_logits

    def scored(forward, *arguments):
        dtypes.update(parameter.dtype for parameter in forward.model.parameters())
        return score(forward, *arguments)

    monkeypatch.setattr(dry_run, "batch_logits", scored)
    flags = ("--data_dir", sst2, "--do_train", "--do_eval", "--dry_run", "--output_dir=out")
    assert program(*flags, "--max_steps=2", "--bf16", "--fp16_opt_level=O2") == 0
    assert dtypes == {torch.float32}


def _counted(function, calls):
    return lambda *args: calls.append(1) or function(*args)


def test_what_is_there_stays_as_it_is(program, refused, sst2, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "checkpoint-5").mkdir(parents=True)
    for name in ("metrics.jsonl", "run.json", "model.safetensors", ".writing-1-x"):
        (out / name).write_text("half")
    before = everything_in(tmp_path)
    flags = ("--data_dir", sst2, *ALL)
    assert "out holds an earlier run: --overwrite_output_dir" in refused(*flags, status=2)
    assert program(*flags, "--overwrite_output_dir", "--max_steps=3") == 0
    several = (*flags[:-1], "--output_dir=several", "--max_steps=3", "--seeds=3")
    assert program(*several) == 0
    assert "in all with 3 seeds: " in capsys.readouterr().out
    assert everything_in(tmp_path) == before


def test_a_folder_that_could_not_be_written_to_is_refused(refused, sst2, tmp_path):
    flags = ("--data_dir", sst2, *ALL[:-1], "--output_dir")
    (tmp_path / "file").touch()
    assert "file is no folder: name another" in refused(*flags, "file/out", status=2)
    (tmp_path / "held").mkdir()
    with hold(tmp_path / "held"):
        assert "another run trains into held" in refused(*flags, "held", status=2)
    assert not dry_run_holds(tmp_path / "held")
    (tmp_path / "kind" / "metrics.jsonl").mkdir(parents=True)
    assert "metrics.jsonl is a folder, and a run needs a file" in refused(*flags, "kind", status=2)


def dry_run_holds(folder):
    with hold(folder) as lock:
        assert (folder / LOCK).exists()
        return lock is None


@pytest.mark.parametrize(
    ("name", "raised", "said"),
    [
        ("forward_backward", RuntimeError("CUDA out of memory. Tried"),
         "does not fit into the memory: a smaller --batch_size"),
        ("update", ZeroDivisionError("other"), "ZeroDivisionError: other"),
    ],
)  # fmt: skip
def test_what_fails_in_a_step_is_said(refused, sst2, monkeypatch, name, raised, said):
    def fail(*_):
        raise raised

    monkeypatch.setattr(TrainingState, name, fail)
    assert said in refused("--data_dir", sst2, *ALL, status=1)


def test_the_time_of_all_is_that_of_a_fair_part(monkeypatch):
    """Where each piece takes as long as it is large, and a little more."""
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    sizes = [(i * 37) % 100 + 1 for i in range(400)]

    def work(index):
        clock[0] += 0.001 * (sizes[index] + 10)

    measured = dry_run._measure(Device("cpu"), sizes, work, sizes.index(max(sizes)))
    whole = 0.001 * sum(size + 10 for size in sizes)
    assert measured.seconds_in_all == pytest.approx(whole, rel=0.02)
    assert measured.size < sum(sizes) / 20


@pytest.mark.parametrize(
    ("words", "done", "times"), [("", 0, 3), ("--eval_steps=7", 0, 5), ("--eval_steps=7", 15, 3)]
)
def test_evaluations_are_counted(words, done, times):
    """Of 30 steps, of which ten are an epoch."""
    flags = parse_flags(["--do_train", "--do_eval", *words.split()])
    lengths = [5] * 40
    plan = TrainingPlan(lengths, batch_size=4, num_train_epochs=3, seed=0, max_seq_length=8)
    assert dry_run._evaluations(flags, plan, done) == times


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.1234, "0.123 s"), (80, "80 s"), (600, "10 min"), (7260, "2 h 1 min")]
)
def test_times_are_readable(seconds, shown):
    assert dry_run._shown(seconds) == shown
