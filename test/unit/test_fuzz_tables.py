"""Whatever is in a table or a text: a right result, or one line of ours that names the file.

ALBERT_FUZZ_CASES=1000000 python -m pytest test/unit/test_fuzz_tables.py tries more than the usual 10,000
of each kind; ALBERT_FUZZ_SEED takes others.
"""

import json
import logging
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fuzzed_tables import (
    CELLS,
    ENCODINGS,
    KINDS,
    NO_FILES,
    OWN,
    VALUES,
    check_case,
    check_refusal,
    expected_of_json,
    mutate,
    written,
)
from fuzzing import CASES, SEED
from helpers import encode, make_examples, sentences
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_tokenization import by_the_rules

from processors.custom import custom_task, with_labels
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


@pytest.fixture(scope="module", autouse=True)
def disk():
    """What files hold, by their paths: a disk quick enough for so many. Warnings are off."""
    files, on_disk = {}, Path.read_bytes
    logging.disable(logging.CRITICAL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda p: files[p] if p in files else on_disk(p))
        yield files
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    ("name", "mark", "written_with"),
    [("t.tsv", "\t", "\t"), ("t.csv", ",", ","), ("t.csv", ",", ";"), ("t.tsv", "\t", "|")],
)
def test_a_mutated_table_is_read_right_or_refused(disk, name, mark, written_with):
    rng = random.Random(SEED)
    path, read = Path(name), 0
    is_own = written_with != mark
    cases = CASES // 5 if is_own else CASES
    for _ in range(cases):
        kind = OWN if is_own else rng.choice(KINDS)
        header = kind[2]
        rows = [[rng.choice(CELLS) for _ in header] for _ in range(rng.randrange(5))]
        for row in rows if kind[1] in ("dev", "train") else ():
            row[-1] = rng.choice("01")
        encoding = rng.choice(ENCODINGS)
        text = written([header, *rows], written_with, rng.choice(("\n", "\r\n")))
        data = mutate(rng, text.encode(encoding, "replace"))
        if rng.random() < 0.1:
            encoding = rng.choice(ENCODINGS)
        read += check_case(disk, data, path, mark, encoding, kind)
    assert cases * 0.1 < read < cases * 0.9  # Else the cases are too wild, or too tame.


def test_mutated_json_lines_are_read_right_or_refused(disk):
    rng = random.Random(SEED)
    path, read, (task, split, names) = Path("t.jsonl"), 0, OWN
    for _ in range(CASES // 5):
        rows = [[rng.choice(VALUES[: rng.choice((-3, -2, 99))]) for _ in names] for _ in range(3)]
        records = [dict(zip(names, row, strict=True)) for row in rows[: rng.choice((1, 2, 3))]]
        is_ascii, encoding = rng.random() < 0.5, rng.choice(ENCODINGS)
        text = "".join(json.dumps(record, ensure_ascii=is_ascii) + "\n" for record in records)
        disk[path] = data = mutate(rng, text.encode(encoding, "replace"))
        columns = expected_of_json(data, encoding, task.texts)
        try:
            found = read_examples(replace(task, encoding=encoding), path, split)
        except Exception as error:
            check_refusal(error, path, data)
            found = None
        assert (found and [found.texts_a, found.texts_b]) == columns, data
        read += found is not None
    assert CASES // 5 * 0.1 < read < CASES // 5 * 0.9


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
