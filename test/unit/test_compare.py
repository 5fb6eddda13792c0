"""python -m tools.compare: the verdict, what it rests on, and which examples changed."""

import csv
import json

import numpy as np
import pytest

from tools import compare

NAMES = ("bad", "good")


@pytest.fixture
def say(capsys):
    """Call the command in this process; return its status, its lines and its error output."""

    def call(*words):
        try:
            status = compare.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return status, printed.out.splitlines(), printed.err

    return call


def write_run(folder, metrics, records, suffix="", first=2):
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    final = {"event": "eval", "model": "model", "loss": 0.5, **dict.fromkeys(metrics, 0.5)}
    (folder / "metrics.jsonl").write_text(json.dumps(final) + "\n")
    lines = [
        json.dumps(
            {"id": i, "text": f"film {i - first}\ttext", **record, "tokens": 5, "cut": False}
        )
        + "\n"
        for i, record in enumerate(records, start=first)
    ]
    (folder / "predictions" / f"dev{suffix}.jsonl").write_text("".join(lines))
    return folder


def classes(labels, predictions):
    """Return the records of binary predictions, 0 and 1."""
    odds = {1: {"bad": 0.2, "good": 0.8}, 0: {"bad": 0.6, "good": 0.4}}
    return [
        {"label": NAMES[label], "prediction": NAMES[said], "probabilities": odds[said]}
        for label, said in zip(labels, predictions, strict=True)
    ]


def flipped(values, rows):
    values = np.array(values)
    values[rows] = 1 - values[rows]
    return values


def test_the_better_of_two_classifiers_is_told(say, tmp_path):
    labels = np.arange(200) % 2
    a = flipped(labels, range(30))  # wrong on the first 30
    b = flipped(labels, [*range(12), 100, 101])  # right on 18 of those, and wrong on 2 others
    one = write_run(tmp_path / "one", ("acc", "f1"), classes(labels, a))
    two = write_run(tmp_path / "two", ("acc", "f1"), classes(labels, b))
    status, lines, _ = say(one, two, "--show=3", "--output", tmp_path / "changed.csv")
    assert status == 0
    verdict, acc, f1, test, changed, *examples, written = lines[2:]
    assert verdict.startswith("dev, 200 examples: B is better than A: acc differs by +0.0")
    assert acc.startswith(
        "  acc: A 0.850 (0.794 to 0.893), B 0.930 (0.886 to 0.958), B - A +0.080 (95 %"
    )
    assert f1.startswith("  f1: A 0.850 (")
    # Both ways together: 2 · (1 + 20 + 190) / 2 ** 20.
    assert test == "  right in A alone: 2; in B alone: 18; McNemar's exact test: p = 0.000402"
    assert changed == (
        "  predictions that changed: 20, by the line of each in its file; "
        "the first 3 (--all shows the rest)"
    )
    assert examples[0] == "    line 14: good → bad, is bad (now right): film 12 text"
    assert len(examples) == 3
    assert written == f"{tmp_path / 'changed.csv'}: 20 rows"
    rows = list(csv.reader((tmp_path / "changed.csv").open(newline="")))
    assert rows[0] == ["id", "text", "label", "A", "B", "change"]
    assert rows[-1] == ["103", "film 101\ttext", "good", "good", "bad", "now wrong"]
    _, other_way, _ = say(two, one, "--all")
    assert len(other_way) == len(lines) - 1 + 17
    assert "B is worse than A: acc differs by -0.1" in other_way[2]


def test_what_chance_may_have_done_is_called_so(say, tmp_path):
    labels = np.arange(440) % 2
    one = write_run(tmp_path / "one", ("acc",), classes(labels, flipped(labels, range(32))))
    two = write_run(tmp_path / "two", ("acc",), classes(labels, flipped(labels, range(10, 40))))
    _, lines, _ = say(one, two)  # 0.927 and 0.932
    none = "dev, 440 examples: No difference that these 440 examples can show: "
    assert lines[2] == f"{none}what there is may well be chance."
    assert "p = 0.815" in lines[4]
    assert say(one, one)[1][2] == f"{none}both say the same of each."


def test_runs_of_numbers_and_of_sets_are_compared_too(say, tmp_path):
    random = np.random.default_rng(0)
    labels = random.normal(size=120)
    for name, noise in (("one", 0.9), ("two", 0.3)):
        scores = labels + noise * random.normal(size=120)
        records = [
            {"label": label, "prediction": round(score, 3), "score": score}
            for label, score in zip(labels, scores, strict=True)
        ]
        write_run(tmp_path / name, ("pearson", "rmse"), records)
    _, lines, _ = say(tmp_path / "one", tmp_path / "two", "--show=1")
    assert "B is better than A: pearson differs by +0." in lines[2]
    assert [line.split(":")[0] for line in lines[3:6]] == [
        "  pearson", "  rmse", "  predictions that changed",
    ]  # fmt: skip
    for name, given in (("three", ["cast"]), ("four", ["plot", "cast"])):
        probabilities = {"cast": 0.9, "plot": 0.7}
        records = [{"label": ["cast", "plot"], "prediction": given, "probabilities": probabilities}]
        write_run(tmp_path / name, ("micro_f1", "macro_f1"), records * 40)
    _, lines, _ = say(tmp_path / "three", tmp_path / "four", "--show=1")
    assert "in B alone: 40;" in lines[5]
    assert lines[7] == "    line 2: cast → plot, cast, is cast, plot (now right): film 0 text"
    status, _, error = say(tmp_path / "one", tmp_path / "four")
    assert status == 2
    assert "of different tasks: one predicts numbers, the other any number of labels" in error


def test_runs_that_cannot_be_compared_are_refused_in_one_line(say, tmp_path):
    labels = np.arange(20) % 2
    one = write_run(tmp_path / "one", ("acc",), classes(labels, labels))
    cases = {
        "one of 20 examples, one of 19": classes(labels[:19], labels[:19]),
        "the label of line 2 is another": classes(1 - labels, labels),
        "the classes of one are bad, good, and of the other bad, fair, good": [
            {**record, "probabilities": {"bad": 1, "fair": 0, "good": 0}}
            for record in classes(labels, labels)
        ],
        "has no predictions/dev.jsonl": [],
        "two/predictions/dev.jsonl is damaged (record 20)": [
            *classes(labels[:19], labels[:19]),
            {"label": "bad", "prediction": 4, "probabilities": {"bad": 1}},
        ],
    }
    for said, records in cases.items():
        status, _, error = say(one, write_run(tmp_path / "two", ("acc",), records))
        assert (status, error.count("\n")) == (2, 1)
        assert said in error
    write_run(tmp_path / "two", ("acc",), classes(labels, labels))
    write_run(tmp_path / "two", ("acc", "acc_mm"), classes(labels, labels), "_mm")
    assert "one has two files of it" in say(one, tmp_path / "two")[2]
    assert "neither run.json nor metrics.jsonl" in say(one, tmp_path)[2]
    (tmp_path / "there.csv").touch()
    assert "--output" in say(one, one, "--output", tmp_path / "there.csv")[2]
    assert "name it .csv or .jsonl" in say(one, one, "--output", tmp_path / "new.xlsx")[2]


def test_the_same_examples_in_another_format_are_compared(say, tmp_path):
    """There an example begins on another line."""
    labels = np.arange(40) % 2
    for name, first in (("one", 2), ("two", 1)):
        write_run(tmp_path / name, ("acc",), classes(labels, labels), first=first)
    status, lines, _ = say(tmp_path / "one", tmp_path / "two")
    assert status == 0
    assert "dev, 40 examples: " in lines[2]
