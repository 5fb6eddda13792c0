"""Each task's files are read in the layout GLUE gives them."""

import pytest
from helpers import TASK_LAYOUTS, rows_of

from processors.glue import SPLITS, TASKS
from processors.metrics import METRICS
from processors.reading import read_examples


def of_another_class(task, header, row):
    """Return a row like ``row`` with another label: a training file has two classes."""
    names = (
        header.removeprefix("\ufeff").strip().split("\t") if header else task.headerless["train"]
    )
    cells = row.rstrip("\n").split("\t")
    place = names.index(task.label)
    cells[place] = next(name for name in task.labels or ("0",) if name != cells[place])
    return "\t".join(cells) + "\n"


@pytest.mark.parametrize("name", TASKS)
def test_every_task_reads_its_own_layout(tmp_path, name):
    task = TASKS[name]
    header, row, test_header, test_row, (text_a, text_b, label) = TASK_LAYOUTS[name]
    other = of_another_class(task, header, row)
    (tmp_path / "train.tsv").write_text(header + row + other, encoding="utf-8")
    (tmp_path / "test.tsv").write_text(test_header + test_row, encoding="utf-8")
    for split in ("train", "dev"):
        found = read_examples(task, tmp_path / "train.tsv", split)
        assert rows_of(found)[0] == (text_a, text_b, label)
        assert len(found) == 2
    found = read_examples(task, tmp_path / "test.tsv", "test")
    # LCQMC's test file has its labels.
    assert rows_of(found) == [(text_a, text_b, label if name == "lcqmc" else None)]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_table_is_whole(task):
    assert set(task.metrics) <= METRICS.keys()
    assert set(task.files) == set(SPLITS)
    assert len(task.files["train"]) == 1
    assert len(task.suffixes) == len(task.files["dev"])
    assert len(task.submission_names) == len(task.files["test"])


def test_lcqmc_with_a_header_line(tmp_path):
    (tmp_path / "dev.tsv").write_text("text_a\ttext_b\tlabel\n甲\t乙\t0\n", encoding="utf-8")
    assert rows_of(read_examples(TASKS["lcqmc"], tmp_path / "dev.tsv", "dev")) == [("甲", "乙", 0)]


def test_broken_training_rows_of_qqp_are_left_out_and_counted(tmp_path, caplog):
    header, row = TASK_LAYOUTS["qqp"][:2]
    other = of_another_class(TASKS["qqp"], header, row)
    (tmp_path / "qqp.tsv").write_text(f"{header}1\t2\t3\tcut\n{row}\n{other}off\t1\n\n")
    assert len(read_examples(TASKS["qqp"], tmp_path / "qqp.tsv", "train")) == 2
    assert "3 broken rows are left out, the first on line 2" in caplog.text
    with pytest.raises(ValueError, match="line 2: 4 tab-separated columns, not 6"):
        read_examples(TASKS["qqp"], tmp_path / "qqp.tsv", "dev")
