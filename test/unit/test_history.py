"""metrics.jsonl stays readable, whatever cut it off, and has each record once."""

import json
import os

import pytest

from callback import history
from callback.history import History

STEPS = [{"event": "step", "time": 1.0, "step": step, "loss": 0.5} for step in (1, 2, 3)]
EVALUATION = {"event": "eval", "time": 1.0, "step": 2, "examples": 8, "acc": 0.5}
OF_THE_MODEL = {"event": "eval", "time": 1.0, "model": "model", "examples": 8, "acc": 0.5}
TRAINING = {"event": "training", "time": 1.0, "seconds": 3.0}
WHOLE = "".join(json.dumps(record) + "\n" for record in (*STEPS, EVALUATION)).encode()


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    "damage",
    [b'{"event": "step", "tim', b"\0" * 60, b"12", b"12\n", b"\xff\xfe\x00{\n", b'["event"]\n',
     b'{"event": "step", "step": "2"}\n', b'{"step": 2}\n', b"null\n", b"[" * 100_000],
    ids=range(10),
)  # fmt: skip
@pytest.mark.parametrize("where", ["end", "middle"])
def test_what_is_no_record_is_dropped_with_one_warning(tmp_path, caplog, damage, where):
    path = tmp_path / "metrics.jsonl"
    content = WHOLE + damage
    if where == "middle":
        lines = WHOLE.splitlines(keepends=True)
        content = b"".join([lines[0], damage.rstrip(b"\n") + b"\n", *lines[1:]])
    path.write_bytes(content)
    found = History(path)
    found.go_on_after(9)
    assert records(path) == [*STEPS, EVALUATION]
    (warning,) = caplog.messages
    assert warning == f"{path}: 1 line is dropped: no valid record, as after a power cut"
    assert found.evaluations == {2: EVALUATION}


def test_a_whole_last_line_without_its_end_is_kept(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(WHOLE[:-1])
    History(path).go_on_after(9)
    assert path.read_bytes() == WHOLE
    assert not caplog.messages


def test_what_is_appended_to_a_torn_line_is_a_line_of_its_own(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(WHOLE[:-5])
    History(path).write("eval", model="model", acc=0.25)
    *_, torn, last = path.read_text().splitlines()
    assert json.loads(last)["acc"] == 0.25
    assert torn == WHOLE[:-5].decode().splitlines()[-1]


def test_a_run_that_goes_on_takes_later_records_again_and_those_of_the_model(tmp_path):
    path = tmp_path / "metrics.jsonl"
    of_an_older_version = {**OF_THE_MODEL, "step": None}
    of_a_checkpoint = {**OF_THE_MODEL, "model": "checkpoint-1", "step": 1}
    rows = [*STEPS, EVALUATION, TRAINING, OF_THE_MODEL, of_an_older_version, of_a_checkpoint]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = History(path)
    found.go_on_after(2)
    assert records(path) == [*STEPS[:2], EVALUATION, TRAINING]
    assert found.has("training")
    found.drop_end()
    assert records(path) == [*STEPS[:2], EVALUATION]
    assert not found.has("training")


def test_the_disk_is_waited_for_at_evaluations_and_else_now_and_then(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    now = [100.0]
    monkeypatch.setattr(history.time, "monotonic", lambda: now[0])
    found = History(tmp_path / "metrics.jsonl")
    for step in range(100):
        found.write("step", step=step, loss=1.0)
    assert not synced
    found.write("eval", step=99, acc=0.5)
    assert len(synced) == 2  # the file, and the folder that it is new in
    now[0] += 31
    found.write_all("step", [{"step": 100, "loss": 1.0}, {"step": 101, "loss": 1.0}])
    assert len(synced) == 4
    assert len(records(found.path)) == 103
