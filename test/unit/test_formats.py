"""JSON lines, Parquet and what gzip packs are read as other tables are, and refused in one line."""

import gzip
import io
import json
import math
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing import fuzz, mutate
from helpers import rows_of

from processors.custom import custom_task, with_labels
from processors.glue import TASKS
from processors.reading import read_examples, read_index
from processors.tables import read_whole_table

NO_FILES = {"train": None, "dev": None, "test": None}
PAIRS = custom_task(NO_FILES, ("a", "b"), "label", True)


PAIR = custom_task(NO_FILES, ("text", "label"), "x", False)


def own_task(path):
    return custom_task({**NO_FILES, "train": str(path)}, ("text",), "label", False)


def packed(data):
    """Return what gzip makes of ``data``, the same at any time."""
    return gzip.compress(data, mtime=0)


def write(folder, name, data):
    path = folder / name
    data = data if isinstance(data, bytes) else data.encode()
    path.write_bytes(packed(data) if name.endswith(".gz") else data)
    return path


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize(
    "name", ["t.jsonl", "t.ndjson", "t.json", "t.JSONL", "t.jsonl.gz", "t.json.gz"]
)
def test_json_lines_are_read_by_their_keys(tmp_path, name):
    text = '{"label": 1, "text": "a \\"b\\"\\n\\u4f60"}\r\n{"text": null, "label": 2, "x": [1]}\r\n\r\n'
    path = write(tmp_path, name, "\ufeff" + text)
    task = with_labels(own_task(path), ".")
    assert task.labels == ("1", "2")
    assert rows_of(read_examples(task, path, "train")) == [('a "b"\n你', None, 0), ("", None, 1)]
    numbers = write(tmp_path, name, lines({"a": "x", "b": True, "label": 1.5}))
    assert rows_of(read_examples(PAIRS, numbers, "dev")) == [("x", "true", 1.5)]
    whole = read_whole_table(task, path := write(tmp_path, name, text), ("text",))
    assert (whole.header, whole.numbers) == (["label", "text", "x"], [1, 2])
    assert (whole.columns[0], whole.columns[2][1]) == ([1, 2], [1])
    path = write(tmp_path, name, text.encode("utf-16"))
    with pytest.raises(ValueError, match="line 1: not UTF-8, probably UTF-16: give --encoding"):
        read_examples(task, path, "train")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", " is empty"),
        ("\n\n", " is empty"),
        ('{"text": "a"}\n\n{"text": "b"}', ", line 2: a blank line between rows"),
        ('{"text": "a"}\n{"text": "b"', ", line 2: no valid line of JSON: Expecting ',' delimiter at"),
        ('{"text": "a"}\n["b"]', ", line 2: no valid line of JSON: it is no object, {…}, with the"),
        ('{"text": "a"}\n{"text": "b", "text": "c"}', ", line 2: .*: the key 'text' is there twice"),
        ('{"text": "\\ud800"}', ", line 1: no valid line of JSON: half of a character"),
        ('{"text": "a\\u0000"}', ", line 1: column 'text' has a NUL character in it"),
        ('{"text": "a"}\n{"text": ["b"]}', ", line 2: column 'text' has a list, and no text"),
        ('{"text": "a"}\n{"txt": "b"}', ", line 2: column 'text' has no value"),
        ('{"Text": "a"}', r", line 1: no column 'text' among 'Text' \('Text' is not 'text': .*: records"),
        ("[" * 100_000, ", line 1: no valid line of JSON: it is nested too deeply"),
        ('{"text": ' + "1" * 5000 + "}", ", line 1: no valid line of JSON: "),
        ('[\n{"text": "a"},\n{"text": "b"}\n]\n', " is a JSON file: write it as CSV, with pandas"),
        ('[{"text": "a"}]', " is a JSON file: write it as CSV"),
        ("<!DOCTYPE html>\n<title>404</title>", " is a web page: download the file itself"),
        ("text\na\n", ", line 1: no valid line of JSON: Expecting value at character 1"),
        ('{"text": "a"}\r{"text": "b"}\r', ": its lines end in CR alone"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_json_lines_is_one_line(tmp_path, text, words):
    path = write(tmp_path, "t.jsonl", text)
    with pytest.raises(ValueError, match=f"^{path}{words}") as caught:
        read_examples(own_task(path), path, "test")
    assert len(str(caught.value)) < 1000


def test_numbers_that_are_none_are_empty(tmp_path):
    path = write(tmp_path, "t.jsonl", '{"a": NaN, "b": 1e999, "label": 2}\n')
    assert rows_of(read_examples(PAIRS, path, "dev")) == [("", "", 2.0)]
    path = write(tmp_path, "t.jsonl", '{"a": "", "b": "", "label": null}\n')
    with pytest.raises(ValueError, match="line 1: label '' is not a number"):
        read_examples(PAIRS, path, "dev")


def test_a_record_is_named_by_its_own_index(tmp_path):
    path = write(
        tmp_path, "t.jsonl", lines({"index": 17, "text": "a"}, {"index": "x", "text": "b"})
    )
    assert read_index(own_task(path), path) == ["17", "x"]
    path = write(tmp_path, "t.csv.gz", "index;text\n5;a\n")
    assert read_index(own_task(path), path) == ["5"]


def test_packed_tables_are_read(tmp_path):
    csv = write(tmp_path, "t.csv.gz", 'text,label\n"a, b",1\nc,0\n')
    tsv = write(tmp_path, "t.tsv.gz", "text\tlabel\na, b\t1\nc\t0\n")
    for path in (csv, tsv):
        task = with_labels(own_task(path), ".")
        assert rows_of(read_examples(task, path, "train")) == [("a, b", None, 1), ("c", None, 0)]
    task = custom_task({**NO_FILES, "test": "a/new.csv.gz"}, ("text",), "label", False)
    assert task.submission_names == ("new",)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("t.csv.gz", packed(b"text\n" + b"a" * 99)[:-9], " is a gzip file that is cut off or da"),
        ("t.csv.gz", b"\x1f\x8b\x08", " is a gzip file that is cut off or damaged: copy or download it"),
        ("t.csv.gz", b"\x1f\x8b\x07aaaaaaaaaaaaaaaa", " is a gzip file that is cut off or damaged"),
        ("t.csv.gz", b"text\na\n", " is no gzip file, as its name says: take .gz off the name"),
        ("t.csv.gz", b"PK\x03\x04", r" is a zip archive \(such as an Excel workbook\) that is cut off"),
        ("t.csv.gz", b"", " is empty: copy"),
        ("t.csv.gz", packed(b'{"text": "a"}\n{"text": "b"}\n'), " is JSON lines: rename it"),
        ("t.csv", packed(b"text\na\n"), " is a gzip file: rename it to t.csv.gz$"),
        ("t.txt.gz", packed(packed(b"text\na\n")), " is a gzip file: gunzip it"),
        ("t.parquet", b"", " is empty: copy"),
        ("t.parquet", b"<!DOCTYPE html>\n<title>404</title>", " is a web page: download the file itself"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_packed_table_is_one_line(tmp_path, name, data, words):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"^{path}{words}"):
        read_examples(own_task(path), path, "test")


def test_the_command_that_converts_a_packed_table_does_so(tmp_path):
    path = write(tmp_path, "t.csv.gz", "text\nun film très émouvant\n".encode("cp1252"))
    with pytest.raises(ValueError, match="or convert it: gunzip -c") as caught:
        read_examples(own_task(path), path, "test")
    command = str(caught.value).split(" or convert it: ")[1]
    subprocess.run(command, shell=True, check=True)
    new = Path(shlex.split(command)[-1])
    assert new.name == "t.utf8.csv"
    assert read_examples(own_task(new), new, "test").texts_a == ["un film très émouvant"]


def test_glue_s_tables_are_tab_separated_whatever_they_hold(tmp_path):
    path = write(tmp_path, "t.tsv", "sentence;label\na;1\n")
    with pytest.raises(ValueError, match="separated by semicolons: convert it: python"):
        read_examples(TASKS["sst-2"], path, "dev")


def test_without_pyarrow_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = write(tmp_path, "t.parquet", b"PAR1\x15\x04\x15")
    with pytest.raises(
        ModuleNotFoundError, match="^.*t.parquet .*: python -m pip install pyarrow$"
    ):
        read_examples(own_task(path), path, "test")


def parquet(columns):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


@pytest.mark.parametrize("name", ["t.parquet", "t.pq", "t.parquet.gz"])
def test_parquet_is_read_by_its_columns(tmp_path, name):
    columns = {"x": [[1], []], "text": ["a\nb", None], "label": [1, 2], "y": [math.nan, 1.5]}
    path = write(tmp_path, name, parquet(columns))
    task = with_labels(own_task(path), ".")
    assert rows_of(read_examples(task, path, "train")) == [("a\nb", None, 0), ("", None, 1)]
    whole = read_whole_table(task, path, ("y",))
    assert (whole.header, whole.numbers, whole.texts) == (list(columns), [1, 2], [["", "1.5"]])
    assert (whole.columns[0], whole.columns[2]) == ([[1], []], [1, 2])
    path = write(tmp_path, name, parquet({"text": ["a", "b"], "label": ["x", ""]}))
    with pytest.raises(ValueError, match="^.*, record 2: the label is empty"):
        with_labels(own_task(path), ".")
    with pytest.raises(
        ValueError, match=f"^{path}: no column 'a' and 'b' among 'text', 'label': rec"
    ):
        read_examples(PAIRS, path, "test")


def test_damaged_parquet_is_one_line(tmp_path):
    data = parquet({"text": ["a"] * 100})
    for broken in (data[:-20], data[:40] + b"\xff" * 20 + data[60:], b"PAR1" + b"\0" * 50, b"PAR1"):
        path = write(tmp_path, "t.parquet", broken)
        with pytest.raises(
            ValueError, match=f"^{path} is no Parquet file that pyarrow can read"
        ) as it:
            read_examples(own_task(path), path, "test")
        assert "\n" not in str(it.value)
    path = write(tmp_path, "t.parquet", parquet({"text": []}))
    with pytest.raises(ValueError, match="has a header but no examples"):
        read_examples(own_task(path), path, "test")


def test_mutated_parquet_is_read_or_refused(tmp_path):
    data = parquet(
        {"x": [[1], None] * 9, "text": ["a film", "这部电影"] * 9, "label": [1.5, None] * 9}
    )
    path = tmp_path / "t.parquet"
    found = fuzz(
        path, lambda rng: mutate(data, rng), lambda: read_examples(PAIR, path, "test"), 500
    )
    assert found["refused"] > 50
