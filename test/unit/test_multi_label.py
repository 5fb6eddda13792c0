"""An example with any number of labels: trained, scored by sigmoid, refused where it does not fit."""

import csv
import json
import random
import re

import numpy as np
import pytest
import torch
from helpers import records
from sklearn.metrics import f1_score

from model.checkpoint import build_model, save_model
from model.configuration_albert import MULTI_LABEL, AlbertConfig
from model.tokenizer_export import save_tokenizer
from processors.custom import custom_task, with_labels
from processors.features import Features
from processors.multi_label import best_thresholds, cell_of, label_records
from processors.reading import read_examples
from processors.splitting import select, set_aside
from processors.tables import ABSENT
from tools.results.run_folder import RunFolder
from tools.run.data_facts import OutputRange, warn_if_all_alike

WORDS = {"plot": "the story", "cast": "the acting", "place": "the city"}


def write_table(path, count, seed):
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        names = [name for name in WORDS if rng.random() < 0.5]
        text = " and ".join(WORDS[name] for name in names) or "a film"
        rows.append(f"{text}\t{'; '.join(names)}")
    path.write_text("\n".join(["text\ttopics", *rows]) + "\n")
    return path


def flags(tmp_path, *others):
    files = {
        split: write_table(tmp_path / f"{split}.tsv", n, n)
        for split, n in (("train", 160), ("dev", 40))
    }
    words = [word for split, file in files.items() for word in (f"--{split}_file", file)]
    own = ("--task_name=custom", "--text_columns=text", "--label_column=topics", "--multi_label")
    return [*words, *own, "--output_dir", tmp_path / "out", *others]


def results_of(path):
    """Return the metrics of each section of a file of results."""
    sections = re.split(r"\[(.*)\]\n", path.read_text())[1:]
    return {
        name: {key: float(value) for key, value in re.findall("(.*) = (.*)\n", text)}
        for name, text in zip(sections[::2], sections[1::2], strict=True)
    }


def test_a_multi_label_model_is_trained_scored_and_predicted_with(
    program, no_dropout, ask, tmp_path
):
    values = json.loads((no_dropout / "config.json").read_text()) | {"initializer_range": 0.1}
    (no_dropout / "config.json").write_text(json.dumps(values))
    start = ("--model_name_or_path", no_dropout, "--random_init", "--label_separator=;")
    rest = ("--do_train", "--do_eval", "--do_predict", "--test_file", tmp_path / "dev.tsv")
    rates = ("--learning_rate=1e-2", "--optimizer=lamb", "--num_train_epochs=10", "--save_steps=0")
    rates = (*rates, "--eval_steps=1000", "--batch_size=8")
    assert program(*flags(tmp_path, *start, *rest, *rates)) == 0
    out = tmp_path / "out"
    config = json.loads((out / "config.json").read_text())
    assert (config["problem_type"], config["label_separator"]) == (MULTI_LABEL, ";")
    assert config["id2label"] == {"0": "cast", "1": "place", "2": "plot"}
    found = results_of(out / "eval_results.txt")
    results = found["model"]
    assert results["micro_f1"] > 0.9
    assert results["micro_f1_at_thresholds"] >= results["micro_f1"]
    assert {"threshold[cast]", "threshold[place]", "threshold[plot]"} <= results.keys()
    # It is the same file, but thresholds are none of a test file's.
    assert found["test test_dev"] == {name: results[name] for name in ("micro_f1", "macro_f1")}
    truth = [line.split("\t")[1] for line in (tmp_path / "dev.tsv").read_text().splitlines()[1:]]
    submitted = (out / "predictions" / "test_dev.tsv").read_text().splitlines()[1:]
    given = [line.split("\t")[1] for line in submitted]

    def matrix(cells, separator):
        return np.array(
            [[name in cell.split(separator) for name in sorted(WORDS)] for cell in cells]
        )

    for average in ("macro", "micro"):
        score = f1_score(matrix(truth, "; "), matrix(given, ";"), average=average)
        assert score == pytest.approx(results[f"{average}_f1"])
    # Later the model says what it is, and what stands between its labels.
    again = ("--model_name_or_path", out, "--output_dir", tmp_path / "again", "--do_eval")
    assert program(*(word for word in flags(tmp_path) if word != "--multi_label"), *again) == 0
    assert results_of(tmp_path / "again" / "eval_results.txt")["model"] == results
    said = RunFolder(tmp_path / "again").dev_predictions()
    assert [set(record["label"]) for record in said] == [
        set(filter(None, cell.split("; "))) for cell in truth
    ]
    final = records(tmp_path / "again", "eval")[-1]
    # Samples of sentences that are all right are all alike, and have no interval.
    assert final["intervals"].keys() == {
        name for name in ("micro_f1", "macro_f1") if results[name] < 1
    }
    odds = [
        p if name in record["label"] else 1 - p
        for record in said
        for name, p in record["probabilities"].items()
    ]
    assert final["loss"] == pytest.approx(-np.log(odds).mean())
    words = ("the story and the city", "--output", "said.jsonl")
    assert ask(out, *words, shows=False)[0] == 0
    record = json.loads((tmp_path / "said.jsonl").read_text())
    assert record["prediction"] == ["place", "plot"]
    table = ("--file", tmp_path / "dev.tsv", "--text_columns=text", "--output", "scored.csv")
    assert ask(out, *table, shows=False)[0] == 0
    with (tmp_path / "scored.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["prediction"] for row in rows] == given
    assert [*rows[0]][3:] == ["probability_cast", "probability_place", "probability_plot"]
    transformers = pytest.importorskip("transformers")
    assert transformers.AutoConfig.from_pretrained(out).problem_type == MULTI_LABEL


def test_each_label_has_a_probability_of_its_own():
    (record,) = label_records(np.array([[2.0, -1.0, 800.0]]), ("a", "b", "c"))
    assert record["prediction"] == ["a", "c"]
    sigmoid = torch.tensor([2.0, -1.0, 800.0]).sigmoid().tolist()
    assert list(record["probabilities"].values()) == pytest.approx(sigmoid)


def test_thresholds_are_those_of_the_largest_f1():
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 4)) < 0.3).astype(int)
    labels[:, 3] = 0
    found = np.clip(0.3 * labels + 0.5 * rng.random((60, 4)), 0, 1)
    best = best_thresholds(found, labels)
    assert best[3] == 0.5
    for column in range(3):
        truth, of_label = labels[:, column], found[:, column]
        most = max(f1_score(truth, of_label >= value) for value in of_label)
        assert f1_score(truth, of_label >= best[column]) == pytest.approx(most)


def test_the_loss_is_binary_cross_entropy(pretrained):
    config = AlbertConfig.from_file(pretrained)
    config.set_task(("a", "b", "c"), label_separator=",")
    model = build_model(config).eval()
    labels = torch.tensor([[1.0, 0.0, 1.0]])
    output = model(torch.tensor([[2, 7, 3]]), labels=labels)
    p = output.logits.sigmoid()
    expected = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
    torch.testing.assert_close(output.loss, expected)


def task_of(path, separator=","):
    files = {"train": str(path), "dev": str(path), "test": str(path)}
    return custom_task(files, ("text",), "topics", False, separator)


def test_lists_are_labels(tmp_path, caplog):
    path = tmp_path / "t.jsonl"

    def write(*topics):
        rows = [{"text": "x"} | ({} if t is ABSENT else {"topics": t}) for t in topics]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def labels_of(split, task):
        labels = read_examples(task, path, split).labels
        return None if labels is None else [row.tolist() for row in labels]

    write(["b", " a", "b"], [], None, ["a", 10], "b, a")
    task = with_labels(task_of(path), "")
    assert task.labels == ("10", "a", "b")
    wanted = [[0, 1, 1], [0, 0, 0], [0, 0, 0], [1, 1, 0], [0, 1, 1]]
    for split in ("train", "dev", "test"):
        assert labels_of(split, task) == wanted
    for topics, words in (
        (["a,b"], "line 2: the label 'a,b' has ',' in it, which stands between labels: name"),
        ([["a"]], "line 2: column 'topics' has a list, and no text"),
        (ABSENT, "line 2: column 'topics' has no value"),
        (["c"], "line 2: label 'c' is not one of '10', 'a', 'b'"),
    ):
        write(["a"], topics)
        with pytest.raises(ValueError, match=words):
            labels_of("dev", task)
        caplog.clear()
        assert labels_of("test", task) is None
        (line,) = caplog.messages
        assert words in line
        assert line.endswith("the file is predicted, and not scored")
    write(None, [])
    assert labels_of("test", task) is None
    assert "no row has a topics: the file is predicted, and not scored" in caplog.messages[-1]
    with pytest.raises(ValueError, match="no row has a topics: there is nothing to learn"):
        with_labels(task_of(path), "")
    write(["a,b"], ["c"])
    assert with_labels(task_of(path, ";"), "").labels == ("a,b", "c")


def test_one_label_or_another_separator_is_seen(tmp_path, caplog):
    path = tmp_path / "t.tsv"
    path.write_text("text\ttopics\nx\ta\ny\t\n")
    assert with_labels(task_of(path), "").labels == ("a",)
    path.write_text("text\ttopics\nx\ta\ny\ta,a\n")
    with pytest.raises(ValueError, match="every topics is 'a'"):
        with_labels(task_of(path), "")
    assert not caplog.messages
    path.write_text("text\ttopics\nx\ta; b\ny\tb; c\n")
    assert with_labels(task_of(path), "").labels == ("a; b", "b; c")
    assert "no row has more than one label in column 'topics': if something else" in caplog.text


def test_what_would_run_together_in_a_cell_is_json():
    assert cell_of(["a", "b"], ",") == "a,b"
    assert cell_of(["a,b", "ü"], ",") == '["a,b", "ü"]'


def test_a_share_leaves_examples_of_each_label_to_train_with():
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 12)) < 0.3).astype(np.float32)  # Few sets of labels come twice.
    labels[:, 11] = 0
    labels[[5, 6], 11] = 1
    ids = np.arange(300, dtype=np.int32)
    for seed in range(8):
        features = Features(ids, np.arange(301), np.ones(300, np.int32), labels)
        is_dev = set_aside(features, 0.2, seed)
        assert abs(is_dev.sum() - 60) <= 1
        assert labels[~is_dev].any(axis=0).all()
        assert select(features, is_dev).labels.shape == (is_dev.sum(), 12)
    # Each label 0 stands beside a rarer one.
    labels = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 1], [0, 0, 1]] * 2, np.float32)
    for seed in range(16):
        features = Features(ids[:10], np.arange(11), np.ones(10, np.int32), labels)
        assert labels[~set_aside(features, 0.7, seed)].any(axis=0).all()


def test_labels_all_alike_are_warned_of(caplog):
    truth = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    for given, words in (([0, 0], "are no label"), ([1, 1], 'are "a", "b"')):
        warn_if_all_alike("dev", np.tile(given, (3, 1)), ("a", "b"), truth)
        assert f"all 3 predictions of dev {words}: the model does not tell" in caplog.messages[-1]
    caplog.clear()
    warn_if_all_alike("dev", truth, ("a", "b"), truth)
    warn_if_all_alike("dev", np.tile([0, 0], (3, 1)), ("a", "b"), truth[:1].repeat(3, 0))
    # Outputs that rise together tell nothing of classes, but each of a label of its own does.
    ids = np.arange(11, dtype=np.int32)
    features = Features(ids, np.arange(12), np.ones(11, np.int32), np.array([]))
    for multi_label in (True, False):
        assert not caplog.messages
        outputs = OutputRange(multi_label)
        outputs.add(features, np.linspace([0.0, 0.0], [5.0, 5.0], 11))
        outputs.warn_if_alike("test")
    assert len(caplog.messages) == 1


def test_what_does_not_fit_is_refused(refused, pretrained, tokenizer, sst2, tmp_path):
    folders = {}
    for multi_label in (True, False):
        config = AlbertConfig.from_file(pretrained)
        config.set_task(("cast", "plot", "place"), label_separator="," if multi_label else None)
        folders[multi_label] = tmp_path / f"model{multi_label}"
        save_model(build_model(config), folders[multi_label])
        save_tokenizer(tokenizer, folders[multi_label])
    many = ("--model_name_or_path", folders[True])
    line = refused(*many, "--data_dir", sst2, "--do_eval", status=2)
    assert "--task_name sst-2, but the model gives a text any number of 3 labels: score it" in line
    one = ("--model_name_or_path", folders[False])
    own = [*flags(tmp_path)[:-2], "--do_eval"]
    assert "--multi_label, but the model gives a text one class" in refused(*one, *own, status=2)
    both = refused(*own, "--regression", status=2)
    assert "--multi_label and --regression contradict each other" in both
    for flag in ("--class_weights=balanced", "--label_smoothing=0.1"):
        line = refused(*flags(tmp_path, "--do_train", flag), status=2)
        assert (
            f"{flag.split('=')[0]} is about classes of which a text has one, and with --mu" in line
        )
    line = refused(*own[:-2], "--label_separator=;", "--do_eval", status=2)
    assert "--label_separator needs --multi_label" in line
    line = refused(*own, "--label_separator=\n", status=2)
    assert "'\\n' cannot stand between labels" in line
    assert "2 classes for a model with 3" in refused(*many, *own, "--label_order=a,b", status=2)
    sole = refused("--do_eval", "--data_dir", sst2, "--multi_label", status=2)
    assert "--multi_label goes with --task_name custom" in sole
    (tmp_path / "dev.tsv").write_text("text\ttopics\na film\tcast, other\n")
    line = refused(*many, *own, status=1)
    assert "dev.tsv, line 2: label 'other' is not one of 'cast', 'plot', 'place'" in line
