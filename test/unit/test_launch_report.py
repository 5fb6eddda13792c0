"""The launchers' report says what the run's records say, in the references' words."""

import json

import pytest

from tools.launching.recipe import launcher_parser, parse_recipe
from tools.launching.report import write_report


@pytest.fixture
def run(tmp_path):
    """An output folder that a training left, and where its log is."""
    folder = tmp_path / "out"
    folder.mkdir()
    results = {"model": {"pearson": 0.5, "acc_mm": 1.0}, "test": {"acc": 0.1}}
    record = {"fps": 123.456, "flags": {"padding": "bucket"}, "results": results}
    (folder / "run.json").write_text(json.dumps(record))
    steps = [{"event": "step", "step": step, "loss": 1 / step} for step in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    return folder


def files_of(folder):
    return {file.name: file.read_text() for file in folder.iterdir() if file.is_file()}


def test_a_training_is_reported_from_its_records(run, tmp_path):
    text = write_report(run, tmp_path, "net", "acc", 8, 2, 60)
    assert text.splitlines()[1:5] == [
        "Final Performance images/sec : 123.46",
        "Final Performance padding : bucket",
        "Final Train Accuracy : 0.5 (Pearson correlation)",
        "E2E Training Duration sec : 60",
    ]
    files = files_of(tmp_path)
    assert files["train_net_bs8_2p_acc_loss.txt"] == "1.0\n0.5\n"
    assert "ActualFPS = 123.46\nPadding = bucket\nActualLoss = 0.5\n" in files["net_bs8_2p_acc.log"]


def test_scoring_reports_no_speed_of_the_training_before(run, tmp_path):
    text = write_report(run, tmp_path, "net", "eval", 8, 1, 60)
    assert "images/sec : not measured" in text
    assert "Accuracy : 0.5 (Pearson correlation)" in text
    assert files_of(tmp_path)["train_net_bs8_1p_eval_loss.txt"] == ""


def test_a_folder_without_records_is_reported_as_not_measured(tmp_path):
    text = write_report(tmp_path / "none", tmp_path, "net", "acc", 8, 1, 60)
    assert text.count("not measured") == 3
    assert "ActualLoss = \n" in files_of(tmp_path)["net_bs8_1p_acc.log"]


@pytest.mark.parametrize("words", [["--output-dir=b c"], ["--output_dir", "b c"]])
def test_the_records_are_where_the_run_writes(words, tmp_path):
    script = tmp_path / "train_it.sh"
    script.write_text("#!/bin/sh\n# It.\n")
    recipe, _ = parse_recipe(["--script", str(script), "--task", "sst-2", "--", "--"])
    launch, _ = launcher_parser(recipe).parse(["--output_dir=a"])
    assert launch.results.name == "a"
    launch, _ = launcher_parser(recipe).parse(["--output_dir=a", "--", *words])
    assert launch.results.name == "b c"
