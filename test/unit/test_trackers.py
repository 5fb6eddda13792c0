"""--report_to: what trackers get, and that none of them holds a run up or ends it."""

import importlib.util
import json
import logging
import signal
import sys
import time

import pytest
from helpers import records

from callback.history import History
from callback.trackers import child, reporter
from callback.trackers.base import Point, Tracker, without_secrets
from callback.trackers.points import Points
from callback.trackers.reporter import Reporter
from tools.run import trackers
from tools.run.flags import parse_flags
from tools.run.output_dir import open_training_record

STEP = {"event": "step", "time": 5.0, "step": 3, "loss": 0.5, "grad_norm": None, "epoch": 0.25}
FLAGS = {"batch_size": 8, "fp16": False, "labels": ["a", "b"], "resume": None}

# They stand for the packages of their names. This one writes down what is done with it.
WANDB = """
import json, os, sys
print("wandb writes where log lines go")
assert not sys.stdin.read()  # It would ask for a key.
def note(**what):
    with open(os.environ["NOTES"], "a") as file:
        file.write(json.dumps(what) + chr(10))
class Settings:
    def __init__(self, **settings): pass
class Run:
    def __init__(self, id): self.id, self.url, self.config = id, "https://there/" + id, self
    def update(self, flags, **how): note(flags=flags)
    def define_metric(self, *names, **how): pass
    def log(self, values): note(values=values)
    def finish(self, exit_code): note(exit_code=exit_code)
def init(project, name, dir, id, resume, settings):
    note(project=project, id=id, resume=resume)
    return Run(id or "new")
"""
HANGS = "import time\ntime.sleep(600)\n"
BREAKS = "raise RuntimeError('no licence\\nfor this')\n"


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Install packages of these names and texts, for this test."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def install(**texts):
        for name, text in texts.items():
            (folder / f"{name}.py").write_text(text)

    return install


@pytest.fixture
def reporters():
    """Make reporters to one tracker, and see that no process of theirs is left."""
    made = []

    def make(tracker, folder):
        made.append(Reporter(tracker, "a run", folder, lambda: FLAGS))
        return made[-1]

    yield make
    for one in made:
        assert one._process.returncode is not None


def test_records_become_points_of_curves():
    points = Points({})
    found = [
        (point.step, point.values)
        for record in (
            STEP,
            {"event": "scale", "step": 3, "scale": 8.0},
            {"event": "epoch", "step": 3, "epoch": 1, "fps": 9.5},
            {
                "event": "eval",
                "step": 3,
                "examples": 4,
                "acc": 0.5,
                "intervals": {"acc": [0.4, 0.6]},
            },
            {**STEP, "step": 6, "loss": 0.25},
            {"event": "training", "seconds": 2.5},
            {"event": "eval", "model": "checkpoint-3", "step": 3, "acc": 0.5, "precision": "fp32"},
            {"event": "eval", "model": "model", "acc": 0.75, "intervals": {"acc": [0.7, 0.8]}},
            {"event": "test", "file": "SST-2", "acc": 1.0},
        )
        for point in points.of(record)
    ]
    assert found == [
        (3, {"train/loss": 0.5, "train/epoch": 0.25}),
        (3, {"train/scale": 8.0}),
        (3, {"epoch/fps": 9.5}),
        (3, {"eval/acc": 0.5}),
        (6, {"train/loss": 0.25, "train/epoch": 0.25}),
        (6, {"training/seconds": 2.5}),
        (3, {"checkpoints/acc": 0.5}),
        (6, {"final/acc": 0.75, "final/acc_low": 0.7, "final/acc_high": 0.8}),
        (6, {"eval/acc": 0.75}),
        (6, {"test/SST-2/acc": 1.0}),
    ]
    again = [point for record in (STEP, {**STEP, "step": 7}) for point in points.of(record)]
    assert [point.step for point in again] == [7]  # As --resume takes some steps a second time.


def test_a_tracker_is_gone_on_with_where_it_was(tmp_path):
    runs = []

    class Kept(Tracker):
        place = "there"

        def __init__(self, run):
            self.id = run.id or "the first"
            runs.append((run.id, run.settings, points := []))
            self.points = points

        def write(self, points):
            self.points += points

        def close(self, status):
            self.points.append(status)

    order = {"tracker": "kept", "name": "a run", "folder": str(tmp_path), "flags": FLAGS}
    second = {**STEP, "step": 4}
    said = []
    for batches in (
        [[order, {"record": STEP}]],  # A kill ends it.
        [[order], [{"record": STEP}], [{"record": second}, {"end": "finished"}]],
    ):
        child.serve(iter(batches), lambda name: Kept, lambda **message: said.append(message))
    values = {"train/loss": 0.5, "train/epoch": 0.25}
    settings = {"batch_size": 8, "fp16": False, "labels": "a,b"}
    assert runs == [
        (None, settings, [Point(3, 5.0, values), "killed"]),
        ("the first", settings, [Point(4, 5.0, values), "finished"]),
    ]
    assert said == [
        {"place": "there"},
        {"done": "killed"},
        {"place": "there"},
        {"done": "finished"},
    ]


def test_a_run_reports_and_neither_a_hanging_nor_a_broken_tracker_ends_it(
    program, sst2, packages, tmp_path, monkeypatch, capsys
):
    packages(wandb=WANDB, trackio=HANGS, mlflow=BREAKS)
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setattr(trackers, "_END_SECONDS", 6.0)
    out = tmp_path / "out"
    flags = ["--output_dir", out, "--do_eval", "--batch_size=16"]
    began = time.monotonic()
    status = program(*flags, "--do_train", "--max_steps=2", "--report_to=wandb,trackio,mlflow")
    assert (status, time.monotonic() - began < 30) == (0, True)
    notes = [json.loads(line) for line in (tmp_path / "notes").read_text().splitlines()]
    start, given, *values, end = notes
    assert start == {"project": "mine", "id": None, "resume": None}
    assert given["flags"]["batch_size"] == 16
    assert given["flags"]["report_to"] == ["wandb", "trackio", "mlflow"]
    logged = {name: value for note in values for name, value in note["values"].items()}
    (final,) = records(out, "eval")
    assert logged["final/acc"] == logged["eval/acc"] == final["acc"]
    losses = [note["values"] for note in values if "train/loss" in note["values"]]
    steps = records(out, "step")
    assert [(loss["train/loss"], loss["train/global_step"]) for loss in losses] == [
        (step["loss"], step["step"]) for step in steps
    ]
    assert end == {"exit_code": 0}
    output = capsys.readouterr().out
    assert "wandb: https://there/new\n" in output
    assert "wandb writes" not in output  # What a package prints is no line of the run's log.
    assert (out / "trackers" / "wandb.log").read_text() == "wandb writes where log lines go\n"
    warnings = sorted(line for line in output.splitlines() if line.startswith("warning: "))
    rest = "the run goes on without it; metrics.jsonl has all records, and"
    assert [line for line in warnings if rest in line] == [
        f"warning: mlflow: RuntimeError: no licence: {rest} {out}/trackers/mlflow.log may tell more",
        f"warning: trackio: it did not take the last records in time: {rest} {out}/trackers/trackio.log "
        "may tell more",
    ]

    # What is scored later belongs to the same run.
    assert program(*flags, "--report_to=WANDB") == 0
    notes = [json.loads(line) for line in (tmp_path / "notes").read_text().splitlines()][
        len(notes) :
    ]
    assert notes[0] == {"project": "mine", "id": "new", "resume": "allow"}
    scored = notes[2]["values"]
    assert (scored["final/acc"], scored["train/global_step"]) == (final["acc"], 2)
    assert not [name for name in scored if name.startswith("eval/")]  # The curve has that point.


def test_a_tracker_that_falls_behind_is_left_alone(
    packages, reporters, tmp_path, monkeypatch, caplog
):
    packages(mlflow=HANGS)
    monkeypatch.setattr(reporter, "_MOST_WAITING", 5)
    report = reporters("mlflow", tmp_path)
    history = History(tmp_path / "metrics.jsonl")
    history.sinks.append(report)
    for _ in range(3):  # Some megabytes, where a pipe holds 64 KiB.
        history.write_all("step", [{"step": step, "text": "x" * 100_000} for step in range(8)])
    (warning,) = caplog.messages
    assert warning.startswith("mlflow: it is 5 records behind: the run goes on without it; ")
    assert len(records(tmp_path, "step")) == 24
    report.end("finished")
    report.wait(time.monotonic())


def test_a_tracker_whose_process_is_killed_is_left_alone(packages, reporters, tmp_path, caplog):
    packages(mlflow="import os\nos.kill(os.getpid(), 9)\n")
    report = reporters("mlflow", tmp_path)
    report([STEP])
    report._over.wait(60)
    report.end("finished")
    report.wait(time.monotonic() + 60)
    (warning,) = caplog.messages
    assert warning.startswith(f"mlflow: its process ended with status {-signal.SIGKILL}: the run ")


def test_a_disk_that_takes_no_log_ends_no_run(tmp_path, caplog):
    (tmp_path / "trackers").write_text("")
    report = Reporter("mlflow", "a run", tmp_path, lambda: FLAGS)
    report([STEP])
    report([STEP])
    report.end("finished")
    report.wait(time.monotonic())
    (warning,) = caplog.messages
    assert warning.startswith("mlflow: it does not start: ")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (
            "comet_ml",
            "argument --report_to: 'comet_ml' is not one of tensorboard, trackio, wandb, mlflow",
        ),
        ("none,wandb", "argument --report_to: all and none stand alone"),
        (
            "wandb,mlflow",
            f"--report_to: wandb, mlflow are not installed: {sys.executable} -m pip install ",
        ),
    ],
)
def test_what_is_no_tracker_or_not_installed_is_refused(
    refused, sst2, tmp_path, monkeypatch, value, line
):
    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)
    out = tmp_path / "out"
    found = refused("--do_train", "--output_dir", out, f"--report_to={value}", status=2)
    assert line in found
    assert not out.exists()


def test_all_are_those_that_are_installed(packages, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    for name in ("tensorboard", "trackio", "wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)
    history = History(tmp_path / "metrics.jsonl")
    with trackers.reporting(("all",), tmp_path, dict, history):
        assert history.sinks == []
    assert caplog.messages == [
        "--report_to all: none of tensorboard, trackio, wandb, mlflow is installed"
    ]
    monkeypatch.delitem(sys.modules, "mlflow")
    packages(mlflow=HANGS)
    trackers.check_trackers(("all",))
    with trackers.reporting(("all",), tmp_path, dict, history):
        assert [sink.tracker for sink in history.sinks] == ["mlflow"]
    for names in ((), ("none",)):
        history = History(tmp_path / "metrics.jsonl")
        with trackers.reporting(names, tmp_path, dict, history):
            assert history.sinks == []


def test_what_wandb_leaves_in_a_folder_is_not_its_package(tmp_path, monkeypatch):
    (tmp_path / "wandb" / "run-1").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    assert importlib.util.find_spec("wandb")
    assert not trackers.is_installed("wandb")


def test_secrets_of_an_address_are_not_shown():
    assert without_secrets("https://me:word@host:1/a") == "https://host:1/a"
    assert without_secrets("http://host/?write_token=abc") == "http://host/"
    assert without_secrets("sqlite:////tmp/a.db") == "sqlite:////tmp/a.db"


def test_a_new_training_is_a_new_run_of_the_tracker(tmp_path):
    out = tmp_path / "out"
    for name in ("metrics.jsonl", "trackers/wandb.json", "tensorboard/events.out.tfevents.1"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).touch()
    words = ["--do_train", "--overwrite_output_dir", "--output_dir", str(out)]
    open_training_record(parse_flags(words))
    assert sorted(entry.name for entry in (out / "previous" / "1").iterdir()) == [
        *("metrics.jsonl", "tensorboard", "trackers")
    ]
    assert not (out / "trackers").exists()
