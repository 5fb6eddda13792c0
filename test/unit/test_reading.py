"""Tables are read as they are, and what is wrong with one is said with its line."""

import pytest
from helpers import rows_of

from processors.glue import TASKS
from processors.reading import read_examples

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
    text = '\ufeffid,sentence,label\r\n1,"one, two",1\r\n\r\n2,"a ""b""\nand c",0\r\n'
    assert rows_of(read_examples(SST2, write(tmp_path, text, "file.CSV"), "dev")) == [
        ("one, two", None, 1),
        ('a "b"\nand c', None, 0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("sentence\tlabel\n", "has a header but no examples"),
        ("good\t1\nbad\t0\n", "line 1: no column sentence and label"),
        ("sentence\tlabel\ngood\t1\nbad\n", "line 3: 1 tab-separated columns, not 2"),
        ("sentence\tlabel\ngood\t2\n", "line 2: label '2' is not one of 0, 1"),
        ("sentence\tlabel\rgood\t1\r", "lines end in CR alone"),
        ("sentence\tlabel\tlabel\ngood\t1\t0\n", "line 1: there are 2 columns label"),
        ("x" * 5000 + "\n", "line 1: no column sentence and label among x{200}…:"),
        (b"sentence\tlabel\ngood\t1\nb\xe4d\t0\n", "line 3: not UTF-8"),
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
        ('sentence,label\n"never closed,1\n', "line 2: no valid CSV"),
        ('sentence,label\n"a" b,1\n', "line 2: no valid CSV"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_said_too(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_examples(SST2, write(tmp_path, text, "file.csv"), "dev")


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
