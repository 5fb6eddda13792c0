"""Whatever is in a table or a text: a right result, or one line of ours that names the file.

ALBERT_FUZZ_CASES=1000000 python -m pytest test/unit/test_fuzz_tables.py tries more than the usual 10,000
of each kind; ALBERT_FUZZ_SEED takes others.
"""

import csv
import io
import logging
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fuzzing import CASES, SEED
from helpers import encode, make_examples, sentences
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_tokenization import by_the_rules

from processors.custom import custom_task, with_labels
from processors.data_kinds import name_binary, name_textual
from processors.features import build_features
from processors.glue import TASKS
from processors.reading import read_examples
from processors.sentences import sentences_of_text
from processors.text_files import decode

SOME = settings(
    max_examples=CASES // 50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

NO_FILES = {"train": None, "dev": None, "test": None}
# What is read of a table by its header: the task and the split.
KINDS = (
    (custom_task(NO_FILES, ("sentence",), "label", False), "test", ["sentence"]),
    (TASKS["sst-2"], "dev", ["sentence", "label"]),
    (TASKS["rte"], "test", ["index", "sentence1", "sentence2"]),
    (TASKS["sts-b"], "train", ["sentence1", "sentence2", "score"]),
)
CELLS = (
    "a fine film",
    "so, dull",
    'he said "yes"',
    "",
    " ",
    "这部电影很好看",
    "très émouvant",
    "0",
    "1",
    "2,013",
)
TOKENS = (
    *(b'"', b'""', b'",', b',"', b",", b"\t", b"\r", b"\n", b"\r\n", b"\n\n", b"\0", b";", b"|"),
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xe9",
        b"\xc4\xe3\xba\xc3",
        b"\xed\xa0\x80",
        b"\x1f\x8b",
        b"PK\x03\x04",
    ),
    *(
        "\u2028".encode(),
        "\x0b\x1c\x85".encode(),
        "\U0001f3ac".encode(),
        b'{"a": 1}\n',
        b"<html>",
        b"\x1a",
    ),
)
ENCODINGS = ("utf-8", "utf-8", "utf-8", "gb18030", "utf-16", "utf-16-le", "cp1252", "big5")


@pytest.fixture(scope="module", autouse=True)
def disk():
    """What files hold, by their paths: a disk quick enough for so many. Warnings are off."""
    files, on_disk = {}, Path.read_bytes
    logging.disable(logging.CRITICAL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda p: files[p] if p in files else on_disk(p))
        yield files
    logging.disable(logging.NOTSET)


def mutate(rng, data):
    """Return ``data`` with a few bytes or pieces changed, taken out, doubled or put in."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 5))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 1, 2, 5, 20)))
        change = rng.randrange(5)
        if change == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif change == 1:
            data = data[:at] + data[end:]
        elif change == 2:
            data = data[:end] + data[at:end] + data[end:]
        elif change == 3:
            data = data[:at] + rng.choice(TOKENS) + data[at:]
        elif rng.random() < 0.3:
            data = data[:at]
    return data


def written(rows, mark, end="\n"):
    """Return the text of a table as others write it."""
    if mark == "\t":
        return "".join("\t".join(row) + end for row in rows)
    file = io.StringIO(newline="")
    # The writer leaves a CR bare, which no reader could tell from a line's end.
    quoting = csv.QUOTE_ALL if any("\r" in "".join(row) for row in rows) else csv.QUOTE_MINIMAL
    csv.writer(file, lineterminator=end, quoting=quoting).writerows(rows)
    return file.getvalue()


def csv_by_the_rules(text):
    """Return the rows of a CSV text character by character (RFC 4180), None where it breaks them.

    A quote inside of a cell that does not begin with one is a character. A blank line is an empty row.
    """
    if "\n" not in text:
        text = text.replace("\r", "\n")
    rows, row, cell, place = [], [], "", 0
    state = "start"  # of a cell; then "bare", "quoted" or "closed"
    while place < len(text):
        char, after = text[place], text[place + 1 : place + 2]
        ends = char == "\n" or (char == "\r" and after in ("\n", "\r", ""))
        if state == "quoted":
            if char == '"' and after == '"':
                cell, place = cell + char, place + 1
            elif char == '"':
                state = "closed"
            else:
                cell += char
        elif ends:
            # A run of CRs before the LF ends the row as one.
            run = re.compile("\r*\n?|\n").match(text, place)
            place = run.end() - 1
            if row or cell or state != "start":
                row.append(cell)
            rows.append(row)
            row, cell, state = [], "", "start"
            if "\r" in run[0] and not run[0].endswith("\n") and run.end() < len(text):
                return None
        elif char == "\r":
            return None
        elif char == ",":
            row.append(cell)
            cell, state = "", "start"
            if place + 1 == len(text):
                row.append("")
                rows.append(row)
                row = []
            elif after in ("\n", "\r"):
                state = "bare"
        elif char == '"' and state == "start":
            state = "quoted"
        elif state == "closed":
            return None
        else:
            cell, state = cell + char, "bare"
        place += 1
    if state == "quoted":
        return None
    if row or cell or state != "start":
        rows.append([*row, cell])
    return rows


def tsv_by_the_rules(text):
    """Return the rows of a tab-separated text; a blank line is an empty row."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    rows = [re.sub(r"\r?\n\Z|\r\Z", "", line) for line in lines]
    return [row.split("\t") if row else [] for row in rows]


def expected(data, mark, encoding, task, split):
    """Return the columns that a reader must find in ``data``, None where it must refuse them."""
    try:
        text = data.decode(encoding).lstrip("\ufeff")
        text.encode()
    except UnicodeError:
        return None
    if "\0" in text or name_binary(data) or name_textual(data) or not text:
        return None
    rows = csv_by_the_rules(text) if mark == "," else tsv_by_the_rules(text)
    if not rows or not rows[0] or (mark == "\t" and "\r" in text.split("\n")[0].removesuffix("\r")):
        return None
    header, *rows = rows
    wanted = task.columns(split)
    if any(header.count(name) != 1 for name in wanted):
        return None
    if len(header) == 1:
        rows = [row or [""] for row in rows]
    else:  # A line of spaces alone is blank.
        rows = [row if len(row) > 1 or "".join(row).strip() else [] for row in rows]
    while rows and not rows[-1]:
        rows.pop()
    if not rows or any(len(row) != len(header) for row in rows):
        return None
    columns = [[row[header.index(name)] for row in rows] for name in wanted]
    return columns if split == "test" or are_labels(columns[-1], task) else None


def are_labels(cells, task):
    if not task.is_regression:
        return set(cells) <= set(task.labels)
    try:
        return all(abs(float(cell)) <= 3.4e38 for cell in cells)
    except ValueError:
        return False


def check_refusal(error, path, data):
    """See that an error is one of ours: one line, that begins with the file, and a line the file has."""
    assert type(error) is ValueError, repr(error)
    message = str(error)
    assert message.startswith(f"{path}"), message
    assert len(message.splitlines()) == 1, message
    if line := re.match(r", line (\d+): ", message.removeprefix(str(path))):
        assert 1 <= int(line[1]) <= data.count(b"\n") + data.count(b"\r") + 1, message


def check_case(disk, data, path, mark, encoding, kind):
    """Read ``data`` and return whether they were read."""
    task, split, _ = kind
    task = replace(task, encoding=encoding)
    disk[path] = data
    columns = expected(data, mark, encoding, task, split)
    try:
        found = read_examples(task, path, split)
    except Exception as error:
        check_refusal(error, path, data)
        found = None
    assert (found is None) == (columns is None), data
    if found is None:
        return False
    texts = [found.texts_a] + ([found.texts_b] if task.has_pairs else [])
    assert texts == columns[: len(texts)], data
    if split != "test":
        labels = columns[-1]
        right = map(float if task.is_regression else task.labels.index, labels)
        assert found.labels == list(right), data
    return True


@pytest.mark.parametrize(("name", "mark"), [("t.tsv", "\t"), ("t.csv", ",")])
def test_a_mutated_table_is_read_right_or_refused(disk, name, mark):
    rng = random.Random(SEED)
    path, read = Path(name), 0
    for _ in range(CASES):
        kind = rng.choice(KINDS)
        header = kind[2]
        rows = [[rng.choice(CELLS) for _ in header] for _ in range(rng.randrange(5))]
        for row in rows if kind[1] in ("dev", "train") else ():
            row[-1] = rng.choice("01")
        encoding = rng.choice(ENCODINGS)
        text = written([header, *rows], mark, rng.choice(("\n", "\r\n")))
        data = mutate(rng, text.encode(encoding, "replace"))
        if rng.random() < 0.1:
            encoding = rng.choice(ENCODINGS)
        read += check_case(disk, data, path, mark, encoding, kind)
    assert CASES * 0.1 < read < CASES * 0.9  # Else the cases are too wild, or too tame.


def cells(excluded):
    letters = st.characters(exclude_characters=excluded + "\0", exclude_categories=("Cs",))
    return st.text(letters | st.sampled_from(",;\"'| 01"), max_size=12)


def tables(excluded):
    row = st.tuples(cells(excluded), cells(excluded), st.sampled_from("01"))
    rows = st.lists(row, min_size=1, max_size=5)
    return st.tuples(rows, st.sampled_from(["\n", "\r\n"]))


@SOME
@given(tables("\t\r\n"))
def test_any_tab_separated_table_is_read_as_written(disk, table):
    written_and_read(disk, table, "t.tsv", "\t")


@SOME
@given(tables(""))
def test_any_comma_separated_table_is_read_as_written(disk, table):
    written_and_read(disk, table, "t.csv", ",")


def written_and_read(disk, table, name, mark):
    rows, end = table
    path = Path(name)
    text = written([("sentence1", "sentence2", "score"), *rows], mark, end)
    disk[path] = text.encode()
    found = read_examples(TASKS["sts-b"], path, "dev")
    expected_columns = tuple(map(list, zip(*rows, strict=True)))
    assert (found.texts_a, found.texts_b) == expected_columns[:2]
    assert found.labels == list(map(float, expected_columns[2]))


@SOME
@given(st.lists(cells("\r\n"), min_size=1, max_size=6), st.sampled_from(["t.csv", "t.tsv"]))
def test_any_single_column_keeps_its_rows(disk, texts, name):
    if name == "t.tsv":
        texts = [text.replace("\t", " ") for text in texts]
    path = Path(name)
    lines = [["sentence"], *([text] for text in texts)]
    text = written(lines, "," if name == "t.csv" else "\t")
    disk[path] = text.replace('\n""\n', "\n\n").encode()
    assert read_examples(KINDS[0][0], path, "test").texts_a == texts


@SOME
@given(st.lists(cells(""), min_size=1))
def test_classes_are_as_many_as_people_see_or_refused(disk, names):
    path = Path("classes.csv")
    disk[path] = written([("sentence", "label"), *(("a", n) for n in names)], ",").encode()
    task = custom_task({**NO_FILES, "train": str(path)}, ("sentence",), "label", False)
    try:
        labels = with_labels(task, ".").labels
    except ValueError as error:
        check_refusal(error, path, disk[path])
        return
    assert set(labels) == set(names)
    assert len({"".join(name.split()).lower() for name in labels}) == len(labels)


def test_mutated_lines_have_one_place_each():
    rng = random.Random(SEED)
    for _ in range(CASES):
        encoding = rng.choice(ENCODINGS)
        text = "".join(rng.choice(CELLS) + "\n" for _ in range(rng.randrange(6)))
        data = mutate(rng, text.encode(encoding, "replace"))
        try:
            decoded = decode(data, "standard input", encoding)
            found = sentences_of_text(decoded, "standard input", rng.choice((None, True, False)))
        except ValueError as error:
            check_refusal(error, "standard input", data)
            continue
        lines = decoded.split("\n")[: None if not decoded.endswith("\n") else -1] if decoded else []
        assert found.ids == list(range(1, len(lines) + 1)), data
        assert ["\t".join(texts) for texts in found.texts] == [
            line.removesuffix("\r") for line in lines
        ], data
        said = [tuple(line.removesuffix("\r").split("\t")) for line in lines if line.strip()]
        columns = vars(found.examples()).values() if said else []
        assert [column for column in columns if column] == list(
            map(list, zip(*said, strict=True))
        ), data


POOLS = (
    "abcdefghijklmnop ", "0123456789,,,, ", "\"'`.![]()/<>▁", "éàüñ½ﬁ\u0301\u0308", "这部电影很好看。",
    "\t\n\r\0\x0b\x1c\x7f\x85\u00a0\u2028\u3000\ufeff\u200b", "٣४๓,",
    "\U0001f3ac\U0001f468\u200d\ufffd\uffff",
)  # fmt: skip


def random_text(rng):
    kinds = rng.choices(POOLS, k=rng.choice((1, 2, 3)))
    return "".join(rng.choice(rng.choice(kinds)) for _ in range(rng.choice((0, 1, 3, 10, 40))))


def check_texts(tokenizer, texts):
    """See that a batch of texts has the ids that the rules give each, and that its features hold them."""
    ids = encode(tokenizer, texts)
    assert ids == [by_the_rules(tokenizer, text) for text in texts]
    features = build_features(make_examples(*((t, None, 0) for t in texts)), tokenizer, 16, False)
    parts = np.split(features.input_ids, features.offsets[1:-1])
    assert [part.tolist() for part in parts] == [[2, *part[:14], 3] for part in ids]


def test_random_texts_have_the_ids_of_the_rules(tokenizer):
    rng = random.Random(SEED)
    usual = [text for text, _ in sentences(20)]
    for start in range(0, CASES, 50):
        texts = [random_text(rng) for _ in range(min(50, CASES - start))]
        check_texts(tokenizer, [*texts, rng.choice(usual)])


@SOME
@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_any_text_has_the_ids_of_the_rules(tokenizer, texts):
    check_texts(tokenizer, texts)
