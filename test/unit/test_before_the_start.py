"""What is wrong with a run of several processes is said once, before any of them starts."""

import os
import shutil
import signal
from contextlib import nullcontext

import pytest
from helpers import ROOT, write_sst2

import tools.launch
import tools.machine.torchrun
from tools.cli.errors import UsageError
from tools.cli.paths import DEFAULT_MODEL
from tools.run.flags import parse_flags
from tools.run.output_dir import check_output_dir

PROGRAM = str(ROOT / "run_classifier.py")


@pytest.fixture
def launched(tmp_path, monkeypatch, capsys, pretrained):
    """Start two processes of a program, and return the exit status, the words and what was started."""
    started = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # This process keeps its handlers.
    monkeypatch.setattr(
        tools.machine.torchrun, "run_processes", lambda *flags: started.append(flags)
    )

    def call(*words, before=(), model=pretrained):
        flags = ("--model_name_or_path", model, "--max_seq_length=32", "--device=cpu")
        program = words if words[:1] == ("other.py",) else (PROGRAM, *flags, *words)
        launcher = ("--nproc=2", "--oversubscribe", "--device=cpu", *before, "--")
        try:
            status = tools.launch.main([str(word) for word in (*launcher, *program)])
        except SystemExit as end:
            status = end.code
        return status, capsys.readouterr().err, started

    return call


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--bogus",), "run_classifier.py: error: unrecognized arguments: --bogus"),
        (("--do_train", "--do_eval", "--seeds=2"), "--seeds trains in one process after another"),
        ((), "run_classifier.py: error: nothing to do"),
        (("--do_train", "--data_dir=no"), "launch: error: no/train.tsv is missing"),
        (("--do_eval",), "launch: error: there is no trained model in outputs/SST-2"),
        (("--do_train", "--max_seq_length=65"), "--max_seq_length 65 is more than the model's 64"),
        (("--do_train", "--output_dir=old"), "old holds an earlier run"),
        (
            ("--do_train", "--output_dir=file"),
            "--output_dir file cannot be made: file is no folder",
        ),
        (
            ("--do_train", "--output_dir=file/out"),
            "--output_dir file/out cannot be made: file is no",
        ),
        (("--do_train", "--output_dir=gone"), "cannot be made: gone is a link that leads nowhere"),
        (("--do_train", "--output_dir=/dev/null"), "cannot be made: /dev/null is no folder"),
        (("--do_train", "--output_dir=/sys/x"), "--output_dir /sys/x cannot be made: "),
    ],
)
def test_what_all_processes_would_find_is_one_line(launched, tmp_path, words, said):
    write_sst2(tmp_path / "dataset" / "SST-2")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "model.safetensors").touch()
    (tmp_path / "file").touch()
    (tmp_path / "gone").symlink_to("nowhere")
    status, line, started = launched(*words)
    assert (status, started) == (2, [])
    assert said in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "is_folder"),
    [("previous", False), ("predictions", False), (".lock", True), ("eval_results.txt", True),
     ("metrics.jsonl", True), ("training_args.json", True), ("model.safetensors", True)],
)  # fmt: skip
def test_what_is_in_the_way_in_the_output_folder_is_named(launched, tmp_path, name, is_folder):
    data = write_sst2(tmp_path / "data")
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / name
    path.mkdir() if is_folder else path.touch()
    flags = ("--do_train", "--data_dir", data, "--output_dir=out", "--overwrite_output_dir")
    status, line, started = launched(*flags, "--do_eval", "--do_predict")
    assert (status, started) == (2, [])
    assert [entry.name for entry in path.parent.iterdir()] == [name]
    what = "a folder, and a run needs a file" if is_folder else "no folder, and a run needs one"
    assert f"out/{name} is {what} of that name: move it away, or name another --output_dir" in line


def test_what_is_where_a_run_writes_nothing_is_left_there(launched, program, tmp_path):
    data = write_sst2(tmp_path / "data")
    out = tmp_path / "out"
    (out / "eval_results.txt").mkdir(parents=True)
    for name in ("previous", "predictions", "logs"):
        (out / name).write_text("mine")
    flags = ("--do_train", "--data_dir", data, "--output_dir=out", "--max_steps=1")
    status, line, started = launched(*flags)
    assert (status, line, len(started)) == (0, "", 1)
    assert program(*flags) == 0
    assert (out / "model.safetensors").is_file()
    assert (out / "eval_results.txt").is_dir()
    assert {(out / name).read_text() for name in ("previous", "predictions", "logs")} == {"mine"}


@pytest.mark.parametrize(
    ("flags", "status"),
    [(("--model_name_or_path=out/checkpoint-1",), 2), (("--max_seq_length=65",), 2),
     (("--max_seq_length=65", "--output_dir=new/one"), 2), (("--data_dir=bad",), 1),
     (("--data_dir=bad", "--output_dir=new/one"), 1)],
)  # fmt: skip
def test_what_is_refused_leaves_nothing(refused, launched, tmp_path, pretrained, flags, status):
    data = write_sst2(tmp_path / "data")
    shutil.copytree(data, tmp_path / "bad")
    (tmp_path / "bad" / "train.tsv").write_text("sentence\tlabel\nno label here\n")
    shutil.copytree(pretrained, tmp_path / "out" / "checkpoint-1")
    before = {*tmp_path.rglob("*")}
    words = ("--do_train", "--data_dir", data, "--output_dir=out", "--overwrite_output_dir", *flags)
    refused(*words, status=status)
    assert {*tmp_path.rglob("*")} == before
    if status == 2:
        assert launched(*words)[0] == 2
        assert {*tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("model", "is_refused"),
    [("out", True), ("out/checkpoint-2", True), ("out/previous/1", True),
     ("out/prev_trained_model/mine", False), ("out/checkpoints", False), ("outside", False)],
)  # fmt: skip
def test_only_a_model_where_runs_write_is_in_danger(tmp_path, monkeypatch, model, is_refused):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    flags = parse_flags(["--do_train", "--output_dir=out", f"--model_name_or_path={model}"])
    expected = pytest.raises(UsageError, match="is in --output_dir out: choose another")
    with expected if is_refused else nullcontext():
        check_output_dir(flags, None, resumes=False)


def test_the_place_of_the_logs_is_looked_at(launched, refused, tmp_path):
    data = write_sst2(tmp_path / "data")
    (tmp_path / "file").touch()
    flags = ("--do_train", "--data_dir", data)
    words = "--log_dir file cannot be made: file is no folder: name another folder"
    assert words in refused(*flags, "--log_dir=file", status=2)
    status, line, started = launched(*flags, before=("--log_dir=file",))
    assert (status, started) == (2, [])
    assert words in line


def test_a_run_that_can_start_starts(launched, tmp_path):
    data = write_sst2(tmp_path / "data")
    status, line, started = launched("--do_train", "--data_dir", data)
    assert (status, line, len(started)) == (0, "", 1)
    # What another program wants is not known here, but that it is there.
    status, line, _ = launched("other.py", "--bogus")
    assert (status, len(started)) == (2, 1)
    assert "other.py is no file: give the program to start, then its flags, after --" in line
    (tmp_path / "other.py").touch()
    assert launched("other.py", "--bogus")[2:] == (started,)
    assert len(started) == 2


def test_a_run_that_is_started_again_must_go_on(launched, tmp_path):
    data = write_sst2(tmp_path / "data")
    flags = ("--do_train", "--data_dir", data)
    status, line, started = launched(*flags, before=("--max_restarts=1",))
    assert (status, started) == (2, [])
    assert "--max_restarts needs --resume" in line
    assert launched(*flags, "--resume", before=("--max_restarts=1",))[0] == 0


def test_the_machines_that_do_not_write_do_not_look_at_the_output_folder(launched, tmp_path):
    data = write_sst2(tmp_path / "data")
    machine = ("--nnodes=2", "--node_rank=1", "--master_addr=127.0.0.1")
    status, line, _ = launched("--do_train", "--data_dir", data, before=machine)
    assert (status, line) == (0, "")
    assert not (tmp_path / "outputs" / "SST-2").exists()


def test_all_that_is_missing_has_one_command_that_gets_it(launched, tmp_path, monkeypatch):
    published = tmp_path / "models" / "albert_base_v2"
    published.mkdir(parents=True)
    (published / "config.json").write_text("{}")
    line = launched("--do_train", model=published)[1]
    assert "dataset/SST-2/train.tsv is missing; no vocabulary in " in line
    assert "no weights in " in line
    command = f"python {ROOT}/tools/download.py sst-2 albert_base_v2"
    folders = "--data_path dataset --model_path models"
    assert line.endswith(f"get sst-2 and albert_base_v2 with: {command} {folders}\n")
    line = launched("--do_train", model=tmp_path / "mine")[1]
    assert f"no model in {tmp_path / 'mine'}: looked for config.json, spiece.model or" in line
    assert "drop --model_name_or_path and get" in line
    if not (ROOT / "dataset" / "SST-2").exists() and not (ROOT / DEFAULT_MODEL).exists():
        monkeypatch.chdir(ROOT)
        line = launched("--do_train", model=DEFAULT_MODEL)[1]
        assert line.endswith("python -m tools.download sst-2 albert_base_v2\n")


def test_processes_of_a_launcher_are_told_who_it_is(monkeypatch):
    """torchrun itself is not started here."""
    told = []
    monkeypatch.setattr(
        tools.machine.torchrun.torchrun, "run", lambda _: told.append(os.environ["ALBERT_LAUNCHER"])
    )
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr("logging.disable", lambda _: None)
    flags = tools.launch.LaunchFlags(program=("other.py",), device="cpu")
    assert tools.machine.torchrun.run_processes(flags, flags.program, flags.log_dir, 0, False) == 0
    assert told == [str(os.getpid())]
