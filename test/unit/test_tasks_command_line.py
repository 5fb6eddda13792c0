"""Tasks other than SST-2 and STS-B, and one's own, from the command line."""

import csv
import json
import shutil

import pytest
from helpers import (
    MNLI,
    MNLI_ROW,
    TASK_LAYOUTS,
    accuracy,
    records,
    sentences,
    write_stsb,
)

from processors.custom import custom_task, with_labels
from tools.results.run_folder import RunFolder

SHORT = ("--max_steps", "3", "--learning_rate", "1e-2")
ORDER = ("1", "2", "10", "nan", "x")
CUSTOM = ("--task_name", "custom", "--output_dir", "out")


@pytest.fixture
def mnli(tmp_path):
    """MNLI's five files; the mismatched dev set is one row of the matched one, four times."""
    folder = tmp_path / "dataset" / "MNLI"
    folder.mkdir(parents=True)
    labels = ("contradiction", "entailment", "neutral")

    def write(name, rows, labelled=True):
        header = MNLI + "\tlabel1\tgold_label" * labelled
        lines = [
            f"{MNLI_ROW}\t{text}\t{text}" + f"\t{label}\t{label}" * labelled for text, label in rows
        ]
        (folder / name).write_text("\n".join([header, *lines]) + "\n")

    rows = [(text, labels[i % 3]) for i, (text, _) in enumerate(sentences(24))]
    write("train.tsv", rows)
    write("dev_matched.tsv", rows[:9])
    write("dev_mismatched.tsv", rows[:1] * 4)
    write("test_matched.tsv", rows[:5], labelled=False)
    write("test_mismatched.tsv", rows[:3], labelled=False)
    return folder


def test_mnli_is_scored_and_predicted_matched_and_mismatched(run_classifier, mnli, tmp_path):
    flags = ("--task_name", "MNLI", "--data_dir", mnli, "--output_dir", "out")
    result = run_classifier(*flags, "--do_train", "--do_eval", "--do_predict", *SHORT)
    assert result.returncode == 0, result.stderr
    (final,) = records(tmp_path / "out", "eval")
    assert final["examples"] == 13
    assert accuracy(result.stdout) == [final["acc"]]
    assert f"  acc_mm = {final['acc_mm']}" in result.stdout
    assert final["acc_mm"] in (0.0, 1.0)
    assert final["intervals"].keys() == {"acc", "acc_mm"}
    out = RunFolder(tmp_path / "out")
    for said, metric in ((out.dev_predictions(), "acc"), (out.dev_predictions("_mm"), "acc_mm")):
        assert len(said) == {"acc": 9, "acc_mm": 4}[metric]
        hits = [record["prediction"] == record["label"] for record in said]
        assert sum(hits) / len(hits) == final[metric]
    predictions = tmp_path / "out" / "predictions"
    for name, count in (("MNLI-m", 5), ("MNLI-mm", 3)):
        lines = (predictions / f"{name}.tsv").read_text().splitlines()
        assert lines[0] == "index\tprediction"
        assert len(lines) == count + 1
        assert lines[1].split("\t")[1] in ("contradiction", "entailment", "neutral")


def test_the_mismatched_half_of_mnli_is_a_task_of_its_own(run_classifier, mnli, tmp_path):
    """As in the references; it scores what the whole task trained."""
    flags = ("--task_name", "mnli", "--data_dir", mnli, "--output_dir", "out")
    both = run_classifier(*flags, "--do_train", "--do_eval", *SHORT)
    assert both.returncode == 0, both.stderr
    (mnli / "dev_matched.tsv").unlink()
    flags = ("--task_name", "mnli-mm", "--data_dir", mnli, "--output_dir", "out")
    result = run_classifier(*flags, "--do_eval", "--do_predict")
    assert result.returncode == 0, result.stderr
    first, second = records(tmp_path / "out", "eval")
    assert (first["examples"], second["examples"]) == (13, 4)
    assert accuracy(result.stdout) == [second["acc"]] == [first["acc_mm"]]
    names = [file.name for file in (tmp_path / "out" / "predictions").iterdir()]
    assert sorted(names) == ["MNLI-mm.jsonl", "MNLI-mm.tsv", "dev.jsonl", "dev_mm.jsonl"]


def test_a_trained_model_keeps_its_own_order_of_classes(run_classifier, mnli, tmp_path):
    """As one that Hugging Face's users trained has: entailment, neutral, contradiction."""
    flags = ("--task_name", "mnli", "--data_dir", mnli, "--do_predict", "--output_dir")
    assert run_classifier(*flags, "out", "--do_train", *SHORT).returncode == 0
    shutil.copytree(tmp_path / "out", tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    config["id2label"] = {"0": "entailment", "1": "neutral", "2": "contradiction"}
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    assert run_classifier(*flags, "other").returncode == 0
    renamed = {"contradiction": "entailment", "entailment": "neutral", "neutral": "contradiction"}

    def read(folder):
        return (tmp_path / folder / "predictions" / "MNLI-m.tsv").read_text().split()

    assert read("other") == [renamed.get(word, word) for word in read("out")]


@pytest.mark.parametrize("task", ["cola", "mrpc"])
def test_metrics_of_the_other_tasks(run_classifier, tmp_path, task):
    header, row = TASK_LAYOUTS[task][:2]
    other = row.replace("1", "0", 1) if task == "mrpc" else row.replace("\t1\t", "\t0\t")
    for split in ("train", "dev"):
        (tmp_path / f"{split}.tsv").write_text(header + (row + other) * 8)
    flags = ("--task_name", task, "--data_dir", ".", "--output_dir", "out")
    result = run_classifier(*flags, "--do_train", "--do_eval", *SHORT)
    assert result.returncode == 0, result.stderr
    names = {"cola": ["mcc"], "mrpc": ["acc", "f1", "acc_and_f1"]}[task]
    assert [f"  {name} = " in result.stdout for name in names] == [True] * len(names)


def test_files_that_no_command_can_get_name_the_page_that_says_where(refused, tmp_path):
    line = refused("--task_name", "mrpc", "--data_dir", tmp_path / "no", "--do_train", status=2)
    assert "train.tsv is missing" in line
    assert "dataset/README.md" in line
    assert "tools.download" not in line


@pytest.fixture
def reviews(tmp_path):
    """A person's own CSV: a column of text with commas in it, and three classes by name."""
    rows = [(text + ", really", ("bad", "good")[int(label)]) for text, label in sentences(140)]
    rows += [("the bus is late", "off topic")] * 20
    for name, part in (("train", rows), ("dev", rows[::4]), ("test", rows[:7])):
        columns = 1 if name == "test" else 2
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows(row[:columns] for row in [("review", "verdict"), *part])
    return ("--text_columns", "review", "--label_column", "verdict")


def test_a_task_of_ones_own(run_classifier, reviews, tmp_path, refused):
    files = ("--train_file", "train.csv", "--dev_file", "dev.csv", "--test_file", "test.csv")
    *head, last = (tmp_path / "test.csv").read_text().splitlines(keepends=True)
    (tmp_path / "test.csv").write_text("".join([*head, "\n", last]))  # A blank line is a row, too.
    learn = ("--learning_rate", "5e-3", "--optimizer", "adamw", "--num_train_epochs", "8")
    result = run_classifier(
        *CUSTOM, *files, *reviews, "--do_train", "--do_eval", "--do_predict", *learn
    )
    assert result.returncode == 0, result.stderr
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good", "2": "off topic"}
    (*_, final) = records(tmp_path / "out", "eval")
    assert final["acc"] > 0.9
    assert final["macro_f1"] > 0.9
    predictions = (tmp_path / "out" / "predictions" / "test.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in predictions[1:]] == list(map(str, range(8)))
    del predictions[7]
    expected = list(csv.reader((tmp_path / "train.csv").open()))[1:8]
    hits = [
        p.split("\t")[1] == label for p, (_, label) in zip(predictions[1:], expected, strict=True)
    ]
    assert sum(hits) >= 6

    # The labels are the model's, whatever a dev file of another day has.
    flags = (*CUSTOM, "--dev_file", "later.tsv", *reviews, "--do_eval")
    text = "review\tverdict\textra\nthe bus is late\toff topic\t\n"
    (tmp_path / "later.tsv").write_text(text, encoding="utf-16")
    again = run_classifier(*flags, "--encoding", "UTF16")
    assert accuracy(again.stdout) == [1.0], again.stderr
    line = refused(*flags, status=1)
    assert (
        "later.tsv, line 1: not UTF-8, probably UTF-16: give --encoding utf-16, or convert" in line
    )
    line = refused(*flags, "--text_columns", "review,extra", status=2)
    assert "the model was trained on single texts, and custom has pairs of texts" in line
    (tmp_path / "later.tsv").write_text("review\tverdict\nthe bus is late\tunheard of\n")
    line = refused(*flags, status=1)
    assert "line 2: label 'unheard of' is not one of 'bad', 'good', 'off topic'" in line


def test_a_number_of_ones_own_to_predict(run_classifier, tmp_path):
    folder = write_stsb(tmp_path / "pairs")
    columns = ("--text_columns", "sentence1,sentence2", "--label_column", "score")
    files = ("--train_file", folder / "train.tsv", "--dev_file", folder / "dev.tsv")
    result = run_classifier(*CUSTOM, *files, *columns, "--regression", "--do_train", *SHORT)
    assert result.returncode == 0, result.stderr
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["problem_type"] == "regression"
    # Scoring it later needs no word on that.
    again = run_classifier(*CUSTOM, *files, *columns, "--do_eval")
    assert again.returncode == 0, again.stderr
    assert "  pearson = " in again.stdout


def test_classes_stand_in_an_order_of_their_own(tmp_path):
    """In every process, whatever its hashes: numbers first, and nan is no number."""
    (tmp_path / "t.csv").write_text("sentence,label\n" + "".join(f"a,{x}\n" for x in ORDER[::-1]))
    task = custom_task(
        {"train": str(tmp_path / "t.csv"), "dev": None, "test": None}, ("sentence",), "label", False
    )
    assert with_labels(task, ".").labels == ORDER


def test_a_model_of_other_classes_is_warned_of_and_not_resumed(
    run_classifier, reviews, tmp_path, refused
):
    flags = (
        *CUSTOM,
        "--train_file",
        "train.csv",
        *reviews,
        "--do_train",
        "--save_steps",
        "2",
        *SHORT,
    )
    assert run_classifier(*flags).returncode == 0
    text = (tmp_path / "train.csv").read_text()
    (tmp_path / "train.csv").write_text(text.replace(",good", ",great"))
    line = refused(*flags, "--resume", status=2)
    assert "classes was ('bad', 'good', 'off topic') there" in line


@pytest.mark.parametrize(
    ("flags", "words", "status"),
    [
        (("--task_name", "sst-2", "--regression"), "--regression goes with --task_name custom", 2),
        (("--train_file", "train.csv", "--do_eval"), "with --do_eval needs --dev_file", 2),
        (("--train_file", "train.csv", "--text_columns", "a,b,c"), "is not one column, or two", 2),
        (("--train_file", "train.csv", "--text_columns", "label"), "is among --text_columns", 2),
        (("--train_file", "no.csv"), "no.csv is missing", 2),
        (("--train_file", "tab.csv", "--encoding", "x"), "'x' is no encoding that Python knows", 2),
        (
            ("--train_file", "case.csv"),
            "the classes 'x' (2 rows, first on line 2) and 'X' (1 rows",
            1,
        ),
        (("--train_file", "train.csv"), "--text_columns and --label_column say which", 1),
        (("--train_file", "one.csv"), "every label is 'x'", 1),
        (("--train_file", "hole.csv"), "hole.csv, line 3: the label is empty", 1),
        (
            ("--train_file", "tab.csv"),
            "tab.csv, line 3: the label has a tab or a line end in it",
            1,
        ),
        (("--train_file", "hole.csv", "--regression"), "line 2: label 'x' is not a number", 1),
    ],
)
def test_what_is_wrong_with_it_is_one_line(refused, reviews, tmp_path, flags, words, status):
    (tmp_path / "one.csv").write_text("sentence,label\na,x\nb,x\n")
    (tmp_path / "case.csv").write_text("sentence,label\na,x\nb,y\nc,X\nd,x\n")
    (tmp_path / "tab.csv").write_text("sentence,label\na,x\nb,y\tz\n")
    (tmp_path / "hole.csv").write_text("sentence,label\na,x\nb,\n")
    assert words in refused(*CUSTOM, *flags, "--do_train", status=status)
