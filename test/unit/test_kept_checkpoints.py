"""Which checkpoints stay, which one a run goes on from, and what is made up for after it."""

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
from crashes import Kills, read_tree
from helpers import small_training

from callback import checkpointing
from callback.checkpointing import (
    MODEL_FILES,
    SavedState,
    drop_checkpoints,
    find_checkpoints,
    newest_checkpoint,
    save_checkpoint,
    save_final,
)
from callback.history import History
from model.checkpoint import LAYOUTS, load_model
from model.configuration_albert import AlbertConfig
from processors.glue import TASKS
from tools.machine.device import Device
from tools.machine.distributed import Processes
from tools.machine.runtime import Runtime
from tools.run.due import Due, Missed
from tools.run.flags import parse_flags


def left(folder):
    return sorted(int(path.name.partition("-")[2]) for path in folder.glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("steps", "global_step", "limit", "scores", "kept"),
    [
        ([2, 4, 6, 8, 10], 10, 2, {}, [8, 10]),
        ([2, 4, 6, 8, 10], 10, 2, {2: 0.5, 4: 0.7, 6: 0.7, 8: 0.6}, [4, 8, 10]),
        ([2, 4, 6, 8, 10], 10, 1, {2: 0.5, 10: 0.9}, [10]),
        ([2, 4, 6], 6, 0, {}, [2, 4, 6]),
        ([2, 4], 4, 5, {}, [2, 4]),
        ([2, 4, 6, 8], 8, 1, {2: float("nan"), 3: 0.9, 4: -0.1}, [4, 8]),
        # A later one is damaged, or the run had not gone on before it; it is none of the newest.
        ([2, 4, 6, 90], 6, 1, {}, [6, 90]),
    ],
)
def test_the_newest_and_the_best_stay(tmp_path, steps, global_step, limit, scores, kept):
    for step in steps:
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "config.json").write_text("{}")
    drop_checkpoints(tmp_path, global_step, limit, scores)
    assert left(tmp_path) == kept
    assert len(list(tmp_path.iterdir())) == len(kept)


def test_the_default_keeps_two_unless_all_are_to_be_scored():
    def limit(*flags):
        return parse_flags(["--do_train", "--do_eval", *flags]).records.save_total_limit

    assert limit() == 2
    assert limit("--do_eval", "--eval_all_checkpoints") == 0
    assert limit("--do_eval", "--eval_all_checkpoints", "--save_total_limit=3") == 3
    assert limit("--save_total_limit=0") == 0


@pytest.fixture
def small(tokenizer):
    task = TASKS["sst-2"]
    return small_training(task, tokenizer)[0]


def unlink(file):
    file.unlink()


def make_folder(file):
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("spiece.model", unlink, "spiece.model is missing"),
        ("spiece.model", make_folder, "{0}/spiece.model is a folder, not a file"),
        ("config.json", lambda f: f.write_text("{}"), "config.json changed since it was written"),
        ("manifest.json", unlink, "{0}/manifest.json is missing"),
        ("manifest.json", make_folder, "{0}/manifest.json is a folder, not a file"),
        ("manifest.json", lambda f: f.write_text("{}"), "manifest.json lists no files: it was changed"),
        ("manifest.json", lambda f: f.write_text('{"sha256": [1]}'), "manifest.json lists no files"),
        ("manifest.json", lambda f: f.write_text(""),
         "{0}/manifest.json is no list of a checkpoint's files: it is empty"),
    ],
)  # fmt: skip
def test_what_a_checkpoint_lacks_is_said_in_words(
    tmp_path, small, tokenizer, caplog, name, damage, words
):
    state = SimpleNamespace(state_dict=dict)
    folder = save_checkpoint(tmp_path, 2, small, tokenizer, state)
    assert newest_checkpoint(tmp_path) == folder
    damage(folder / name)
    assert newest_checkpoint(tmp_path) is None
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert line.startswith(f"{folder} is left out: {words.format(folder)}")
    assert "Errno" not in line


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("optimizer"), "it has no 'optimizer'"),
        (RuntimeError(), "RuntimeError"),
        (ValueError("two\nlines"), "two"),
    ],
)
def test_a_state_of_another_run_is_said_in_words(tmp_path, small, tokenizer, error, words):
    folder = save_checkpoint(tmp_path, 2, small, tokenizer, SimpleNamespace(state_dict=dict))

    def fail(_):
        raise error

    with pytest.raises(ValueError, match=rf"checkpoint-2 is of another run: {words}\Z"):
        SavedState(folder).give_training(SimpleNamespace(load_state_dict=fail))


def test_only_the_newest_whole_checkpoint_is_read_to_go_on(tmp_path, small, tokenizer, monkeypatch):
    state = SimpleNamespace(state_dict=dict)
    for step in (1, 2, 10):
        save_checkpoint(tmp_path, step, small, tokenizer, state)
    (tmp_path / "checkpoint-10" / "spiece.model").write_bytes(b"half")
    read = []
    digest = checkpointing.digest
    monkeypatch.setattr(checkpointing, "digest", lambda file: read.append(file) or digest(file))
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    assert {file.parent.name for file in read} == {"checkpoint-2", "checkpoint-10"}
    assert [path.name for path in find_checkpoints(tmp_path)] == ["checkpoint-1", "checkpoint-2"]


def test_a_state_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "training_state.pt").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"training_state\.pt cannot be read"):
        SavedState(tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_model_is_the_old_or_the_new_one_wherever_its_writer_is_killed(
    tmp_path, small, tokenizer, monkeypatch, layout
):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    out = tmp_path / "disk" / "out"
    save_final(out, small, tokenizer)
    old = read_tree(out)
    changed = small_training(TASKS["sst-2"], tokenizer)[0]
    changed.config = replace(changed.config, hidden_dropout_prob=0.5)
    changed.classifier.weight.data += 1
    with Kills(tmp_path / "disk").installed() as kills:
        save_final(out, changed, tokenizer, layout)
    new = read_tree(out)
    assert load_model(out, AlbertConfig.from_file(out)).classifier.weight.mean() > 0.5
    assert new.keys() <= set(MODEL_FILES)
    for tree in kills.trees:
        found = {name: tree[f"out/{name}"] for name in MODEL_FILES if f"out/{name}" in tree}
        if found.keys() & {"model.safetensors", "pytorch_model.bin"}:
            assert found in (old, new)


METRICS = {"event": "eval", "step": 6, "acc": 0.5}


def due(*flags, stop_point=1.0):
    records = parse_flags(["--do_train", "--do_eval", *flags]).records
    return Due(records, 20, evaluates=True, metric="acc", stop_point=stop_point)


@pytest.mark.parametrize(
    ("flags", "step", "closes_epoch", "recorded", "stop_point", "missed"),
    [
        ((), 6, True, {}, 1.0, Missed.EVALUATION),
        ((), 6, True, {6: METRICS}, 1.0, Missed.NOTHING),
        ((), 6, True, {5: METRICS}, 1.0, Missed.EVALUATION),
        ((), 6, True, {6: {}}, 1.0, Missed.EVALUATION),
        ((), 6, True, {6: METRICS}, 0.5, Missed.STOP),
        ((), 6, True, {6: METRICS}, 0.6, Missed.NOTHING),
        ((), 6, False, {}, 0.5, Missed.NOTHING),
        (("--eval_steps=3",), 6, False, {}, 1.0, Missed.EVALUATION),
        (("--eval_steps=4",), 6, True, {}, 1.0, Missed.NOTHING),
        (("--eval_steps=4",), 20, True, {}, 1.0, Missed.NOTHING),  # The end has one of its own.
    ],
)
def test_a_run_that_goes_on_knows_what_was_missed(
    flags, step, closes_epoch, recorded, stop_point, missed
):
    history = History(None)
    history.evaluations = recorded
    runtime = Runtime(Device("cpu"), Processes())
    found = due(*flags, stop_point=stop_point).missed(step, closes_epoch, history, runtime)
    assert found is missed


def test_all_processes_make_up_for_what_the_main_one_misses():
    """The others have no records."""

    class Second(Processes):
        def all_reduce_max(self, value, device):
            assert value == 0
            return float(Missed.STOP)

    runtime = Runtime(Device("cpu"), Second(rank=1, world_size=2))
    assert due().missed(6, True, History(None), runtime) is Missed.STOP
