"""What cannot be classes is no task of classes, and what may be none is warned of."""

from dataclasses import replace

import pytest

from processors.custom import custom_task, with_labels
from processors.glue import TASKS
from processors.reading import read_examples


@pytest.fixture
def labels_of(tmp_path):
    """Read the classes of a training file with these labels, a row each."""

    def read(labels):
        rows = [f"text {number}\t{label}" for number, label in enumerate(labels)]
        (tmp_path / "t.tsv").write_text("\n".join(["text\tkind", *rows]) + "\n")
        task = custom_task({"train": "t.tsv", "dev": None, "test": None}, ("text",), "kind", False)
        return with_labels(task, tmp_path).labels

    return read


@pytest.mark.parametrize("labels", [range(300), [number / 7 for number in range(11)]])
def test_a_number_for_each_row_is_refused_as_a_class(labels_of, labels):
    words = (
        f"t.tsv: each of the {len(labels)} rows has another number for its kind: predict the numbers with "
        "--regression, or name the column of the classes with --label_column$"
    )
    with pytest.raises(ValueError, match=words):
        labels_of(labels)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([*range(300)] * 2, "the 300 classes in column 'kind' are all numbers: if they are amounts, "),
        ([number / 5 for number in range(26)] * 2, "the 26 classes in column 'kind' are all numbers"),
        ([f"name {number}" for number in range(11)],
         "the 11 rows has a class of its own in column 'kind': is it the right column? If not, name the"),
        ([*map("name {}".format, range(20)), "x", "x"],
         "20 of the 21 classes in column 'kind' have one row alone: if they are none, name the column"),
    ],
)  # fmt: skip
def test_what_may_be_no_classes_is_warned_of_once(labels_of, caplog, labels, words):
    assert len(labels_of(labels)) == len(set(labels))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert words in record.getMessage()


@pytest.mark.parametrize(
    "labels",
    [
        [f"name {number}" for number in range(10)],  # a first try
        [*range(50)] * 2,
        [number / 2 for number in range(2, 11)] * 2,  # stars
        ["1.1", "1.2", "1.10.1", "1"] * 2,  # versions
        ["01", "02", "9007199254740993", "9007199254740992"],  # codes
        ["nan", "inf", "Infinity", "1e9999999999", "1_0", "10"],  # words
        [*map("name {}".format, range(40)), *map("name {}".format, range(25))],
    ],
)
def test_classes_that_may_well_be_some(labels_of, caplog, labels):
    assert len(labels_of(labels)) == len(set(labels))
    assert not caplog.records


@pytest.mark.parametrize(
    ("one", "other"), [("1", "1.0"), ("2.", "2"), ("+3", "3"), ("-1", "-1.00"), ("4 ", "4.0")]
)
def test_a_number_in_two_ways_is_no_two_classes(labels_of, one, other):
    words = f"{one}' .* and '{other}' .* differ in how the same number is written only: spell them"
    with pytest.raises(ValueError, match=words.replace("+", r"\+")):
        labels_of([one, "7", "7", other])


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.50", "1.5"), ("0.5", "0.50"), ("0", "-0"), ("01", "1"), ("1e3", "1000"), (".5", "0.5")],
)
def test_the_same_number_in_other_ways_stays_two_classes_with_a_warning(
    labels_of, caplog, one, other
):
    assert set(labels_of([one, "7", "7", other, "x", other])) == {one, "7", other, "x"}
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    words = f"classes '{one}' (1 rows, first on line 2) and '{other}' (2 rows, first on line 5) in column"
    assert words in record.getMessage()
    assert "are the same number: if they are one class, spell them alike" in record.getMessage()


def test_versions_are_kept_apart_with_one_warning(labels_of, caplog):
    versions = ["1.1", "1.2", "1.3", "1.10", "1.20"]
    assert set(labels_of(versions * 2)) == set(versions)
    (record,) = caplog.records
    assert "'1.1' (2 rows, first on line 2) and '1.10' (2 rows, first on" in record.getMessage()
    assert "are the same number (and 1 more are such): " in record.getMessage()


def test_a_class_that_is_a_number_is_known_however_a_file_writes_it(tmp_path):
    """As pandas writes 1 where another row has no label."""
    task = replace(
        custom_task({"train": None, "dev": "dev.jsonl", "test": None}, ("text",), "label", False),
        labels=("0", "1.0"),
    )
    file = tmp_path / "dev.jsonl"
    file.write_text(
        "".join(f'{{"text": "a", "label": {label}}}\n' for label in ("1.0", "0.0", "1", '"+0"'))
    )
    assert read_examples(task, file, "dev").labels == [1, 0, 1, 0]
    file.write_text('{"text": "a", "label": 2.0}\n')
    with pytest.raises(ValueError, match="label '2.0' is not one of '0', '1.0'"):
        read_examples(task, file, "dev")
    file.write_text('{"text": "a", "label": "01"}\n')
    with pytest.raises(ValueError, match="label '01' is not one of"):
        read_examples(task, file, "dev")
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\na\t1.0\n")
    with pytest.raises(ValueError, match="label '1.0' is not one of '0', '1'"):
        read_examples(TASKS["sst-2"], tmp_path / "dev.tsv", "dev")
