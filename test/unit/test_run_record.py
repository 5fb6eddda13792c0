"""run.json says what a run is, what it came to, and how it ended."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from helpers import ROOT, records, write_stsb

from processors.features import Features
from processors.glue import TASKS
from tools.cli.errors import StoppedError, UsageError
from tools.cli.revision import git_revision
from tools.cli.version import project_version
from tools.run.run_facts import PACKAGES, baseline
from tools.run.run_record import RunRecord


def run_of(folder):
    return json.loads((folder / "run.json").read_text())


@pytest.fixture
def record(tmp_path):
    found = RunRecord(tmp_path)
    found.begin({"flags": {"do_train": True, "model_name_or_path": "a"}})
    return found


def test_nothing_is_written_of_a_run_that_ends_before_it_begins(tmp_path):
    record = RunRecord(tmp_path)
    record.add("data_check", {"lines": []})
    record.save()
    with pytest.raises(UsageError), record.closing():
        raise UsageError("no")
    assert list(tmp_path.iterdir()) == []
    with RunRecord(None).closing():  # Of a process that keeps none.
        pass


def test_the_record_is_of_a_running_run_until_it_ends(tmp_path, record):
    record.add("results", {"model": {"acc": float("nan")}})
    record.add("results", {"test a": {"acc": 0.5}})
    record.save()
    now = run_of(tmp_path)
    assert (now["status"], now["exit_status"], now["ended"]) == ("running", None, None)
    assert now["results"] == {"model": {"acc": None}, "test a": {"acc": 0.5}}
    with record.closing():
        pass
    now = run_of(tmp_path)
    assert (now["status"], now["exit_status"]) == ("finished", 0)
    assert now["started"] <= now["ended"]


def test_the_time_of_what_is_under_way_is_recorded_as_well(tmp_path, record, monkeypatch):
    seconds = iter((10.0, 12.0, 15.0, 16.0, 16.0, 16.0, 20.0, 20.0))
    monkeypatch.setattr("time.perf_counter", lambda: next(seconds))
    with record.timed("training"):  # from 10 to 20
        with record.timed("evaluation"):  # from 12 to 15
            pass
        record.save()  # at 16
        so_far = run_of(tmp_path)["durations"]
        assert (so_far["training"], so_far["evaluation"]) == (3.0, 3.0)
        next(seconds)
    record.save()
    durations = run_of(tmp_path)["durations"]
    assert (durations["training"], durations["evaluation"]) == (7.0, 3.0)


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (ValueError("the loss is nan\nand so on"), ("failed", 1, "the loss is nan")),
        (UsageError("wrong"), ("failed", 2, "wrong")),
        (StoppedError(15, "terminated after step 3"), ("stopped", 143, "terminated after step 3")),
        (KeyboardInterrupt(), ("stopped", 130, "interrupted")),
    ],
)
def test_an_error_is_recorded_with_its_line_and_status(tmp_path, record, error, end):
    with pytest.raises(type(error)), record.closing():
        raise error
    now = run_of(tmp_path)
    assert (now["status"], now["exit_status"], now["error"]) == end


def test_a_run_that_goes_on_keeps_what_is_still_true(tmp_path, record):
    record.add("results", {"model": {"acc": 0.5}})
    record.add("fps", 20.0)
    with record.timed("training"), record.timed("evaluation"):
        pass
    record.save()
    (tmp_path / "run.json").write_text(
        json.dumps(run_of(tmp_path) | {"started": "before", "durations": {"training": 100.0}})
    )
    later = RunRecord(tmp_path)
    later.add("data_check", {"lines": ["a"]})
    later.begin({"flags": {"do_train": True, "resume": True}}, resumes=True)
    now = run_of(tmp_path)
    assert (now["started"], now["fps"], now["flags"]["resume"]) == ("before", 20.0, True)
    assert now["data_check"] == {"lines": ["a"]}
    assert now["durations"]["training"] == 100.0
    assert "results" not in now  # They were of a model that is trained on.


def test_scoring_adds_its_results_to_a_training_s_record_alone(tmp_path, record):
    with record.closing():
        pass
    before = run_of(tmp_path)
    later = RunRecord(tmp_path)
    later.begin({"flags": {"do_train": False}}, trains=False)
    later.add("baseline", {"acc": 0.5})
    later.add("results", {"model": {"acc": 0.75}})
    later.save()
    with pytest.raises(ValueError, match="x"), later.closing():
        raise ValueError("x")
    assert run_of(tmp_path) == before | {"results": {"model": {"acc": 0.75}}}


def test_the_record_names_the_packages_that_are_required():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert set(PACKAGES) == {line.split(">=")[0] for line in lines if not line.startswith("#")}
    assert f'version = "{project_version()}"' in (ROOT / "pyproject.toml").read_text()


def test_a_checkout_has_a_revision_that_tells_of_changes(tmp_path):
    assert git_revision(tmp_path) is None
    (tmp_path / "a").write_text("1")
    of_somebody = ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")
    for words in (("init", "-q"), ("add", "a"), of_somebody):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    clean = git_revision(tmp_path)
    (tmp_path / "a").write_text("2")
    assert git_revision(tmp_path) == f"{clean}+changes"
    assert set(clean) <= set("0123456789abcdef")
    shutil.rmtree(tmp_path / ".git" / "objects")
    assert git_revision(tmp_path) is None


def test_the_baseline_is_what_an_answer_without_the_text_scores():
    def some(*labels):
        zeros = np.zeros(len(labels) + 1, np.int64)
        return Features(zeros[:0], zeros, zeros[:-1], np.array(labels))

    sst2, stsb = TASKS["sst-2"], TASKS["sts-b"]
    of_train = baseline(sst2, {"train": [some(0, 1, 1)], "dev": [some(0, 0, 0, 1)]})
    assert of_train == {"acc": 0.25, "class": "1"}
    assert baseline(sst2, {"dev": [some(0, 0, 0, 1)]}) == {"acc": 0.75, "class": "0"}
    numbers = baseline(stsb, {"train": [some(1.0, 3.0)], "dev": [some(2.0, 5.0)]})
    assert (numbers["pearson"], numbers["mae"], numbers["class"]) == (0.0, 1.5, 2.0)


def test_a_training_and_its_scoring_are_recorded(program, sst2, tmp_path):
    flags = ("--data_dir", sst2, "--output_dir=out", "--batch_size=16")
    assert program(*flags, "--do_train", "--do_eval", "--max_steps=12", "--save_steps=10") == 0
    run = run_of(tmp_path / "out")
    assert (run["format"], run["status"], run["exit_status"]) == (1, "finished", 0)
    assert (run["steps"], run["epochs"], run["processes"]) == (12, 1.2, 1)
    assert run["flags"] == json.loads((tmp_path / "out" / "training_args.json").read_text())
    assert run["task"] == {
        "name": "sst-2", "kind": "classes", "classes": ["0", "1"], "metrics": ["acc"],
    }  # fmt: skip
    train = run["data"]["train"]
    assert (train["rows"], sum(train["classes"].values()), train["cut"]) == (160, 160, 33)
    assert len(train["sha256"]) == 64
    assert run["device"]["kind"] == "cpu"
    assert {"python", "torch", "project"} <= run["versions"].keys()
    assert run["results"]["model"]["examples"] == 30
    assert 0 < run["results"]["model"]["acc"] <= 1
    assert run["baseline"]["class"] in ("0", "1")
    spent = run["durations"]
    assert spent["total"] >= spent["training"] + spent["evaluation"] > spent["evaluation"] > 0
    assert run["samples_per_second"] > 0
    assert run["peak_memory_bytes"] > 0
    steps = records(tmp_path / "out", "step")
    assert [row["learning_rate"] for row in steps[:3]] == pytest.approx(
        [0, 5e-5, 5e-5 / 1.1], rel=1e-6
    )
    assert [row["epoch"] for row in steps] == [step / 10 for step in range(1, 13)]
    assert all(row["grad_norm"] > 0 < row["samples_per_second"] for row in steps)
    assert {row["tokens_per_second"] for row in steps[1:10]} == {steps[1]["tokens_per_second"]}
    assert records(tmp_path / "out", "eval")[0]["epoch"] == 1.0
    assert program(*flags, "--do_eval", "--eval_all_checkpoints") == 0
    later = run_of(tmp_path / "out")
    assert later["results"].keys() == {"model", "checkpoint-10"}
    assert later | {"results": None} == run | {"results": None}


def test_numbers_are_recorded_as_such_and_a_new_folder_of_scores_alone_too(program, tmp_path):
    stsb = write_stsb(tmp_path / "STS-B", train=8, dev=8)
    flags = ("--task_name=sts-b", "--data_dir", stsb, "--output_dir=out")
    assert program(*flags, "--do_train", "--max_steps=1", "--save_steps=0") == 0
    score = ("--model_name_or_path", tmp_path / "out", "--do_eval")
    assert program(*flags[:-1], *score, "--output_dir=new") == 0
    run = run_of(tmp_path / "new")
    assert run["status"] == "finished"
    assert run["task"]["kind"] == "number"
    assert run["data"]["dev"]["numbers"]["max"] <= 5
    assert run["results"]["model"].keys() >= {"pearson", "rmse", "examples"}
    assert run["baseline"]["class"] == pytest.approx(run["data"]["dev"]["numbers"]["mean"])
