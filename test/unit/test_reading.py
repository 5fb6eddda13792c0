"""Tables are read as they are, and what is wrong with one is said with its line."""

import gzip
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import rows_of

from processors.custom import custom_task, with_labels
from processors.glue import TASKS
from processors.reading import read_examples, read_index

SST2, STSB = TASKS["sst-2"], TASKS["sts-b"]


def write(tmp_path, text, name="file.tsv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_single_sentences(tmp_path):
    path = write(tmp_path, "sentence\tlabel\ngood \t1\nbad\t0\n")
    assert rows_of(read_examples(SST2, path, "dev")) == [("good ", None, 1), ("bad", None, 0)]


def test_pairs_with_a_number(tmp_path):
    path = write(tmp_path, "index\tsentence1\tsentence2\tscore\n0\ta\tb\t3.800\n")
    assert rows_of(read_examples(STSB, path, "train")) == [("a", "b", 3.8)]


def test_a_test_file_needs_no_labels(tmp_path):
    path = write(tmp_path, "index\tsentence\n0\tgood\n")
    assert rows_of(read_examples(SST2, path, "test")) == [("good", None, None)]


def test_quotes_windows_line_ends_and_odd_separators_are_text(tmp_path):
    path = write(tmp_path, '\ufeffsentence\tlabel\r\n"half a quote\t1\r\na\x0b\u2028b\t0\r\n\r\n')
    texts = read_examples(SST2, path, "dev").texts_a
    assert texts == ['"half a quote', "a\x0b\u2028b"]


def test_quotes_in_a_csv_file_hold_commas_and_line_ends(tmp_path):
    text = '\ufeffid,sentence,label\r\n1,"one, two",1\r\n2,"a ""b""\nand c",0\r\n'
    assert rows_of(read_examples(SST2, write(tmp_path, text, "file.CSV"), "dev")) == [
        ("one, two", None, 1),
        ('a "b"\nand c', None, 0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: copy or download it again, or give another"),
        ("sentence\tlabel\n", "has a header but no examples: add a row for each, or give another"),
        ("good\t1\nbad\t0\n", "line 1: no column 'sentence' and 'label' among 'good', '1'"),
        ("sentence\tlabel\ngood\t1\nbad\n", "line 3: 1 tab-separated columns, not 2"),
        ("sentence\tlabel\ngood\t2\n", "line 2: label '2' is not one of '0', '1'"),
        ("sentence\tlabel\rgood\t1\r", "lines end in CR alone"),
        ("sentence\tlabel\tlabel\ngood\t1\t0\n", "line 1: 2 columns 'label' among"),
        ("x" * 5000 + "\n", "no column 'sentence' and 'label' among 'x{199}…:"),
        (b"sentence\tlabel\ngood\t1\nb\xe4d\t0\n", "line 3: not UTF-8"),
        (
            "text\tlabel\tlabel\n",
            "no column 'sentence' and 2 columns 'label' among 'text', 'label'",
        ),
        (
            '"sentence"\tlabel\n',
            r"\('\"sentence\"' is not 'sentence': spaces, quotes and case count",
        ),
        (" sentence\tLabel\n", r"\(' sentence' is not 'sentence', 'Label' is not 'label': spaces"),
        ("\nsentence\tlabel\n", "line 1: a blank line, where the names of the columns"),
        ("sentence\tlabel\na\t1\n\n\nb\t0\n\n", "line 3: a blank line between rows: take it out"),
        (
            "sentence\tlabel\na\tb\t1\n",
            "line 2: 3 tab-separated columns, not 2: a cell cannot hold",
        ),
        ("sentence\tlabel\na\x00b\t1\n", "line 2: a NUL character: the file is damaged"),
        ("sentence\tlabel\na\t1 \n", "line 2: label '1 ' is not one of '0', '1'"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as caught:
        read_examples(SST2, path, "dev")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentence,label\ngood\n", "line 2: 1 comma-separated columns, not 2"),
        ('sentence,label\n"a\nb",1\nc,5\n', "line 4: label '5' is not one of"),
        (
            'sentence,label\n"a" b,1\n',
            "line 2: no valid CSV: a cell goes on after the quote that closes",
        ),
        ("sentence,label\na, b,1\n", "line 2: 3 .* not 2: put quotes around a cell with a comma"),
        ("sentence,label\na,1\n\nb,0\n", "line 3: a blank line between rows: take it out"),
        ("sentence,label\na\rb,1\n", "line 2: no valid CSV: a CR alone outside of quotes"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_said_too(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_examples(SST2, write(tmp_path, text, "file.csv"), "dev")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["good,1", '"never closed,1', *["fine,0"] * 50],
            "line 3: no valid CSV: a quote that opens in the row that begins here is never closed",
        ),
        (
            ["good,1", '"never closed,1', "fine,0", '"said ""yes""",1', "fine,0"],
            r"line 3: no valid CSV: .* \(on line 5; the quote may be open since line 3\)",
        ),
    ],
)
def test_an_unclosed_quote_is_found_where_it_opens(tmp_path, rows, message):
    path = write(tmp_path, "\n".join(["sentence,label", *rows, ""]), "file.csv")
    with pytest.raises(ValueError, match=message):
        read_examples(SST2, path, "dev")


ONE = custom_task({"train": None, "dev": None, "test": "t"}, ("sentence",), "label", False)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        (["a", "", "b", ""], ["a", "", "b"]),
        (["a", "b"], ["a", "b"]),
        (["a", "", "", ""], ["a", "", ""]),
        (["", ""], [""]),
    ],
)
def test_a_blank_line_of_a_single_column_is_an_empty_text(
    tmp_path, caplog, name, end, lines, texts
):
    """So that predictions stand in the order and number of the file's rows."""
    path = write(tmp_path, end.join(["sentence", *lines]), name)
    assert read_examples(ONE, path, "test").texts_a == texts
    empty = texts.count("")
    assert (f"{empty} of {len(texts)} examples have an empty text" in caplog.text) == (empty > 0)


@pytest.mark.parametrize(("name", "mark"), [("t.csv", ","), ("t.tsv", "\t")])
def test_blank_lines_at_the_end_of_several_columns_are_no_rows(tmp_path, name, mark):
    text = f"sentence{mark}label\r\na{mark}1\r\n\r\n\n"
    assert rows_of(read_examples(SST2, write(tmp_path, text, name), "dev")) == [("a", None, 1)]


@pytest.mark.parametrize(("name", "mark"), [("t.csv", ","), ("t.tsv", "\t")])
def test_lines_of_spaces_are_blank(tmp_path, name, mark):
    text = f"sentence{mark}label\na{mark}1\n  \n \u3000 "
    assert rows_of(read_examples(SST2, write(tmp_path, text, name), "dev")) == [("a", None, 1)]
    path = write(tmp_path, f"{text}\nb{mark}0\n", name)
    with pytest.raises(ValueError, match="line 3: a blank line between rows: take it out"):
        read_examples(SST2, path, "dev")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("first", ["sep=,", '"sep=,"', "SEP=,", "\ufeff\ufeffsep=,"])
def test_excels_own_first_line_is_no_header(tmp_path, first, end):
    path = write(tmp_path, end.join([first, "sentence,label", "a,1", "b"]), "t.csv")
    with pytest.raises(ValueError, match="t.csv, line 4: 1 comma-separated columns, not 2"):
        read_examples(SST2, path, "dev")
    path = write(tmp_path, end.join([first, "sentence,label", "a,1", ""]), "t.csv")
    assert rows_of(read_examples(SST2, path, "dev")) == [("a", None, 1)]
    path = write(tmp_path, end.join([first, "text,label", "a,1", ""]), "t.csv")
    with pytest.raises(
        ValueError, match="t.csv, line 2: no column 'sentence' among 'text', 'label'"
    ):
        read_examples(SST2, path, "dev")


def test_excels_first_line_names_another_separator(tmp_path):
    own, text = replace(SST2, own_files=True), 'sep=;\nsentence;label\n"a; b, c";1\n'
    assert read_examples(own, write(tmp_path, text, "t.csv"), "dev").texts_a == ["a; b, c"]
    path = write(tmp_path, text)
    words = (
        f"{path}, line 1: 'sep=;': its columns are separated by semicolons: convert it: python -c"
    )
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        read_examples(SST2, path, "dev")
    command = str(caught.value).partition("convert it: python")[2]
    subprocess.run(f"{shlex.quote(sys.executable)}{command}", shell=True, check=True)
    path = tmp_path / "file.tabs.tsv"
    path.write_text(path.read_text().partition("\n")[2])
    assert read_examples(SST2, path, "dev").texts_a == ["a; b, c"]
    path = write(tmp_path, "sep=,\nsentence,label\na,1\n", "t.txt")
    with pytest.raises(ValueError, match="separated by commas: rename it to t.csv"):
        read_examples(own, path, "dev")
    path = write(tmp_path, "sep=^\nsentence^label\na^1\n", "t.csv")
    with pytest.raises(ValueError, match="separated by '\\^': convert it: python -c"):
        read_examples(own, path, "dev")


def test_a_doubled_byte_order_mark_is_no_text(tmp_path):
    path = write(tmp_path, "\ufeff\ufeffsentence\tlabel\na\t1\n")
    assert rows_of(read_examples(SST2, path, "dev")) == [("a", None, 1)]


def test_a_csv_file_of_an_old_mac(tmp_path):
    path = write(tmp_path, 'sentence,label\ra,1\r"b, c",0\r', "file.csv")
    assert read_examples(SST2, path, "dev").texts_a == ["a", "b, c"]


@pytest.mark.parametrize(
    ("name", "header", "remedy"),
    [
        ("t.txt", "id,sentence", "separated by commas: rename it to t.csv"),
        ("t.tsv", 'id,"sentence"', "separated by commas: rename it to t.csv"),
        ("t.csv", "id\tsentence", "separated by tabs: rename it to t.tsv"),
        ("t.csv.gz", "id\tsentence", "separated by tabs: rename it to t.tsv.gz"),
    ],
)
def test_another_separator_is_named_with_the_remedy(tmp_path, name, header, remedy):
    data = f"{header}\n1,a\n".encode()
    path = write(tmp_path, gzip.compress(data) if name.endswith("gz") else data, name)
    with pytest.raises(
        ValueError, match=f"no column 'sentence' among .*: its columns are {remedy}"
    ):
        read_examples(ONE, path, "test")


@pytest.mark.parametrize("mark", [",", ";", "|"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_the_command_that_converts_a_table_does_so(tmp_path, mark, packed):
    data = f'id{mark}sentence\r\n1{mark}"a {mark} ""b"""\r\n'.encode()
    path = write(tmp_path, gzip.compress(data) if packed else data, f"t.tsv{packed}")
    with pytest.raises(ValueError, match="separated") as caught:
        read_examples(SST2, path, "test")
    command = str(caught.value).split(" convert it: ")[1].replace("python", sys.executable, 1)
    subprocess.run(command, shell=True, check=True)
    new = Path(shlex.split(command)[-1])
    assert read_examples(SST2, new, "test").texts_a == [f'a {mark} "b"']


@pytest.mark.parametrize("name", ["t.csv", "t.txt", "t.tsv"])
@pytest.mark.parametrize("mark", [";", "|"])
def test_semicolons_and_bars_are_read_where_the_header_has_them(tmp_path, name, mark):
    text = f'sentence{mark}label\n"a{mark}, ""b"""{mark}x\n{mark}y\n'
    path = write(tmp_path, text, name)
    task = custom_task(
        {"train": str(path), "dev": None, "test": None}, ("sentence",), "label", False
    )
    task = with_labels(task, ".")
    assert rows_of(read_examples(task, path, "dev")) == [(f'a{mark}, "b"', None, 0), ("", None, 1)]
    word = {";": "semicolon", "|": "bar"}[mark]
    with pytest.raises(ValueError, match=f"line 3: 3 {word}-separated columns, not 2: put quotes"):
        read_examples(task, write(tmp_path, f"{text[:-3]}a{mark}b{mark}x\n", name), "dev")
    with pytest.raises(ValueError, match="line 2: no valid CSV: a cell goes on after the quote"):
        read_examples(task, write(tmp_path, f'sentence{mark}label\n"a" b{mark}x\n', name), "dev")
    with pytest.raises(ValueError, match="line 1: no column 'sentence' among 'text', 'label'"):
        read_examples(task, write(tmp_path, f"text{mark}label\na{mark}x\n", name), "dev")


def test_a_header_of_its_own_separator_is_no_other(tmp_path):
    path = write(tmp_path, "sentence,a;b\n1;2,3\n", "t.csv")
    assert read_examples(ONE, path, "test").texts_a == ["1;2"]
    path = write(tmp_path, "sentence\na; b\n", "t.csv")
    assert read_examples(ONE, path, "test").texts_a == ["a; b"]


def test_a_table_without_a_header_is_told_from_its_rows(tmp_path):
    path = write(tmp_path, "甲,乙,1\n", "train.tsv")
    with pytest.raises(
        ValueError, match="line 1: 1 tab-.* separated by commas: convert it"
    ) as caught:
        read_examples(TASKS["lcqmc"], path, "train")
    assert f"{path}, line 1" in str(caught.value)


def test_one_class_alone_is_nothing_to_learn(tmp_path):
    path = write(tmp_path, "sentence\tlabel\na\t1\nb\t1\n")
    with pytest.raises(ValueError, match="every label is '1': there is nothing to learn; add"):
        read_examples(SST2, path, "train")
    assert len(read_examples(SST2, path, "dev")) == 2


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["pos", "neg", "pos ", "pos"], "'pos' (2 rows, first on line 2) and 'pos ' (1 rows"),
        (
            ["pos", "neg", "Pos"],
            "'pos' (1 rows, first on line 2) and 'Pos' (1 rows, first on line 4)",
        ),
        (["off topic", "on", "off  topic"], "'off topic' (1 rows"),
        (["pos", "neg", "pos\u200b"], "and 'pos\\u200b' (1 rows"),
    ],
)
def test_classes_that_look_alike_are_refused(tmp_path, names, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        with_labels(task_with_classes(tmp_path, names), ".")
    assert "differ in spaces or case only" in str(caught.value)


@pytest.mark.parametrize(
    "names", [["a", "\uff41"], ["1", "\uff11"], ["\xe9t\xe9", "e\u0301te\u0301"]]
)
def test_classes_of_the_same_letters_stored_otherwise_are_refused(tmp_path, names):
    words = "differ in how wide letters are or how accents are stored only: spell them alike"
    with pytest.raises(ValueError, match=words):
        with_labels(task_with_classes(tmp_path, names), ".")


@pytest.mark.parametrize(
    "names",
    [
        ("m2", "m\xb2"),
        ("Masse", "Ma\xdfe"),
        ("1", "\u2460"),
        ("\U0001f469\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
    ],
)
def test_classes_that_people_tell_apart_are_two(tmp_path, names):
    assert set(with_labels(task_with_classes(tmp_path, names), ".").labels) == set(names)


def task_with_classes(folder, names):
    rows = "".join(f"text,{name}\n" for name in names)
    path = write(folder, f"sentence,label\n{rows}", "file.csv")
    files = {"train": str(path), "dev": None, "test": None}
    return custom_task(files, ("sentence",), "label", False)


def test_a_test_file_names_its_rows(tmp_path):
    path = write(tmp_path, "index\tsentence\n17\ta\n5\tb\n")
    assert read_index(SST2, path) == ["17", "5"]
    assert read_index(SST2, write(tmp_path, "sentence\na\n")) is None
    path = write(tmp_path, "id\tquestion1\tquestion2\n3\ta\tb\n")
    assert read_index(TASKS["qqp"], path) == ["3"]
    path = write(tmp_path, 'index,sentence\n0,a\n"1\n",b\n', "file.csv")
    with pytest.raises(ValueError, match="line 3: index '1.n' cannot name a row"):
        read_index(SST2, path)


@pytest.mark.parametrize("score", ["high", "nan", "", "1e300"])
def test_a_target_must_be_a_number(tmp_path, score):
    path = write(tmp_path, f"sentence1\tsentence2\tscore\na\tb\t{score}\n")
    with pytest.raises(ValueError, match="line 2: score .* is not a number that fp32 can hold"):
        read_examples(STSB, path, "dev")


def test_real_files(real_data):
    counts = {"train": 67349, "dev": 872, "test": 1821}
    for split, count in counts.items():
        assert len(read_examples(SST2, real_data / "SST-2" / f"{split}.tsv", split)) == count
    counts = {"train": 5749, "dev": 1500, "test": 1379}
    for split, count in counts.items():
        assert len(read_examples(STSB, real_data / "STS-B" / f"{split}.tsv", split)) == count
