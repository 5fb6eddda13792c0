"""What an earlier run left is neither lost nor mixed with another's."""

import errno
import fcntl
import json
import os
import shutil
import sys

import pytest
from helpers import ROOT, accuracy, command, records, write_sst2

from tools.run.previous import hold

TRAIN = ("--output_dir", "out", "--do_train", "--max_steps", "4", "--learning_rate", "1e-3")


@pytest.fixture(scope="module")
def finished(pretrained, tmp_path_factory):
    """A folder with out/, that of a finished run with a checkpoint after its second step."""
    folder = tmp_path_factory.mktemp("finished")
    data = write_sst2(folder / "SST-2")
    flags = ("--model_name_or_path", pretrained, "--max_seq_length", 32, "--device", "cpu")
    words = ("--data_dir", data, *flags, *TRAIN, "--save_steps", "2")
    result = command(sys.executable, ROOT / "run_classifier.py", *words, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def out(finished, tmp_path):
    """A copy of the finished run's folder."""
    return shutil.copytree(finished / "out", tmp_path / "out")


def test_two_runs_do_not_train_into_one_folder(refused, sst2, out):
    before = (out / "model.safetensors").read_bytes()
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = refused("--data_dir", sst2, *TRAIN, "--overwrite_output_dir", status=2)
    assert "another run trains into out" in line
    assert (out / "model.safetensors").read_bytes() == before


def test_a_lock_that_was_removed_while_it_was_waited_for_holds_nothing(tmp_path, monkeypatch):
    lock, calls = fcntl.flock, []

    def late(file, how):
        if not calls:
            (tmp_path / ".lock").unlink()
        calls.append(how)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with hold(tmp_path) as first, hold(tmp_path) as second:
        assert (first is None, second) == (False, None)
    assert len(calls) == 3


@pytest.mark.parametrize("damage", [None, b"[]", b'{"sha256": []}', b"half"])
def test_resuming_without_a_whole_checkpoint_leaves_a_finished_run_alone(
    refused, sst2, out, damage
):
    before = (out / "model.safetensors").read_bytes()
    if damage is None:
        shutil.rmtree(out / "checkpoint-2")
        shutil.rmtree(out / "checkpoint-4")
    else:
        for step in (2, 4):
            (out / f"checkpoint-{step}" / "manifest.json").write_bytes(damage)
    line = refused("--data_dir", sst2, *TRAIN, "--resume", status=2)
    assert "no whole checkpoint to go on from" in line
    assert (out / "model.safetensors").read_bytes() == before


def test_resuming_with_another_recipe_or_other_data_is_refused(refused, sst2, out):
    def line_of(*flags):
        return refused("--data_dir", sst2, *TRAIN, "--resume", *flags, status=2)

    for flags, words in (
        (["--learning_rate", "1e-2"], "learning_rate was 0.001 there and is 0.01 now"),
        (["--optimizer", "adamw"], "optimizer was lamb there and is adamw now"),
        (["--seed", "7"], "seed was 42 there and is 7 now"),
    ):
        assert words in line_of(*flags)
    text = (sst2 / "train.tsv").read_text()
    (sst2 / "train.tsv").write_text(text.replace("\t1\n", "\t0\n", 1))
    line = line_of()
    assert "checksum of the training data was" in line
    assert "train anew with --overwrite_output_dir" in line


def test_a_resumed_run_records_each_step_once(run_classifier, sst2, out):
    shutil.rmtree(out / "checkpoint-4")
    result = run_classifier("--data_dir", sst2, *TRAIN, "--resume")
    assert result.returncode == 0, result.stderr
    assert [record["step"] for record in records(out, "step")] == [1, 2, 3, 4]


def test_what_a_killed_run_was_writing_is_taken_away(run_classifier, sst2, out):
    (out / ".writing-1234567890-x").mkdir()
    assert run_classifier("--data_dir", sst2, *TRAIN, "--overwrite_output_dir").returncode == 0
    assert not (out / ".writing-1234567890-x").exists()


def test_scoring_another_model_does_not_touch_a_run_s_results(
    run_classifier, refused, sst2, out, tmp_path
):
    flags = ("--data_dir", sst2, "--do_eval", "--do_predict")
    assert run_classifier(*flags, "--output_dir", "out").returncode == 0
    before = (out / "eval_results.txt").read_bytes()
    other = tmp_path / "other"
    shutil.copytree(out / "checkpoint-2", other)
    shutil.copytree(out, tmp_path / "outputs" / "SST-2")
    line = refused(*flags, "--model_name_or_path", other, status=2)
    assert "holds the results of another model" in line
    assert (out / "eval_results.txt").read_bytes() == before
    elsewhere = run_classifier(*flags, "--model_name_or_path", other, "--output_dir", "new")
    assert len(accuracy(elsewhere.stdout)) == 1


def test_truncated_weights_are_one_line(refused, sst2, out):
    weights = out / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    line = refused("--data_dir", sst2, "--do_eval", "--output_dir", "out", status=1)
    assert "out/model.safetensors cannot be read as model weights" in line


def test_a_missing_package_is_one_line(tmp_path):
    """What a user gets who forgot to activate the environment."""
    result = command(sys.executable, "-I", "-S", "-c", f"""
import sys, runpy
sys.path.insert(0, {str(ROOT)!r})
sys.argv = ["run_classifier.py"]
runpy.run_path({str(ROOT / "run_classifier.py")!r}, run_name="__main__")
""", cwd=tmp_path)  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "torch" in result.stderr
    assert ". .venv/bin/activate" in result.stderr


def test_the_flags_of_a_run_are_recorded(out):
    recorded = json.loads((out / "training_args.json").read_text())
    assert recorded["max_steps"] == 4
    assert recorded["learning_rate"] == 1e-3


SHARDS = ("model.safetensors.index.json", "model-00001-of-00002.safetensors")


@pytest.mark.parametrize("kind", ["evaluation", "the user's own", "weights in several files"])
def test_whatever_an_output_folder_holds_is_moved_not_deleted(
    run_classifier, sst2, out, pretrained, tmp_path, kind
):
    folder = tmp_path / "mine"
    folder.mkdir()
    if kind == "evaluation":
        shutil.copy(out / "metrics.jsonl", folder)
        (folder / "eval_results.txt").write_text("[model]\nacc = 0.5\n")
    else:
        for name in ("config.json", "spiece.model"):
            shutil.copy(pretrained / name, folder)
        for name in SHARDS if kind == "weights in several files" else ():
            (folder / name).write_text("{}")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    flags = ("--data_dir", sst2, *TRAIN, "--output_dir", folder, "--overwrite_output_dir")
    assert run_classifier(*flags).returncode == 0
    previous = folder / "previous" / "1"
    assert {path.name: path.read_bytes() for path in previous.iterdir()} == before


def test_a_finished_run_that_is_gone_on_with_keeps_its_records(run_classifier, sst2, out):
    before = (out / "metrics.jsonl").read_text().splitlines()
    for _ in range(2):
        result = run_classifier("--data_dir", sst2, *TRAIN, "--do_eval", "--resume")
        assert result.returncode == 0, result.stderr
        *after, last = (out / "metrics.jsonl").read_text().splitlines()
        assert after == before
        evaluation = json.loads(last)
        assert (evaluation["event"], evaluation["model"]) == ("eval", "model")
        assert "null" not in last


def test_a_run_that_ended_at_its_stop_point_ends_there_again(
    run_classifier, sst2, tmp_path, monkeypatch
):
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    flags = ("--data_dir", sst2, *TRAIN, "--do_eval", "--stop_point=0.01", "--eval_steps=2")
    assert run_classifier(*flags, "--save_steps=2").returncode == 0
    ended = records(tmp_path / "out", "training")
    result = run_classifier(*flags, "--save_steps=2", "--resume")
    assert result.returncode == 0, result.stderr
    assert "threads that wait leave their core" in result.stdout
    assert len(records(tmp_path / "out", "step")) == 2
    assert records(tmp_path / "out", "training") == ended
    assert len(ended) == 1


def test_a_training_that_was_killed_before_its_model_was_there_ends_once(
    run_classifier, sst2, tmp_path
):
    flags = ("--data_dir", sst2, "--do_train", "--max_steps=2", "--output_dir=new")
    assert run_classifier(*flags).returncode == 0
    (tmp_path / "new" / "model.safetensors").unlink()
    assert run_classifier(*flags, "--resume").returncode == 0
    assert len(records(tmp_path / "new", "training")) == 1


def test_a_disk_that_keeps_no_locks_is_said_and_used(tmp_path, monkeypatch, caplog):
    def flock(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold(tmp_path) as lock:
        assert lock is not None
    assert f"{tmp_path} cannot be locked (Function not implemented)" in caplog.text


def test_a_torn_last_line_does_not_keep_a_run_from_going_on(run_classifier, sst2, out):
    with (out / "metrics.jsonl").open("r+b") as file:
        file.truncate(file.seek(0, 2) - 20)
    result = run_classifier("--data_dir", sst2, *TRAIN, "--resume")
    assert result.returncode == 0, result.stderr
    warning = "warning: out/metrics.jsonl: 1 line is dropped: no valid record, as after a power cut"
    assert result.stdout.splitlines().count(warning) == 1
    assert [record["step"] for record in records(out, "step")] == [1, 2, 3, 4]
    assert len(records(out, "training")) == 1


def test_another_program_s_run_json_is_not_written_over(refused, sst2, tmp_path, finished):
    other = tmp_path / "results" / "run.json"
    other.parent.mkdir()
    other.write_text('{"mine": 1}')
    model = ("--model_name_or_path", finished / "out")
    of_seeds = ("--do_train", "--do_eval", "--seeds", 2)
    for flags in (("--do_eval", *model), ("--do_predict", *model), of_seeds):
        line = refused("--data_dir", sst2, *flags, "--output_dir", "results", status=2)
        assert "results/run.json is no record of a run" in line
        assert other.read_text() == '{"mine": 1}'


def test_another_program_s_predictions_are_not_written_over(refused, sst2, tmp_path, finished):
    other = tmp_path / "results" / "predictions" / "dev.jsonl"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    flags = ("--data_dir", sst2, "--model_name_or_path", finished / "out")
    line = refused(*flags, "--do_eval", "--output_dir", "results", status=2)
    assert "results/predictions is of no run, which needs a folder of that name" in line
    assert other.read_text() == "mine"


def test_a_run_that_only_scores_sees_to_what_a_killed_one_left(refused, sst2, out, finished):
    gathered = out / "previous" / ".moving"
    gathered.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (out / name).rename(gathered / name)
    (out / ".writing-1234567890-x").mkdir()
    line = refused("--data_dir", sst2, "--do_eval", "--output_dir", "out", status=2)
    assert "there is no trained model in out" in line
    assert not (out / ".writing-1234567890-x").exists()
    assert sorted(path.name for path in (out / "previous").iterdir()) == ["1"]
    found = {path.name for path in (out / "previous" / "1").iterdir()}
    assert found == {path.name for path in (finished / "out").iterdir()} - {".lock"}
