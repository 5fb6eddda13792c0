"""Of a training the best model stays, wherever it ends and whatever ends it."""

import json
import shutil

import pytest
import torch
from helpers import records, small_training

from callback.best_model import Scored, find_best, save_best
from callback.checkpointing import save_final
from callback.history import History
from model.file_names import WEIGHTS_NAMES
from processors.glue import TASKS
from tools.machine.distributed import Processes
from tools.run.best import Best
from tools.run.due import Due
from tools.run.flags import parse_flags
from tools.run.run_record import RunRecord


def make(folder, tokenizer, *flags, metric="acc", processes=None):
    words = ("--do_train", "--do_eval", "--output_dir", folder, *flags)
    records = parse_flags([str(word) for word in words]).records
    due = Due(records, 100, evaluates=True, metric=metric, stop_point=1.0)
    folder.mkdir(exist_ok=True)
    record = RunRecord(None if processes else folder)
    record.begin({"flags": {"do_train": True}}, resumes=(folder / "run.json").is_file())
    return Best(records, due, tokenizer, record, processes or Processes())


@pytest.fixture
def model(tokenizer):
    return small_training(TASKS["sst-2"], tokenizer)[0]


def at(model, step):
    """The model as it is after a step: its weights tell which."""
    with torch.no_grad():
        model.classifier.weight.fill_(float(step))
    return model


def weights(folder):
    (file,) = (folder / name for name in WEIGHTS_NAMES if (folder / name).is_file())
    return file.read_bytes()


def expected(model, tokenizer, tmp_path, step):
    save_final(tmp_path / f"expected_{step}", at(model, step), tokenizer)
    return weights(tmp_path / f"expected_{step}")


def history_of(*pairs, metric="acc"):
    history = History(None)
    history.evaluations = {step: {metric: value} for step, value in pairs}
    return history


@pytest.mark.parametrize(
    ("metric", "values", "kept"),
    [
        ("acc", [0.5, 0.7, 0.7, 0.6], 2),
        ("acc", [0.5, float("nan"), 0.4, 0.6], 4),
        ("rmse", [0.9, 0.4, 0.5, 0.4], 2),
    ],
)
def test_the_model_of_the_best_evaluation_is_saved(
    tmp_path, tokenizer, model, metric, values, kept
):
    best = make(tmp_path / "out", tokenizer, metric=metric)
    for step, value in enumerate(values, start=1):
        best.consider({metric: value}, step, at(model, step))
        assert len(list((tmp_path / "out").glob("best-*"))) == 1
    best.save(at(model, 9))
    assert weights(tmp_path / "out") == expected(model, tokenizer, tmp_path, kept)
    assert not list((tmp_path / "out").glob("best-*"))
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (run["kept"], run["best_step"]) == ("best", kept)


def test_the_last_model_is_saved_where_that_is_asked_for(tmp_path, tokenizer, model):
    best = make(tmp_path / "out", tokenizer, "--keep=last")
    for step, value in ((1, 0.9), (2, 0.1)):
        best.consider({"acc": value}, step, at(model, step))
    assert not best.lacks_last(3)
    best.save(at(model, 3))
    assert weights(tmp_path / "out") == expected(model, tokenizer, tmp_path, 3)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (run["kept"], run["best_step"]) == ("last", 1)


def test_the_last_model_is_scored_only_where_it_has_a_rival(tmp_path, tokenizer, model):
    best = make(tmp_path / "out", tokenizer)
    assert not best.lacks_last(4)
    best.consider({}, 2, model)  # A signal cut it short.
    assert not best.lacks_last(4)
    best.consider({"acc": 0.5}, 2, model)
    assert best.lacks_last(4)
    best.consider({"acc": 0.4}, 4, model)
    assert not best.lacks_last(4)


def test_patience_counts_evaluations_that_are_no_better(tmp_path, tokenizer, model):
    best = make(tmp_path / "out", tokenizer, "--patience=2")
    ends = []
    for step, value in enumerate((0.5, 0.5, 0.6, 0.6, 0.3), start=1):
        best.consider({"acc": value}, step, model)
        ends.append(best.is_exhausted)
    assert ends == [False, False, False, False, True]
    after = make(tmp_path / "out", tokenizer, "--patience=2")
    after.restore(history_of((1, 0.5), (2, 0.5)), 2, model)
    assert not after.is_exhausted
    after.consider({"acc": 0.5}, 3, model)
    assert after.is_exhausted


def test_the_best_model_survives_a_kill(tmp_path, tokenizer, model):
    """Also one between the evaluation and the model's folder, and one that damages that."""
    out = tmp_path / "out"
    make(out, tokenizer).consider({"acc": 0.8}, 2, at(model, 2))
    shutil.copytree(out / "best-2", out / "best-1")  # A kill came before it was deleted.
    after = make(out, tokenizer)
    after.restore(history_of((2, 0.8), (4, 0.7)), 4, at(model, 4))
    after.save(at(model, 5))
    assert weights(out) == expected(model, tokenizer, tmp_path, 2)

    killed = make(out, tokenizer)
    killed.restore(history_of((2, 0.8), (4, 0.9)), 4, at(model, 4))
    assert find_best(out) == Scored(4, 0.9)
    file = out / "best-4" / "config.json"
    file.write_text(file.read_text() + " ")
    assert find_best(out) is None


def test_a_finished_run_that_is_gone_on_with_keeps_its_best_model(tmp_path, tokenizer, model):
    out = tmp_path / "out"
    best = make(out, tokenizer)
    best.consider({"acc": 0.8}, 2, at(model, 2))
    best.save(at(model, 4))
    for value, kept in ((0.7, 2), (0.9, 6)):
        after = make(out, tokenizer)
        # The checkpoint was of a step before the best one.
        after.restore(history_of((1, 0.5)), 1, at(model, 1))
        after.consider({"acc": value}, 6, at(model, 6))
        after.save(at(model, 8))
        assert weights(out) == expected(model, tokenizer, tmp_path, kept)


def test_the_other_processes_know_the_evaluations_and_write_nothing(tmp_path, tokenizer, model):
    class Second(Processes):
        def exchange(self, name, facts):
            return [{"scores": "2 0.9;4 0.8"}, facts]

    second = Second(rank=1, world_size=2)
    best = make(tmp_path / "out", tokenizer, "--patience=2", processes=second)
    before = sorted(tmp_path.rglob("*"))
    best.restore(history_of(), 4, model)
    best.consider({"acc": 0.7}, 6, model)
    assert best.is_exhausted
    assert sorted(tmp_path.rglob("*")) == before


def test_somebody_s_folder_of_such_a_name_is_left_alone(tmp_path, tokenizer, model):
    (tmp_path / "best-shots").mkdir()
    (tmp_path / "best-7").mkdir()
    save_best(tmp_path, model, tokenizer, "huggingface", Scored(3, 0.5))
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names == ["best-3", "best-7", "best-shots"]


def test_the_default_is_the_best_where_something_is_scored():
    def keep(*flags):
        return parse_flags([*flags]).records.keep

    assert keep("--do_train", "--do_eval") == "best"
    assert keep("--do_train", "--do_eval", "--keep=last") == "last"
    assert keep("--do_train") == "last"
    assert keep("--do_eval") is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--do_train", "--keep=best"], "--keep best needs --do_eval"),
        (["--do_train", "--patience=2"], "--patience needs --do_eval"),
        (["--do_eval", "--patience=2"], "--patience needs --do_train"),
        (["--do_eval", "--keep=last"], "--keep needs --do_train"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(refused, flags, words):
    assert words in refused(*flags, status=2)


def test_a_training_ends_when_it_gets_no_better_and_its_best_model_is_scored(
    program, sst2, tmp_path, capsys
):
    """At a rate of 0 no evaluation is better than the first."""
    flags = ("--data_dir", sst2, "--output_dir=out", "--do_train", "--do_eval", "--learning_rate=0")
    flags += ("--eval_steps=2", "--max_steps=20", "--save_steps=2", "--patience=2")
    assert program(*flags) == 0
    said = capsys.readouterr().out
    assert "--patience 2 is at its end after 6 steps" in said
    assert "--keep best: the model is that of step 2, with acc = " in said
    out = tmp_path / "out"
    assert len(records(out, "step")) == 6
    run = json.loads((out / "run.json").read_text())
    assert (run["best_step"], run["steps"], run["kept"]) == (2, 6, "best")
    assert run["results"]["model"]["acc"] == records(out, "eval")[0]["acc"]
    assert program(*flags, "--resume") == 0  # It ends there again.
    assert len(records(out, "step")) == 6
