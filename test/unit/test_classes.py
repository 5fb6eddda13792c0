"""What cannot be classes is no task of classes, and what may be none is warned of."""

import pytest

from processors.custom import custom_task, with_labels


@pytest.fixture
def labels_of(tmp_path):
    """Read the classes of a training file with these labels, a row each."""

    def read(labels):
        rows = [f"text {number}\t{label}" for number, label in enumerate(labels)]
        (tmp_path / "t.tsv").write_text("\n".join(["text\tkind", *rows]) + "\n")
        task = custom_task({"train": "t.tsv", "dev": None, "test": None}, ("text",), "kind", False)
        return with_labels(task, tmp_path).labels

    return read


@pytest.mark.parametrize(
    ("labels", "remedy"),
    [
        ([f"name {number}" for number in range(11)], "--label_column$"),
        (range(300), "--label_column, or predict the numbers with --regression$"),
        ([number / 7 for number in range(11)], "or predict the numbers with --regression$"),
    ],
)
def test_a_class_for_each_row_is_refused(labels_of, labels, remedy):
    words = f"t.tsv: each of the {len(labels)} rows has another kind: name the column .*{remedy}"
    with pytest.raises(ValueError, match=words):
        labels_of(labels)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([*range(300)] * 2, "the 300 classes in column 'kind' are all numbers: if they are amounts, "),
        ([number / 5 for number in range(26)] * 2, "the 26 classes in column 'kind' are all numbers"),
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
        ["1.1", "1.10", "1"] * 2,  # versions
        ["01", "1"],  # codes
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
