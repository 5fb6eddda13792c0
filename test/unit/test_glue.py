"""Each task's files are read in the layout GLUE gives them."""

import pytest

from processors.glue import SPLITS, TASKS
from processors.metrics import METRICS
from processors.reading import Example, read_examples

MNLI = "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse"
MNLI += "\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2"
MNLI_ROW = "0\t31193\t31193n\tgov\t( a )\t( b )\t(ROOT a)\t(ROOT b)"
MRPC = "#1 ID\t#2 ID\t#1 String\t#2 String"
PAIR = "index\tsentence1\tsentence2"

# By task: the header and a row of the training file, of the test file, and what they say. The headers are
# those of GLUE's archives, of the MRPC files that its download script makes, and of LCQMC's.
LAYOUTS = {
    "cola": ("", "gj04\t1\t\tA b.\n", "index\tsentence\n", "0\tA b.\n", ("A b.", None, 1)),
    "mnli": (
        f"{MNLI}\tlabel1\tgold_label\n", f"{MNLI_ROW}\ta\tb\tneutral\tneutral\n",
        f"{MNLI}\n", f"{MNLI_ROW}\ta\tb\n", ("a", "b", 2),
    ),
    "mrpc": (
        f"\ufeffQuality\t{MRPC}\n", "1\t70\t71\ta\tb\n",
        f"index\t{MRPC}\n", "0\t70\t71\ta\tb\n", ("a", "b", 1),
    ),
    "sst-2": ("sentence\tlabel\n", "a\t0\n", "index\tsentence\n", "0\ta\n", ("a", None, 0)),
    "sts-b": (
        f"{PAIR}\tscore\n", "0\ta\tb\t2.5\n", f"{PAIR}\n", "0\ta\tb\n", ("a", "b", 2.5),
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n", "7\t1\t2\ta\tb\t1\n",
        "id\tquestion1\tquestion2\n", "0\ta\tb\n", ("a", "b", 1),
    ),
    "qnli": (
        "index\tquestion\tsentence\tlabel\n", "0\ta\tb\tnot_entailment\n",
        "index\tquestion\tsentence\n", "0\ta\tb\n", ("a", "b", 1),
    ),
    "rte": (f"{PAIR}\tlabel\n", "0\ta\tb\tentailment\n", f"{PAIR}\n", "0\ta\tb\n", ("a", "b", 0)),
    "wnli": (f"{PAIR}\tlabel\n", "0\ta\tb\t1\n", f"{PAIR}\n", "0\ta\tb\n", ("a", "b", 1)),
    "lcqmc": ("", "甲\t乙\t1\n", "text_a\ttext_b\tlabel\n", "甲\t乙\t1\n", ("甲", "乙", 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_every_task_reads_its_own_layout(tmp_path, name):
    task = TASKS[name]
    header, row, test_header, test_row, (text_a, text_b, label) = LAYOUTS[name]
    (tmp_path / "train.tsv").write_text(header + row, encoding="utf-8")
    (tmp_path / "test.tsv").write_text(test_header + test_row, encoding="utf-8")
    for split in ("train", "dev"):
        found = read_examples(task, tmp_path / "train.tsv", split)
        assert found == [Example(text_a, text_b, label)]
    found = read_examples(task, tmp_path / "test.tsv", "test")
    assert found == [Example(text_a, text_b, None)]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_table_is_whole(task):
    assert set(task.metrics) <= METRICS.keys()
    assert set(task.files) == set(SPLITS)
    assert len(task.files["train"]) == 1
    assert len(task.suffixes) == len(task.files["dev"])
    assert len(task.submission_names) == len(task.files["test"])


def test_lcqmc_with_a_header_line(tmp_path):
    (tmp_path / "dev.tsv").write_text("text_a\ttext_b\tlabel\n甲\t乙\t0\n", encoding="utf-8")
    assert read_examples(TASKS["lcqmc"], tmp_path / "dev.tsv", "dev") == [Example("甲", "乙", 0)]


def test_broken_training_rows_of_qqp_are_left_out_and_counted(tmp_path, caplog):
    header, row = LAYOUTS["qqp"][:2]
    (tmp_path / "qqp.tsv").write_text(header + "1\t2\t3\tcut\n" + row + "off\t1\n")
    assert len(read_examples(TASKS["qqp"], tmp_path / "qqp.tsv", "train")) == 1
    assert "2 broken rows are left out, the first on line 2" in caplog.text
    with pytest.raises(ValueError, match="line 2: 4 tab-separated columns, not 6"):
        read_examples(TASKS["qqp"], tmp_path / "qqp.tsv", "dev")
