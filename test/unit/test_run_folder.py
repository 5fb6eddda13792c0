"""What a run left is read back, as much of it as is whole."""

import json

import pytest

from tools.cli.errors import UsageError
from tools.results.run_folder import RunFolder


def test_a_folder_is_read_as_far_as_it_is_whole(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        '{"event": "step", "step": 1}\n{"event": "ev\n{"event": "eval"}'
    )
    folder = RunFolder.find(tmp_path)
    assert [record["event"] for record in folder.records] == ["step", "eval"]
    assert folder.of("step") == [{"event": "step", "step": 1}]
    assert folder.run == {}
    assert folder.dev_predictions() == []
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "dev_mm.jsonl").write_text('{"id": 0, "label": "1"}\nnull\n{"id')
    assert folder.dev_predictions("_mm") == [{"id": 0, "label": "1"}]


@pytest.mark.parametrize(
    "damage",
    [
        {"flags": 3},
        {"results": {"model": 5}},
        {"durations": {"total": "x"}},
        {"task": {"metrics": 1}},
        {"task": {"classes": [None]}},
        {"steps": "x", "fps": float("nan")},
        {"status": []},
    ],
)
def test_of_a_record_what_is_damaged_does_not_count(tmp_path, damage):
    whole = {"format": 1, "status": "finished", "flags": {"do_train": True}, "best_step": None}
    (tmp_path / "run.json").write_text(json.dumps({**whole, **damage}))
    found = RunFolder(tmp_path).run
    assert found == {name: value for name, value in whole.items() if name not in damage}


def test_values_that_lie_too_deep_in_each_other_are_damage(tmp_path):
    (tmp_path / "run.json").write_text("[" * 100_000)
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "dev.jsonl").write_text("[" * 100_000 + '\n{"label": "1"}')
    folder = RunFolder(tmp_path)
    assert (folder.run, folder.dev_predictions()) == ({}, [{"label": "1"}])


def test_another_folder_is_none_of_a_run(tmp_path):
    with pytest.raises(UsageError, match="neither run.json nor metrics.jsonl"):
        RunFolder.find(tmp_path)
    with pytest.raises(UsageError, match="is no folder"):
        RunFolder.find(tmp_path / "nowhere")
