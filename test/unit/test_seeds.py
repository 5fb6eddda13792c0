"""--seeds: trainings that differ by their seed alone, and what is said of them together."""

import json
import os
import re
import signal
import sys
import threading

import numpy as np
import pytest
from helpers import records, wait_until
from scipy.stats import ttest_1samp

from tools.results.run_folder import RunFolder
from tools.results.seeds import lines_of, summarize
from tools.run.seed_runs import run_child

SEVERAL = ("--do_train", "--do_eval", "--output_dir=out", "--max_steps=2", "--save_steps=0")


def test_trainings_are_done_that_are_not_there_and_summed_up(
    program, refused, sst2, tmp_path, capsys
):
    flags = (*SEVERAL, "--data_dir", sst2)
    # Each is a run as any other.
    assert program(*flags, "--seed=42", "--output_dir=out/seed_42") == 0
    line = refused(*flags, "--seeds=2", status=2)
    assert "out/seed_42 holds an earlier run: --resume leaves trainings that are through" in line
    assert not (tmp_path / "out" / "run.json").exists()
    capsys.readouterr()

    assert program(*flags, "--seeds=2", "--resume") == 0
    shown = capsys.readouterr().out
    assert "***** seed 42 (1 of 2): out/seed_42 is there *****" in shown
    assert "***** seed 43 (2 of 2): out/seed_43 *****" in shown
    run = RunFolder.find(tmp_path / "out").run
    found = run["seeds"]["metrics"]["acc"]
    finals = [records(tmp_path / "out" / f"seed_{s}", "eval")[-1]["acc"] for s in (42, 43)]
    assert found["values"] == dict(zip(("42", "43"), finals, strict=True))
    assert found["mean"] == pytest.approx(np.mean(finals))
    assert (run["status"], run["flags"]["seeds"], run["seeds"]["examples"]) == ("finished", 2, 30)
    trained = json.loads((tmp_path / "out" / "seed_43" / "training_args.json").read_text())
    assert (trained["seed"], trained["seeds"], trained["max_steps"]) == (43, 0, 2)
    assert f"acc: mean {np.mean(finals):.4f}" in shown
    assert shown.strip().endswith("report: out/report.html")
    page = (tmp_path / "out" / "report.html").read_text()
    assert re.search(rf"<h1>Accuracy {np.mean(finals):.3f} ± 0.\d+ over 2 seeds.</h1>", page)
    assert page.count("<bdi>seed_4") >= 2
    # What is summed up are repetitions.
    # These may change, as where one of the trainings is resumed.
    assert program(*flags, "--seeds=2", "--resume", "--cuda_graphs=off", "--fused_kernels=off") == 0
    line = refused(*flags, "--seeds=3", "--resume", "--learning_rate=1e-3", status=2)
    assert "the trainings in out had --learning_rate 5e-05, and not 0.001: give the same" in line


def test_what_cannot_be_repeated_is_refused(refused, monkeypatch, tmp_path, sst2):
    for words, said in (
        (("--do_train", "--seeds=3"), "--seeds needs --do_eval"),
        (("--do_eval", "--seeds=3"), "--seeds needs --do_train"),
    ):
        assert said in refused(*words, status=2)
    line = refused(*SEVERAL, "--seeds=2", "--data_dir=nowhere", status=2)
    assert "nowhere/train.tsv is missing" in line
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.jsonl").touch()
    line = refused(*SEVERAL, "--seeds=2", "--data_dir", sst2, status=2)
    assert "holds a training without --seeds" in line
    of_torchrun = {"WORLD_SIZE": 2, "RANK": 0, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 2}
    for name, value in (of_torchrun | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}).items():
        monkeypatch.setenv(name, str(value))
    assert "--seeds trains in one process after another" in refused(*SEVERAL, "--seeds=2", status=2)


def test_the_mean_has_the_interval_of_students_t():
    values = [0.78, 0.75, 0.79, 0.77]
    results = {s: {"acc": v, "examples": 9, "precision": "fp32"} for s, v in enumerate(values, 42)}
    summary = summarize(results)
    found = summary["metrics"]["acc"]
    assert list(summary["metrics"]) == ["acc"]
    theirs = ttest_1samp(values, 0).confidence_interval(0.95)
    assert found["interval"] == pytest.approx(list(theirs))
    assert found["deviation"] == pytest.approx(np.std(values, ddof=1))
    head, each, line, what = lines_of(summary)
    assert head == "***** 4 trainings with seeds of their own *****"
    assert each == "  acc by seed: 0.7800 (42), 0.7500 (43), 0.7900 (44), 0.7700 (45)"
    assert line == (
        "  acc: mean 0.7725, deviation 0.0171, 95 % interval of the mean 0.7453 to 0.7997 (Student's t)"
    )
    assert "the same 9 examples" in what
    same = summarize({s: {"acc": 0.7258064516129032} for s in range(3)})["metrics"]["acc"]
    assert (same["deviation"], same["interval"]) == (0.0, None)
    alone = summarize({42: {"acc": 0.5}})["metrics"]["acc"]
    assert (alone["mean"], alone["deviation"], alone["interval"]) == (0.5, None, None)


def test_a_signal_goes_on_to_the_training(tmp_path):
    ready = tmp_path / "ready"
    child = (
        "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); "
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    )

    def end():
        wait_until(ready.exists, 30)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=end).start()
    assert run_child([sys.executable, "-S", "-c", child]) == 143
    assert signal.getsignal(signal.SIGTERM) == before
