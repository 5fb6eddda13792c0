"""The log says what the classes are, and warns where a figure is not what it looks like."""

import numpy as np
import torch

from processors.glue import TASKS
from tools.run import scoring
from tools.run.data_facts import describe_labels

TRAIN = ("--do_train", "--max_steps=1", "--output_dir=out")


def test_classes_are_counted_with_the_share_of_the_largest():
    text = describe_labels("train", np.array([1, 0, 1]), ("no", "yes"))
    assert text == 'classes of train: "no" (1), "yes" (2); always "yes" would be right for 66.7 %'
    assert "classes of dev: 0 (0), 1 (2)" in describe_labels("dev", np.array([1, 1]), ("0", "1"))


def test_many_classes_are_cut_to_the_most_frequent():
    labels = np.array([11, 11, 3, *range(12)])
    text = describe_labels("train", labels, tuple(f"c{i}" for i in range(12)))
    assert text.startswith('classes of train: "c11" (3), "c3" (2), "c0" (1), ')
    assert ', 2 more; always "c11" would be right for 20.0 %' in text


def test_numbers_have_a_range_and_a_mean():
    text = describe_labels("train", np.array([0.5, 2.5], dtype=np.float32), None)
    assert text == "numbers of train: 0.5 to 2.5, 1.5 on average"


def test_each_run_says_what_its_classes_are(program, sst2, capsys):
    assert program(*TRAIN, "--do_eval", "--data_dir", sst2) == 0
    output = capsys.readouterr().out
    assert "\n  classes of train: 0 (" in output
    assert "\n  classes of dev: 0 (" in output
    assert "unknown" not in output


def test_texts_of_another_language_are_warned_of(program, sst2, capsys):
    lines = (sst2 / "train.tsv").read_text().splitlines()
    chinese = [f"\u8fd9 \u90e8 \u7535\u5f71 \u5f88 \u597d {line[-2:]}" for line in lines[1:]]
    (sst2 / "train.tsv").write_text("\n".join([lines[0], *chinese]) + "\n", encoding="utf-8")
    assert program(*TRAIN, "--data_dir", sst2) == 0
    output = capsys.readouterr().out
    assert "% of the tokens of train are unknown to the vocabulary (<unk>)" in output
    assert "--model_name_or_path" in output


def make_all_alike(monkeypatch):
    batch_logits = scoring.batch_logits
    one = torch.tensor([0.0, 99.0])
    monkeypatch.setattr(
        scoring, "batch_logits", lambda *args: (x + one for x in batch_logits(*args))
    )


def test_predictions_that_are_all_alike_are_warned_of_once(program, sst2, capsys, monkeypatch):
    make_all_alike(monkeypatch)
    flags = ("--do_eval", "--eval_steps=1", "--max_steps=2", "--data_dir", sst2)
    assert program(*TRAIN, *flags) == 0
    assert capsys.readouterr().out.count("warning: all 30 predictions of dev are 1: ") == 1


def test_a_submission_of_one_class_alone_is_warned_of(program, sst2, capsys, monkeypatch):
    make_all_alike(monkeypatch)
    assert program(*TRAIN, "--do_predict", "--data_dir", sst2) == 0
    assert capsys.readouterr().out.count("warning: all 10 predictions of test are 1: ") == 1
    lines = (sst2 / "test.tsv").read_text().splitlines()
    chinese = [f"{line.split()[0]}\t这 部 电影 很 好 啊 这 部" for line in lines[1:]]
    (sst2 / "test.tsv").write_text("\n".join([lines[0], *chinese[:9]]) + "\n", encoding="utf-8")
    predict_only = ("--do_predict", "--output_dir=out", "--data_dir", sst2)
    assert program("--model_name_or_path=out", *predict_only) == 0
    output = capsys.readouterr().out
    assert "% of the tokens of test are unknown to the vocabulary (<unk>)" in output
    assert "predictions of test" not in output  # So few may well be of one class.


def test_a_task_of_two_test_files_scores_both():
    assert len(TASKS["mnli"].suffixes) == len(TASKS["mnli"].submissions) == 2
    for task in TASKS.values():
        assert len(task.suffixes) >= len(task.submission_names)
