"""What a launcher's recipe and its user's words come to, and the run that they start."""

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest
from helpers import ROOT, command, launch

from tools.cli.errors import UsageError
from tools.launching.recipe import launcher_parser, parse_recipe
from tools.machine.process_flags import ProcessFlags

FULL = ("--script=test/train_full_1p.sh", "--task=sst-2", "--batch_size=440")
NUMBERS = {"--nproc": "0", "--nnodes": "x", "--node_rank": "-1", "--batch_size": "0.5"}


def settle(*words, recipe=FULL, flags=("--fp16",)):
    """Return what a user's words come to."""
    found, words_of_user = parse_recipe([*recipe, "--", *flags, "--", *words])
    return launcher_parser(found).parse(words_of_user)[0]


def value_of(flag, words):
    return words[words.index(flag) + 1]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_what_the_user_says_stands_for_what_the_recipe_says():
    assert value_of("--batch_size", settle().command) == "440"
    words = settle("--batch-size", "8", "--device=cpu", "--", "--seed=7", "--", "--x").command
    assert value_of("--batch_size", words) == "8"
    assert value_of("--device", words) == "cpu"
    assert words[:3] == [sys.executable, "-u", "run_classifier.py"]
    assert "--oversubscribe" not in words
    assert words[-3:] == ["--seed=7", "--", "--x"]
    assert words.index("--seed=7") > words.index("--fp16")


def test_several_processes_are_started_by_torchrun():
    words = settle("--nnodes=2", "--node_rank=1", "--master_addr=host", "--device_id=3").command
    starter, program = words[: words.index("--")], words[words.index("--") + 1 :]
    assert starter[1:4] == ["-u", "-m", "tools.launch"]
    assert value_of("--node_rank", starter) == "1"
    assert value_of("--master_port", starter) == "29500"
    assert value_of("--log_dir", starter) == str(ROOT / "test" / "output" / "3")
    assert program[0] == "run_classifier.py"
    assert "--bind_cores" in program
    assert "--device_id" not in program
    words = settle("--nproc=2").command
    assert "--master_addr" not in words
    assert "--oversubscribe" not in words
    words = settle("--nproc=99", "--oversubscribe", "--device=cpu").command
    assert words[words.index("--oversubscribe") + 1] == "--nnodes"


def test_a_resumed_or_scored_run_overwrites_nothing():
    assert "--overwrite_output_dir" in settle().command
    assert "--overwrite_output_dir" not in settle("--", "--resume").command
    scored = settle(recipe=(*FULL, "--kind=eval"), flags=()).command
    assert not {"--overwrite_output_dir", "--do_train"} & set(scored)


def test_what_a_launcher_scores_has_the_length_of_its_training():
    assert value_of("--max_seq_length", settle().command) == "128"
    scored = settle(recipe=(*FULL, "--kind=eval"), flags=()).command
    assert "--max_seq_length" not in scored


def test_a_user_who_keeps_capitals_does_not_contradict_the_recipe():
    assert "--do_lower_case" in settle().command
    assert "--do_lower_case" not in settle("--", "--no-do-lower-case").command


def test_what_would_say_nothing_is_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        settle("--model_path=x", recipe=(*FULL, "--kind=eval", "--scores=train_full_1p.sh"))
    assert "--output_dir names the model to score" in capsys.readouterr().err
    monkeypatch.setenv("RANK_SIZE", "8")
    assert settle().processes == 1
    monkeypatch.setenv("RANK_SIZE", "abc")
    with pytest.raises(SystemExit):
        settle()
    assert "RANK_SIZE=abc: not a whole number; correct or unset it" in capsys.readouterr().err


def test_folders_are_the_user_s(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = (f"--script={ROOT}/test/train_full_1p.sh", *FULL[1:])
    (tmp_path / "my data" / "SST-2").mkdir(parents=True)
    found = settle("--data_path=my data", "--output-dir", "it's", recipe=recipe)
    assert found.data_dir == tmp_path / "my data" / "SST-2"
    assert found.flags.model_path == ROOT / "prev_trained_model" / "albert_base_v2"
    (tmp_path / "my data" / "prev_trained_model" / "albert_base_v2").mkdir(parents=True)
    found = settle("--data_path=my data", "--output-dir", "it's", recipe=recipe)
    assert shlex.split(found.shell_settings) == [
        "device=auto",
        f"data_dir={tmp_path}/my data/SST-2",
        f"model_path={tmp_path}/my data/prev_trained_model/albert_base_v2",
        f"output_dir={tmp_path}/it's",
    ]


def test_a_launcher_that_makes_its_data_does_not_look_for_it(tmp_path):
    found = settle(f"--data_path={tmp_path}", recipe=(*FULL, "--makes_data"))
    assert found.data_dir == tmp_path / "SST-2"


def lacks(recipe, *words):
    """Return what a launcher says that it lacks."""
    with pytest.raises(UsageError) as said:
        settle(*words, recipe=recipe).check_inputs()
    return str(said.value)


def test_all_that_a_launcher_lacks_is_one_line_in_its_own_words(tmp_path, monkeypatch):
    """With the one command that gets all of it, where it is looked for."""
    monkeypatch.chdir(tmp_path)
    recipe = (f"--script={ROOT}/test/train_full_1p.sh", *FULL[1:])
    (tmp_path / "albert_base_v2").mkdir()
    (tmp_path / "albert_base_v2" / "config.json").touch()
    (tmp_path / "glue" / "SST-2").mkdir(parents=True)
    (tmp_path / "glue" / "SST-2" / "train.tsv").touch()
    words = ("--data_path=glue", "--model_path=albert_base_v2")
    assert lacks(recipe, *words) == (
        "there is no dev.tsv in glue/SST-2 (--data_path=glue); there is no spiece.model and "
        "model.safetensors in albert_base_v2 (--model_path=albert_base_v2); get them with: python "
        f"{ROOT}/tools/download.py sst-2 albert_base_v2 --data_path glue --model_path ."
    )
    assert "no dev.tsv and test.tsv in" in lacks(recipe, *words, "--", "--do_predict")
    # What the user gives run_classifier.py itself is not looked for here.
    assert "SST-2" not in lacks(recipe, *words, "--", "--data-dir=x")
    # Weights of another kind are there: who reads them says what they are.
    (tmp_path / "albert_base_v2" / "tf_model.h5").touch()
    assert "no spiece.model in albert_base_v2" in lacks(recipe, *words)
    settle(*words, "--", "--data_dir=x", "--random_init", recipe=recipe).check_inputs()
    settle(*words, recipe=(*recipe, "--makes_data")).check_inputs()
    assert lacks(recipe, "--model_path=mine", "--", "--data_dir=x") == (
        "there is no config.json, spiece.model and model.safetensors in mine (--model_path=mine)"
    )


def test_a_launcher_that_scores_says_who_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = (f"--script={ROOT}/test/train_eval_8p.sh", *FULL[1:], "--kind=eval")
    recipe += ("--scores=train_full_8p.sh",)
    said = lacks(recipe, "--data_path=x", "--output_dir=out")
    assert (
        "there is no dev.tsv in x/SST-2 (--data_path=x); there is no trained model in out" in said
    )
    assert said.endswith("sst-2 --data_path x; run test/train_full_8p.sh first")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        *(([f"{flag}={value}"], f"{flag}={value}: not a") for flag, value in NUMBERS.items()),
        (["--master-port", "99999"], "--master-port=99999: not a whole number from 1 to 65535"),
        (["--device=tpu"], "--device=tpu: not one of auto, npu, cuda, cpu"),
        (["--workers=10000"], "--workers=10000, but there are "),
        (["--workers"], "--workers needs a value: --workers=…"),
        (["--output_dir", ""], "--output_dir needs a value: --output_dir=…"),
        (["--device=cpu", "--nproc=9999"], "--nproc=9999 on the CPU, but there are "),
        (["--data_path=\udcc4\udce3"], "b'--data_path=\\xc4\\xe3' is no text in UTF-8"),
        (["--", "--data_dir=\udcc4"], "b'--data_dir=\\xc4' is no text in UTF-8"),
        (["--", "--batch-size", "8"], "give --batch-size before the --: the report names it"),
        (["--", "--seeds=5"], "--seeds is none of a launcher, which reports one training"),
        (["nonsense", "--help"], "nonsense is no flag of this launcher; see --help"),
    ],
)
def test_wrong_words_are_one_line(capsys, words, message):
    with pytest.raises(SystemExit) as ended:
        settle(*words)
    output = capsys.readouterr()
    assert (ended.value.code, output.out) == (2, "")
    assert output.err.startswith(f"train_full_1p.sh: error: {message}")
    assert output.err.count("\n") == 1


def test_both_forms_of_the_command_check_numbers_of_machines_alike():
    with pytest.raises(UsageError, match="--nnodes=2 needs --master_addr=HOST"):
        ProcessFlags(nnodes=2)
    with pytest.raises(UsageError, match="--node_rank=1 is not below --nnodes=1"):
        ProcessFlags(node_rank=1)


@pytest.mark.parametrize(
    ("word", "status", "said"),
    [("--help", 0, "SST-2 on one device"), ("--nproc=0", 2, "not a whole number above 0")],
)
def test_words_are_answered_before_anything_is_installed(clone, tmp_path, word, status, said):
    """By a Python that has nothing but itself."""
    python = tmp_path / "bare" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    assert command(python, "-c", "import torch", cwd=tmp_path).returncode == 1
    result = launch(clone, "train_full_1p.sh", word, VIRTUAL_ENV=str(tmp_path / "bare"))
    assert result.returncode == status
    assert said in result.stdout + result.stderr
    assert "installing" not in result.stdout
    assert not (clone / "test" / "output").exists()


RUN_LOGGED = """
import os, sys
from pathlib import Path
from tools.launching.launcher import run_logged
lock = os.open(os.devnull, os.O_RDONLY)
sys.exit(run_logged([sys.executable, "-u", "-c", sys.argv[1]], Path(sys.argv[2]), lock))
"""


def start_logged(program, log, *before):
    """Start a program as a launcher does, in a process group of its own as a terminal would have it."""
    return subprocess.Popen(
        [*before, sys.executable, "-c", RUN_LOGGED, program, log],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_a_reader_that_goes_away_does_not_cost_the_log(tmp_path):
    program = "import sys\nfor n in range(30000): print('line', n)\nprint('end', file=sys.stderr)"
    process = start_logged(program, tmp_path / "log")
    assert process.stdout.readline() == b"line 0\n"
    process.stdout.close()
    assert (process.stderr.read(), process.wait(timeout=60)) == (b"", 0)
    process.stderr.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == [*(f"line {n}" for n in range(30000)), "end"]


ENDS_IN_ORDER = """
import signal, sys, time
def end(number, frame):
    print('got', signal.Signals(number).name)
    time.sleep(1)
    print('done')
    sys.exit(7)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, end)
print('ready')
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_run_once_and_its_last_words_the_log(tmp_path, number):
    process = start_logged(ENDS_IN_ORDER, tmp_path / "log")
    assert process.stdout.readline() == b"ready\n"
    if number == signal.SIGINT:  # A terminal sends it to the whole group.
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    began = time.monotonic()
    output, errors = process.communicate(timeout=30)
    assert time.monotonic() - began < 30
    said = f"got {number.name if number == signal.SIGINT else 'SIGTERM'}\ndone\n"
    assert (process.returncode, output, errors) == (7, said.encode(), b"")
    assert (tmp_path / "log").read_text() == f"ready\n{said}"


def test_a_hang_up_is_ignored_where_nohup_says_so(tmp_path):
    process = start_logged(ENDS_IN_ORDER, tmp_path / "log", "nohup")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30) == (b"got SIGTERM\ndone\n", b"")


def test_a_run_that_a_signal_kills_has_the_status_that_a_shell_gives(tmp_path):
    process = start_logged("import os; os.kill(os.getpid(), 9)", tmp_path / "log")
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGKILL
