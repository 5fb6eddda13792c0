"""tools/predict.py reads the tables that training reads, and gives them back with its predictions."""

import csv
import io
import json

import pytest
from test_formats import lines, parquet, write

from model.configuration_albert import AlbertConfig


@pytest.fixture
def columns_of(small_model):
    """Return a function that writes a model's folder which says what columns it was trained with."""

    def make(*names, **others):
        folder = small_model(len(names) == 2, **others)
        config = AlbertConfig.from_file(folder)
        config.set_text_columns(names)
        (folder / "config.json").write_text(config.to_json())
        return folder

    return make


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


CSV = (
    'id,review,note\r\n007,"good, ""really""\r\nyes",x\r\n8,,\r\n9,  ," kept "\r\n10,dull,\r\n\r\n'
)


def test_a_table_comes_back_with_all_its_columns(columns_of, ask, tmp_path):
    folder = columns_of("review")
    write(tmp_path, "new.csv.gz", CSV)
    status, shown, errors = ask(folder, "--file", "new.csv.gz")
    assert (status, errors) == (0, "")
    assert [record["id"] for record in shown] == [2, 4, 5, 6]
    status, _, errors = ask(
        folder, "--file", "new.csv.gz", "--output", "deep/scored.csv", shows=False
    )
    assert (status, errors) == (0, "")
    found = rows_of(tmp_path / "deep" / "scored.csv")
    given = list(csv.reader(io.StringIO(CSV, newline="")))[:-1]
    assert [row[:3] for row in found] == given
    added = ["prediction", "probability_bad", "probability_good"]
    assert found[0][3:] == added
    for row, record in zip(found[1:], shown, strict=True):
        if record["prediction"] is None:
            assert row[3:] == [""] * 3
        else:
            assert row[3] == record["prediction"]
            assert list(map(float, row[4:])) == pytest.approx([*record["probabilities"].values()])
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["scored.csv"]
    # As JSON lines the cells are the same text, and numbers are numbers.
    ask(folder, "--file", "new.csv.gz", "--output", "scored.jsonl", shows=False)
    records = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    assert [[record[name] for name in given[0]] for record in records] == given[1:]
    assert [r["prediction"] for r in records] == [r["prediction"] for r in shown]
    assert isinstance(records[0]["probabilities"]["bad"], float)


def test_records_keep_what_they_are(columns_of, ask, tmp_path):
    folder = columns_of("a", "b", labels=None)
    rows = [
        {"a": "the film", "n": 7, "b": "a sea", "tags": ["x", {"y": None}]},
        {"b": None, "a": "", "flag": True, "ratio": 0.25},
        {"a": 5, "b": "你好"},
    ]
    write(tmp_path, "new.jsonl", lines(*rows))
    status, _, errors = ask(folder, "--file", "new.jsonl", "--output", "out.jsonl", shows=False)
    assert (status, errors) == (0, "")
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    added = [(record.pop("prediction"), record.pop("score")) for record in found]
    assert found == rows
    assert [list(row) for row in found] == [sorted(row, key=order) for row in rows]
    assert added[1] == (None, None)
    assert all(isinstance(number, float) for pair in added[::2] for number in pair)
    assert added[0][0] == round(added[0][1], 3)
    ask(folder, "--file", "new.jsonl", "--output", "out.csv", shows=False)
    header, *cells = rows_of(tmp_path / "out.csv")
    assert header == ["a", "n", "b", "tags", "flag", "ratio", "prediction", "score"]
    assert cells[0][:6] == ["the film", "7", "a sea", '["x", {"y": null}]', "", ""]
    assert cells[1] == ["", "", "", "", "true", "0.25", "", ""]
    assert [float(cell) for cell in cells[2][6:]] == list(added[2])


def order(name):
    return ["a", "n", "b", "tags", "flag", "ratio"].index(name)


def test_semicolons_and_parquet_are_read_too(columns_of, ask, tmp_path):
    folder = columns_of("review")
    write(tmp_path, "new.csv", "review;x\na film;1\n")
    ask(folder, "--file", "new.csv", "--output", "out.csv", shows=False)
    assert rows_of(tmp_path / "out.csv")[1][:2] == ["a film", "1"]
    write(tmp_path, "new.parquet", parquet({"x": [[1], None], "review": ["a film", None]}))
    ask(folder, "--file", "new.parquet", "--output", "out.jsonl", shows=False)
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(r["x"], r["review"], r["prediction"] is None) for r in found] == [
        ([1], "a film", False),
        (None, None, True),
    ]


def test_lines_come_back_with_their_numbers(columns_of, ask, tmp_path):
    flags = ("--file", "t.txt", "--output", "out.csv")
    write(tmp_path, "t.txt", '"quoted\n\na film\n')
    status, _, errors = ask(columns_of("review"), *flags, shows=False)
    assert (status, errors) == (0, "")
    header, *rows = rows_of(tmp_path / "out.csv")
    assert header[:3] == ["id", "text", "prediction"]
    assert [row[:2] for row in rows] == [["1", '"quoted'], ["2", ""], ["3", "a film"]]


@pytest.mark.parametrize(
    ("words", "text", "status", "line"),
    [
        (["--output", "t.csv"], "review\na\n", 2, "--output t.csv is there: name another, or move it"),
        (["--output", "o.xlsx"], "review\na\n", 2, "--output o.xlsx: a table is written as CSV"),
        (["--output", "o.csv.gz"], "review\na\n", 2, "--output o.csv.gz: a table is written as CSV"),
        (["--output", "o.csv"], "review,prediction\na,1\n", 1,
         "the table has a column 'prediction' already, which o.csv would get beside it: rename it there"),
        (["--output", "o.csv"], "probability_bad,review\na,1\n", 1, "a column 'probability_bad' already"),
        (["--output", "o.jsonl"], "x,review,x\n1,a,2\n", 1,
         "the table has 2 columns 'x', and JSON has each name once: write a .csv file, or rename one"),
        (["--output", "t.csv/o.csv"], "review\na\n", 1, "t.csv is no folder"),
        ([], "text\na\n", 1, "t.csv, line 1: no column 'review' among 'text': a header line with review "
         "is needed; --text_columns says which"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_one_line(columns_of, ask, tmp_path, words, text, status, line):
    write(tmp_path, "t.csv", text)
    found, _, errors = ask(columns_of("review"), "--file", "t.csv", *words)
    assert (found, errors.count("\n")) == (status, 1)
    assert line in errors
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["t.csv"]
    assert (tmp_path / "t.csv").read_text() == text


def test_columns_of_the_same_name_stay_in_a_csv(columns_of, ask, tmp_path):
    write(tmp_path, "t.csv", "x,review,x\n1,a,2\n")
    ask(columns_of("review"), "--file", "t.csv", "--output", "o.csv", shows=False)
    assert [row[:3] for row in rows_of(tmp_path / "o.csv")] == [
        ["x", "review", "x"],
        ["1", "a", "2"],
    ]
