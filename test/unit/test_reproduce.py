"""Rows of the tables of results: as README.md has them, held against runs, and what they need."""

import json
import re

import pytest
from helpers import ROOT, launch

from tools import reproduce
from tools.results.published import ROWS


@pytest.fixture
def judged(tmp_path, capsys):
    """Hold a run with these figures against a row; return the status and the line."""

    def call(row, accuracy, fps=600.0, padding="max_length"):
        final = {"event": "eval", "model": "model", "acc": accuracy, "examples": 872}
        lines = [{"event": "epoch", "fps": fps - 50}, {"event": "epoch", "fps": fps}, final]
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (tmp_path / "run.json").write_text(json.dumps({"flags": {"padding": padding}}))
        status = reproduce.main([row, str(tmp_path)])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return call


@pytest.mark.parametrize("page", ["README.md", "README_zh.md"])
def test_the_tables_have_the_rows_and_their_intervals(page):
    text = (ROOT / page).read_text()
    rows = re.findall(
        r"\| (0\.\d+) \((0\.\d+) (?:to|至) (0\.\d+)\) \| ([\d.]+) \| `(\w+)` \|", text
    )
    assert {name for *_, name in rows} == ROWS.keys() - {"demo"}
    for accuracy, low, high, speed, name in rows:
        row = ROWS[name]
        assert (float(accuracy), float(speed)) == (row.accuracy, row.samples_per_second)
        assert (low, high) == tuple(f"{end:.3f}" for end in row.interval)
    low, high = ROWS["demo"].interval
    assert re.search(rf"{ROWS['demo'].accuracy} \({low:.3f} (?:to|至) {high:.3f}\)", text)


def test_a_run_passes_or_fails(judged):
    of = "of 0.927 on 440"
    assert judged("gpu1", 0.93) == (
        0,
        "gpu1: pass: accuracy 0.930 on 872 sentences is inside 0.899 to 0.948, the 95 % interval "
        f"{of}; 600 samples/s, at least 517\n",
    )
    status, line = judged("gpu1", 0.89)
    assert (status, "gpu1: fail: accuracy 0.890" in line, "is below 0.899" in line) == (
        1,
        True,
        True,
    )
    assert judged("gpu1", 0.96)[0] == 0
    status, line = judged("gpu1", 0.93, fps=500.0)
    assert (status, line.endswith("500 samples/s, less than 517\n")) == (1, True)
    status, line = judged("gpu1", 0.93, padding="bucket")
    assert (status, line.count("\n")) == (2, 1)
    assert "was trained with --padding bucket, and the published speeds" in line
    status, line = judged("demo", 0.79, fps=9.0, padding="bucket")
    assert (status, "samples/s" in line) == (0, False)


def test_a_row_says_what_it_needs(tmp_path, ascend_machine):
    def answered(*words, root):
        found = launch(ROOT, "reproduce.sh", *words, cwd=tmp_path, ALBERT_TEST_ROOT=root)
        return found.returncode, found.stdout, found.stderr

    without = "npu1: needs NPU: this machine has 0, and the row takes 1\n"
    assert answered("npu1", root=tmp_path / "nowhere") == (3, without, "")
    assert answered("npu8", root=ascend_machine)[:2] == (
        3, "npu8: needs NPU: this machine has 2, and the row takes 8\n",
    )  # fmt: skip
    data = (f"--data_path={tmp_path}", f"--model_path={tmp_path / 'albert_base_v2'}")
    status, line, _ = answered("npu1", *data, root=ascend_machine)
    assert (status, line.count("\n")) == (3, 1)
    assert line.startswith("npu1: needs weights or data: there is no train.tsv and dev.tsv in ")
    assert "tools/download.py sst-2 albert_base_v2" in line
    for words in ((), ("v100",), ("npu1", "--fast"), ("demo", "--data_path=.")):
        status, said, error = answered(*words, root=tmp_path)
        assert (status, said, error.count("\n")) == (2, "", 1)
