"""What is said of the data: repeated texts, contradictions, lengths; by a run and by the command."""

import csv
import json
import logging
import signal
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from helpers import make_examples

from model.vocabulary import load_tokenizer
from processors.custom import as_multi_label, custom_task
from processors.data_check import Repeats, either_order, length_bars, text_keys
from processors.features import build_features, load_features
from processors.glue import TASKS
from processors.reading import read_examples
from processors.suspects import find_suspects
from tools import check_data
from tools.run.data_check import log_data_check


def count(found):
    """Return the rows of a split that repeat another, contradict it, stand in train, contradict that."""
    counts = (found.repeated, found.contradicts, found.in_train >= 0, found.contradicts_train)
    return [int(which.sum()) for which in counts]


def test_a_row_repeats_the_first_one_of_its_text():
    keys = text_keys([["A film.", "a  FILM. ", "a film", "A film."]], False)
    found = Repeats.of(keys, np.array([1, 0, 1, 1]))
    assert found.first.tolist() == [0, 0, 2, 0]
    assert found.contradicts.tolist() == [False, True, False, False]
    dev = Repeats.of(text_keys([["a film", "new", "A FILM."]], False), None, (keys, np.zeros(4)))
    assert dev.in_train.tolist() == [2, -1, 0]
    assert not dev.contradicts_train.any()  # It has no labels.
    sets = np.array([[1, 0], [1, 1], [1, 0], [1, 0]])
    assert Repeats.of(keys, sets).contradicts.tolist() == [False, True, False, False]


def test_pairs_change_places_where_none_comes_first():
    columns = [["a", "b", "a"], ["b", "a", "c"]]
    assert len(set(text_keys(columns, True))) == 2
    assert len(set(text_keys(columns, False))) == 3
    found = {name for name, task in TASKS.items() if either_order(task)}
    assert found == {"mrpc", "qqp", "lcqmc", "sts-b"}


def test_a_run_says_it_in_three_lines(tokenizer, caplog):
    caplog.set_level(logging.INFO)
    rows = (("a fine film", 1), ("A fine film", 0), ("dull", 0), ("", 1), ("good " * 40, 1))
    train, dev = (
        build_features(
            make_examples(*((a, None, label) for a, label in part)), tokenizer, 32, False
        )
        for part in (rows, rows[1:3])
    )
    facts = log_data_check(TASKS["sst-2"], tokenizer, {"train": [train], "dev": [dev]})
    classes, texts, tokens = facts["lines"]
    assert classes == (
        "classes of train: 0 (2), 1 (3), always 1 would be right for 60.0 %; "
        "of dev: 0 (2), 1 (0), always 0 would be right for 100.0 %"
    )
    assert texts == (
        "repeated inputs of train: 1 of 5 rows, 1 with another label; "
        "of dev: 0 of 2 rows, 2 also in train (1 with another label)"
    )
    assert ", 1 of 5 cut to --max_seq_length, 1 of an empty text, 0 % unknown; of dev: " in tokens
    assert [record.message.strip() for record in caplog.records] == facts["lines"]
    counts = {"rows": 5, "duplicates": 1, "conflicts": 1, "empty": 1, "cut": 1, "unknown_share": 0}
    assert facts["train"] == counts
    assert facts["dev_in_train"] == facts["dev"]["in_train"] == 2
    caplog.clear()
    log_data_check(TASKS["sst-2"], tokenizer, {"dev": [dev]})
    assert [record.message.split()[0] for record in caplog.records] == ["classes", "tokens"]


@pytest.mark.parametrize(
    ("name", "repeated", "tokens", "conflicts", "in_train"),
    [("sst-2", 371, 376, 5, 0), ("sts-b", 60, 60, 16, 7)],
)
def test_the_figures_of_real_data(real_data, tmp_path, name, repeated, tokens, conflicts, in_train):
    task = TASKS[name]
    symmetric = either_order(task)
    splits = {}
    for split in ("train", "dev"):
        examples = read_examples(task, real_data / task.folder / f"{split}.tsv", split)
        texts = [column for column in (examples.texts_a, examples.texts_b) if column]
        splits[split] = text_keys(texts, symmetric), np.array(examples.labels)
    found = Repeats.of(*splits["train"])
    assert (found.repeated.sum(), found.contradicts.sum()) == (repeated, conflicts)
    assert count(Repeats.of(*splits["dev"], splits["train"]))[2] == in_train
    # A run compares tokens, to which accents are nothing, and takes less than a second.
    tokenizer = load_tokenizer(real_data / "albert_base_v2" / "spiece.model")
    features = {}
    for split in splits:
        link = tmp_path / f"{split}.tsv"  # The cache goes beside it.
        link.symlink_to(real_data / task.folder / f"{split}.tsv")
        features[split] = [load_features(task, link, split, tokenizer, 128)]
    begun = time.perf_counter()
    facts = log_data_check(task, tokenizer, features)
    assert time.perf_counter() - begun < 1
    assert (facts["train"]["duplicates"], facts["train"]["conflicts"]) == (tokens, conflicts)
    assert facts["dev_in_train"] == in_train


def check(tmp_path, monkeypatch, capsys, *words):
    """Run the command in this process; return its status, standard output, and error output."""
    monkeypatch.chdir(tmp_path)
    on_signal = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        status = check_data.main([str(word) for word in words])
    except SystemExit as end:
        status = end.code
    finally:
        for number, handler in on_signal.items():
            signal.signal(number, handler)
    return status, *capsys.readouterr()


@pytest.fixture
def checked(tmp_path, monkeypatch, capsys):
    return partial(check, tmp_path, monkeypatch, capsys)


OWN = ("--task_name", "custom", "--train_file", "t.csv")
FILM = ("fine film", "a good story", "we loved it", "wonderful acting", "warm and moving")
DULL = ("dull film", "a bad story", "we hated it", "terrible acting", "cold and tired")


def write_csv(path, *rows, header=("text", "label")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def test_the_command_tells_what_a_training_would_stumble_over(checked, tmp_path, vocabulary):
    write_csv(
        tmp_path / "t.csv", ("A film", "yes"), ("a  film", "no"), ("other", "yes"), ("", "no")
    )
    write_csv(tmp_path / "d.csv", ("a film", "maybe"), ("new", "yes"), ("new", "yes"))
    flags = (*OWN, "--dev_file=d.csv", "--text_columns=text")
    status, said, _ = checked(*flags, "--spm_model_file", vocabulary, "--max_seq_length=5")
    assert status == 0
    for line in (
        "train: t.csv, 4 rows",
        '  classes: "no" (2), "yes" (2), always "no" would be right for 50.0 %',
        "  repeated texts: 1 row, 1 of them with another label",
        "    line 3: no, and yes on line 2: a film",
        "  empty texts: 1 row, the first on line 5",
        '  labels that a training would not know: "maybe" (1)',
        "  also in train: 1 row, 1 of them with another label",
        "    line 2: maybe, and yes on line 2 of train: a film",
    ):
        assert f"{line}\n" in said
    assert " cut to --max_seq_length 5; " in said
    status, said, _ = checked(*flags, "--json")
    found = json.loads(said)
    assert (status, found["vocabulary"], found["refused"]) == (0, None, None)
    train, dev = found["splits"]["train"], found["splits"]["dev"]
    assert (train["duplicates"], train["in_train"], train["empty"]) == (1, None, [5])
    assert (dev["duplicates"], dev["conflicts"], dev["in_train"]) == (1, [], 1)
    assert (dev["unknown_labels"], dev["unit"], dev["cut"]) == ({"maybe": 1}, "characters", None)
    assert dev["in_train_conflicts"][0]["other_label"] == "yes"
    assert sum(rows for *_, rows in train["histogram"]) == 4


def test_labels_of_other_kinds_are_counted(checked, tmp_path):
    rows = ("a", "b", "2.5"), ("b", "A", "2"), ("c", "d", "x")
    write_csv(tmp_path / "t.csv", *rows, header=("p", "q", "label"))
    status, said, _ = checked(*OWN, "--text_columns=p,q", "--regression")
    assert (status, "  no numbers: 1 row, the first on line 4\n" in said) == (0, True)
    assert "  repeated texts: 1 row, 1 of them with another label\n" in said
    assert "no vocabulary in ./prev_trained_model/albert_base_v2: what is cut" in said
    write_csv(tmp_path / "t.csv", ("a", "x,y"), ("a", "y, x"), ("c", ""))
    status, said, _ = checked(*OWN, "--text_columns=text", "--multi_label")
    assert (status, '  labels: "x" (2), "y" (2), 1.3 a row\n' in said) == (0, True)
    assert "  repeated texts: 1 row\n" in said
    write_csv(tmp_path / "t.csv", ("a", "yes"), ("b", "Yes"))
    status, said, _ = checked(*OWN, "--text_columns=text")
    assert (status, "a training would end with: t.csv: the classes 'yes'" in said) == (0, True)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("--task_name=custom",),
            "--task_name custom needs --train_file, --dev_file or --test_file",
        ),
        (OWN, "t.csv is missing"),
        (("--data_dir=none",), "none/train.tsv is missing; none/dev.tsv"),
        ((*OWN, "--output=o.csv"), "--output is where the suspects go: give --suspects as well"),
        ((*OWN, "--suspects", "--output=o.xlsx"), "--output o.xlsx: a table is written as CSV"),
        (("--task_name=custom", "--dev_file=d.csv", "--suspects"), "--suspects ranks the rows of"),
        (
            ("--task_name=custom", "--dev_file=d.csv", "--spm_model_file=x"),
            "x is missing: name another",
        ),
    ],
)
def test_wrong_usage_is_one_line(checked, tmp_path, words, line):
    write_csv(tmp_path / "d.csv", ("a", "b"), header=("sentence", "label"))
    status, _, error = checked(*words)
    assert (status, error.count("\n"), line in error) == (2, 1, True), error


def test_a_label_that_others_speak_against_is_a_suspect(checked, tmp_path):
    rows = [(f"{text} {word}", "+") for word in ("now", "then", "here") for text in FILM]
    rows += [(f"{text} {word}", "-") for word in ("now", "then", "here") for text in DULL]
    rows += [(FILM[0], "-"), (FILM[0].upper(), "-"), ("one of its own", "?")]
    write_csv(tmp_path / "t.csv", *rows)
    flags = (*OWN, "--text_columns=text", "--suspects", "--output=o.jsonl")
    status, said, _ = checked(*flags)
    assert status == 0
    found = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    # Two rows of the same text do not speak for each other; of a class of one nothing is said.
    assert sorted(row["line"] for row in found[:2]) == [32, 33]
    assert {(row["label"], row["suggested"]) for row in found[:2]} == {("-", "+")}
    assert all(row["label"] != "?" and row["probability"] < 0.5 for row in found)
    assert f"  line {found[0]['line']}: - (0." in said
    assert f"o.jsonl: {len(found)} rows\n" in said
    status, _, error = checked(*flags)
    assert (status, "--output o.jsonl is there" in error) == (2, True)
    write_csv(tmp_path / "t.csv", *rows[:3], ("other", "-"))
    status, _, error = checked(*flags[:-1])
    assert (status, "t.csv: fewer than two classes have 5 texts or more" in error) == (1, True)


def test_numbers_and_sets_of_labels_have_suspects():
    texts = [f"{text} {n}" for n in range(4) for text in (*FILM, *DULL)]
    good = [n % 10 < 5 for n in range(40)]
    numbers = [4.0 if is_good else 1.0 for is_good in good]
    numbers[0] = 0.0
    task = custom_task({"train": "t", "dev": None, "test": None}, ("text",), "label", True)
    first, *others = find_suspects(task, [texts], numbers)
    assert (first.row, first.label, first.probability, len(others)) == (0, 0.0, None, 39)
    assert first.suggested > 2
    labels = [["film", "good"] if is_good else ["film"] for is_good in good]
    labels[7].append("good")
    task = as_multi_label(replace(task, labels=("film", "good")), ",")
    found = [(s.row, s.label, s.suggested) for s in find_suspects(task, [texts], labels)]
    assert (7, "good", "not good") in found
    assert not [names for *_, names in found if "film" in names]  # All have that label.
    pairs = replace(task, texts=("p", "q"), labels=None, label_separator=None)
    same = [[a, b] for a in texts[:20] for b in (a, texts[-1])]
    numbers = [5.0 * (a == b) for a, b in same]
    numbers[0] = 0.0
    assert find_suspects(pairs, list(zip(*same, strict=True)), numbers)[0].row == 0


def test_a_histogram_has_few_bars_and_all_rows():
    bars = length_bars(np.array([3] * 500 + [41] * 500 + [5000]))
    assert [bar for bar in bars if bar[2]] == [(0, 4, 500), (40, 44, 500), (45, None, 1)]
    assert length_bars(np.array([0, 0])) == [(0, 0, 2)]
