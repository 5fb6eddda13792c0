"""The log says what the classes are, and warns where a figure is not what it looks like."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import write_sst2

from processors.features import Features
from processors.glue import TASKS
from tools.results.run_folder import RunFolder
from tools.run import scoring
from tools.run.data_facts import OutputRange, describe_labels

TRAIN = ("--do_train", "--max_steps=1", "--output_dir=out")


def test_classes_are_counted_with_the_share_of_the_largest():
    text = describe_labels(np.array([1, 0, 1]), ("no", "yes"))
    assert text == '"no" (1), "yes" (2), always "yes" would be right for 66.7 %'
    assert describe_labels(np.array([1, 1]), ("0", "1")).startswith("0 (0), 1 (2), always")


def test_many_classes_are_cut_to_the_most_frequent():
    labels = np.array([11, 11, 3, *range(12)])
    text = describe_labels(labels, tuple(f"c{i}" for i in range(12)))
    assert text.startswith('"c11" (3), "c3" (2), "c0" (1), ')
    assert ', 2 more, always "c11" would be right for 20.0 %' in text


def test_numbers_have_a_range_and_a_mean():
    text = describe_labels(np.array([0.5, 2.5], dtype=np.float32), None)
    assert text == "0.5 to 2.5, 1.5 on average"


def test_each_run_says_what_its_classes_are(program, sst2, capsys):
    assert program(*TRAIN, "--do_eval", "--data_dir", sst2) == 0
    output = capsys.readouterr().out
    assert "\n  classes of train: 0 (" in output
    assert " %; of dev: 0 (" in output
    assert "unknown to" not in output
    found = RunFolder(Path("out")).run["data_check"]
    assert "".join(f"  {line}\n" for line in found["lines"]) in output
    assert (found["train"]["rows"], found["dev"]["rows"], len(found["lines"])) == (160, 30, 3)
    assert found["dev_in_train"] == found["dev"]["in_train"] > 0


def test_texts_of_another_language_are_warned_of(program, sst2, capsys):
    lines = (sst2 / "train.tsv").read_text().splitlines()
    chinese = [f"\u8fd9 \u90e8 \u7535\u5f71 \u5f88 \u597d {line[-2:]}" for line in lines[1:]]
    (sst2 / "train.tsv").write_text("\n".join([lines[0], *chinese]) + "\n", encoding="utf-8")
    assert program(*TRAIN, "--data_dir", sst2) == 0
    output = capsys.readouterr().out
    assert "% of the tokens of train are unknown to the vocabulary: perhaps" in output
    assert "perhaps it is of another language, or of texts of another kind" in output
    assert "--model_name_or_path" in output


def make_all_alike(monkeypatch):
    batch_logits = scoring.batch_logits
    one = torch.tensor([0.0, 99.0])
    monkeypatch.setattr(
        scoring, "batch_logits", lambda *args: (0 * x + one for x in batch_logits(*args))
    )


def test_predictions_that_are_all_alike_are_warned_of_once(program, sst2, capsys, monkeypatch):
    make_all_alike(monkeypatch)
    flags = ("--do_eval", "--eval_steps=1", "--max_steps=2", "--data_dir", sst2)
    assert program(*TRAIN, *flags) == 0
    assert capsys.readouterr().out.count("warning: all 30 predictions of dev are 1: ") == 1


def test_a_submission_of_outputs_all_alike_is_warned_of(program, sst2, capsys, monkeypatch):
    make_all_alike(monkeypatch)
    write_sst2(sst2, test=40)  # Some come twice.
    assert program(*TRAIN, "--do_predict", "--data_dir", sst2) == 0
    output = capsys.readouterr().out
    assert (
        output.count("different inputs of test are nearly the same: the model does not tell") == 1
    )
    lines = (sst2 / "test.tsv").read_text().splitlines()
    chinese = [f"{line.split()[0]}\t这 部 电影 很 好 啊 这 部" for line in lines[1:]]
    (sst2 / "test.tsv").write_text("\n".join([lines[0], *chinese[:9]]) + "\n", encoding="utf-8")
    predict_only = ("--do_predict", "--output_dir=out", "--data_dir", sst2)
    assert program("--model_name_or_path=out", *predict_only) == 0
    output = capsys.readouterr().out
    assert "% of the tokens of test are unknown to the vocabulary: perhaps" in output
    assert "inputs of test" not in output  # To the model they are one text.


def test_a_task_of_two_test_files_scores_both():
    assert len(TASKS["mnli"].suffixes) == len(TASKS["mnli"].submissions) == 2
    for task in TASKS.values():
        assert len(task.suffixes) >= len(task.submission_names)


def features_of(ids):
    """Return examples of a token each."""
    ids = np.array(ids, np.int32)
    return Features(ids, np.arange(len(ids) + 1), np.ones(len(ids), np.int32), np.array([]))


@pytest.mark.parametrize(
    ("logits", "warns"),
    [
        (np.linspace([-4.5, 4.5], [-4.6, 4.6], 11), False),  # 11 good films: p is 0.9999 and varies
        (np.tile([-1.375, 1.375], (11, 1)) * np.linspace(0.98, 1.02, 11)[:, None], False),  # 0.94
        (np.tile([-1.375, 1.375], (11, 1)), True),
        (np.linspace([0.0, 0.001], [0.001, 0.0], 11), True),  # two classes, by chance
        (np.linspace([0.0, 0.0], [5.0, 5.0], 11), True),  # the probabilities are the same
        (np.linspace([1.0, 1.0, 2.0], [1.0, 1.1, 2.0], 11), False),
        (np.linspace([2.5], [2.501], 11), True),
        (np.linspace([1990.0], [1995.0], 11), False),
        (np.linspace([0.001], [0.002], 11), False),
        (np.tile([-1.375, 1.375], (9, 1)), False),  # few
    ],
)
def test_where_no_labels_are_known_outputs_that_vary_are_believed(caplog, logits, warns):
    outputs = OutputRange()
    outputs.add(features_of(range(4)), logits[:4])
    outputs.add(features_of(range(4, len(logits))), logits[4:])
    outputs.warn_if_alike("the input")
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warns
