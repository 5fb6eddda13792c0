"""The launchers as a user starts them."""

import fcntl
import json
import re
import shutil
import signal
import subprocess
import sys

import pytest
from helpers import ROOT, SMALL, command, launch, start_command
from safetensors.torch import load_file

NETWORK = "albert_ID0335_for_PyTorch"


@pytest.mark.parametrize("where", ["", "test"])
def test_full_run_writes_the_reports_of_the_references(clone, where):
    result = launch(clone, "train_full_1p.sh", *SMALL, cwd=clone / where)
    assert result.returncode == 0, result.stdout + result.stderr
    log_dir = clone / "test" / "output" / "0"
    log = (log_dir / "train_0.log").read_text()
    assert log in result.stdout
    assert re.search(r"^\[Training\] .* loss: \d", log, re.MULTILINE)
    measured = re.findall(r"^ FPS = (\S+)  padding = bucket$", log, re.MULTILINE)
    fps = [float(value) for value in measured]
    accuracies = re.findall(r"^  acc = (.*)$", log, re.MULTILINE)
    report = result.stdout.splitlines()[-6:]
    assert report[0] == "------------------ Final result ------------------"
    assert report[1] == f"Final Performance images/sec : {max(fps)}"
    assert report[2] == "Final Performance padding : bucket"
    assert report[3] == f"Final Train Accuracy : {accuracies[-1]}"
    assert re.fullmatch(r"E2E Training Duration sec : \d+", report[4])
    assert report[5].startswith("(images/sec are sentences or pairs of sentences per second")

    case = f"{NETWORK}_bs8_1p_acc"
    pairs = dict(line.split(" = ") for line in (log_dir / f"{case}.log").read_text().splitlines())
    losses = (log_dir / f"train_{case}_loss.txt").read_text().split()
    assert list(pairs) == ["Network", "RankSize", "BatchSize", "DeviceType", "CaseName", "ActualFPS",
                           "Padding", "ActualLoss", "E2ETrainingTime"]  # fmt: skip
    assert pairs["CaseName"] == case
    assert (pairs["ActualFPS"], pairs["Padding"]) == (str(max(fps)), "bucket")
    assert pairs["ActualLoss"] == losses[-1]
    steps = (clone / "outputs" / "SST-2" / "metrics.jsonl").read_text().splitlines()
    assert losses == [str(json.loads(line)["loss"]) for line in steps if '"step", "t' in line]
    assert (clone / "outputs" / "SST-2" / "model.safetensors").is_file()


def test_sts_b_reports_the_pearson_correlation(clone):
    result = launch(clone, "train_finetune_1p.sh", *SMALL)
    assert result.returncode == 0, result.stdout + result.stderr
    pearson = re.findall(r"^  pearson = (.*)$", result.stdout, re.MULTILINE)[-1]
    assert f"Final Train Accuracy : {pearson} (Pearson correlation)" in result.stdout.splitlines()


def test_a_second_run_keeps_the_first(clone):
    assert launch(clone, "train_full_1p.sh", *SMALL).returncode == 0
    log_dir, outputs = clone / "test" / "output" / "0", clone / "outputs" / "SST-2"
    first = (log_dir / "train_0.log").read_bytes(), (outputs / "model.safetensors").read_bytes()
    assert launch(clone, "train_full_1p.sh", *SMALL, "--seed=7").returncode == 0
    assert (log_dir / "previous" / "1" / "train_0.log").read_bytes() == first[0]
    assert (outputs / "previous" / "1" / "model.safetensors").read_bytes() == first[1]
    assert (log_dir / "train_0.log").is_file()


def test_folders_are_relative_to_where_the_user_is(clone, tmp_path):
    shutil.move(clone / "dataset", tmp_path / "my data")
    shutil.move(clone / "prev_trained_model", tmp_path / "my data")
    result = launch(
        clone, "train_full_1p.sh", "--data_path", "my data", "--output-dir=result", "--device_id=3",
        *SMALL, cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "result" / "model.safetensors").is_file()
    assert (clone / "test" / "output" / "3" / "train_3.log").is_file()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--data_path=nowhere"], "no train.tsv and dev.tsv in nowhere/SST-2 .--data_path=nowhere"),
        (["--data_path="], "--data_path needs a value: --data_path="),
        (
            ["--model_path=no"],
            "no config.json, spiece.model and model.safetensors in no .--model_path=no",
        ),
        (["--batch_size=many"], "--batch_size=many: not a whole number"),
        (["--epochs=3"], "--epochs is no flag of this launcher"),
        (["nonsense"], "nonsense is no flag"),
        (["--device"], "--device needs a value"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(clone, flags, words):
    result = launch(clone, "train_full_1p.sh", *flags)
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(rf"train_full_1p.sh: error: .*{words}.*\n", result.stderr)


def test_a_launcher_whose_streams_are_closed_trains_all_the_same(clone):
    """And neither it nor its training writes what it says into a file that got a stream's number."""
    tiny = ("--batch_size=8", "--workers=1", "--", "--max_seq_length=32", "--max_steps=1")
    words = ("bash", clone / "test" / "train_full_1p.sh", "--device=cpu", *tiny)
    result = command(
        "bash", "-c", '"$@" <&- >&- 2>&-', "bash", *words, cwd=clone, VIRTUAL_ENV=sys.prefix
    )
    assert result.returncode == 0
    assert (
        "Saving model checkpoint" in (clone / "test" / "output" / "0" / "train_0.log").read_text()
    )
    load_file(clone / "outputs" / "SST-2" / "model.safetensors")


def test_ascends_device_id_names_the_log_folder(clone):
    tiny = ("--device=cpu", "--batch_size=8", "--", "--max_seq_length=32", "--max_steps=1")
    result = launch(clone, "train_full_1p.sh", *tiny, ASCEND_DEVICE_ID="5")
    assert result.returncode == 0, result.stdout + result.stderr
    output = clone / "test" / "output"
    assert [folder.name for folder in output.iterdir()] == ["5"]
    assert (output / "5" / "train_5.log").is_file()
    arguments = json.loads((clone / "outputs" / "SST-2" / "training_args.json").read_text())
    assert arguments["device_id"] == 5
    # What the user says wins, also over what would be refused.
    result = launch(clone, "train_full_1p.sh", "--device_id=3", *tiny, ASCEND_DEVICE_ID="0,1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert (output / "3" / "train_3.log").is_file()
    result = launch(clone, "train_full_1p.sh", *tiny, ASCEND_DEVICE_ID="0,1")
    assert result.returncode == 2
    assert (
        "ASCEND_DEVICE_ID=0,1: not a whole number; correct it or give --device_id" in result.stderr
    )


@pytest.mark.parametrize(("flag", "sourced"), [("", True), ("false", True), ("true", False)])
def test_a_platform_that_has_set_up_the_npu_is_left_alone(clone, flag, sourced):
    """The launcher ends before it trains: nothing is prepared."""
    (clone / "test" / "env_npu.sh").write_text("echo the environment is set up\n")
    script = f'. "{clone}/test/common.sh"; task=sst-2; batch_size=8; prepare() {{ exit 7; }}; launch "$@"'
    (clone / "test" / "train_it.sh").write_text(f"#!/usr/bin/env bash\n# It.\n{script}\n")
    (clone / "packages").mkdir()
    (clone / "packages" / "torch_npu.py").touch()  # Only a Python that has it will do for an NPU.
    variables = {"etp_running_flag": flag, "PYTHONPATH": str(clone / "packages")}
    for device, expected in (("npu", sourced), ("cpu", False)):
        result = launch(clone, "train_it.sh", f"--device={device}", **variables)
        assert result.returncode == 7, result.stderr
        assert ("the environment is set up" in result.stdout) == expected


def test_a_failed_training_fails_the_launcher(clone):
    (clone / "dataset" / "SST-2" / "dev.tsv").write_text("sentence\tlabel\nfine\n")
    result = launch(clone, "train_full_1p.sh", *SMALL)
    assert result.returncode == 1
    assert "dev.tsv, line 2: 1 tab-separated columns, not 2" in result.stdout
    assert "Final result" not in result.stdout
    assert re.fullmatch(
        r"train_full_1p.sh: error: the run ended with status 1; its log is .*\n", result.stderr
    )


def test_two_runs_cannot_share_a_log(clone):
    log_dir = clone / "test" / "output" / "0"
    log_dir.mkdir(parents=True)
    with (log_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = launch(clone, "train_full_1p.sh", *SMALL)
    assert result.returncode == 2
    assert "give --device_id another number" in result.stderr


def test_sigterm_ends_the_launcher_and_its_training(clone):
    words = ["bash", str(clone / "test" / "train_full_1p.sh"), "--device=cpu", "--batch_size=8"]
    process = start_command(
        [*words, "--", "--max_seq_length=32", "--max_steps=1000000"],
        cwd=clone,
        env={"PATH": "/usr/bin:/bin", "VIRTUAL_ENV": sys.prefix, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in process.stdout:
        if "[Training]" in line:
            break
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "terminated" in rest
    assert not list((clone / "outputs" / "SST-2").glob(".writing-*"))
    log = clone / "test" / "output" / "0" / ".lock"
    with log.open() as lock:  # nobody of the run is left: they would hold the lock
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_help_says_what_the_launcher_takes(clone):
    result = launch(clone, "train_full_1p.sh", "--help")
    assert result.returncode == 0
    assert "SST-2 on one device" in result.stdout
    for flag in ("--data_path=DIR", "--device_id=N", "--workers=N", "-- FLAGS"):
        assert flag in result.stdout


def test_without_an_index_the_set_up_says_so_in_one_line(clone, tmp_path):
    """A new environment, and no place that pip could install from."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "empty"], check=True)
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": ""}
    result = launch(clone, "train_demo_1p.sh", VIRTUAL_ENV=str(tmp_path / "empty"), **offline)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert re.match(
        r"train_demo_1p.sh: error: pip could not install torch==.*: ERROR: ", result.stderr
    )


def test_an_interrupted_launcher_run_goes_on(clone):
    flags = (*SMALL, "--save_steps=5")
    assert launch(clone, "train_full_1p.sh", *flags).returncode == 0
    shutil.rmtree(clone / "outputs" / "SST-2" / "checkpoint-10")
    result = launch(clone, "train_full_1p.sh", *flags, "--resume")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "optimizer steps = 10, done = 5" in result.stdout


def test_what_the_report_names_is_given_to_the_launcher(clone):
    result = launch(clone, "train_full_1p.sh", "--device=cpu", "--", "--batch_size", "8")
    assert result.returncode == 2
    assert "give --batch_size before the --" in result.stderr
    words = ("--", "--per-gpu-train-batch-size=8")
    result = launch(clone, "train_full_1p.sh", "--device=cpu", *words)
    assert result.returncode == 2
    assert "give --per-gpu-train-batch-size before the --" in result.stderr


def installed(folder, **versions):
    """Let a Python that starts in ``folder`` believe that packages are installed."""
    for name, version in versions.items():
        metadata = folder / f"{name}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return {"PYTHONPATH": str(folder)}


def test_only_what_is_missing_or_too_old_is_installed(tmp_path):
    (tmp_path / "pins").write_text("numpy==9.9\nno-such-package==1.0  # why\npytest==1.0\n")
    (tmp_path / "needs").write_text("# comment\nnumpy>=99.0\nno-such-package>=0.5\npytest>=1.0\n")
    tool = ROOT / "tools" / "cli" / "missing_requirements.py"
    todays = installed(tmp_path / "packages", torch="2.13.0")
    result = command(sys.executable, tool, "pins", "needs", cwd=tmp_path, **todays)
    assert result.stdout.split() == ["numpy==9.9", "no-such-package==1.0"]


def test_a_line_may_be_for_some_pythons(tmp_path):
    ours = "{}.{}".format(*sys.version_info)
    pins = [f'no-such-package==2.0; python_version >= "{ours}"']
    pins += [f'no-such-package==1.0; python_version < "{ours}"']
    (tmp_path / "pins").write_text("\n".join(pins))
    (tmp_path / "needs").write_text(
        f'no-such-package>=0.5\nno-other>=1.0; python_version < "{ours}"\n'
    )
    tool = ROOT / "tools" / "cli" / "missing_requirements.py"
    todays = installed(tmp_path / "packages", torch="2.13.0")
    result = command(sys.executable, tool, "pins", "needs", cwd=tmp_path, **todays)
    assert result.stdout.split() == ["no-such-package==2.0"], result.stderr


def test_what_goes_with_an_old_torch_is_old(tmp_path):
    old = installed(tmp_path / "packages", torch="2.1.0+cpu", numpy="1.25.0")
    tool = ROOT / "tools" / "cli" / "missing_requirements.py"
    words = (sys.executable, tool, ROOT / "constraints.txt", ROOT / "requirements.txt")
    result = command(*words, cwd=tmp_path, **old)
    assert result.stdout.split() == ["numpy==1.26.0"], result.stderr


def test_the_oldest_versions_are_those_that_the_requirements_ask_for():
    pins = (ROOT / "constraints-oldest.txt").read_text()
    for name in ("requirements.txt", "requirements-test.txt", "requirements-tensorflow.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if not line.startswith(("#", "ruff", "shellcheck")):
                bound = re.escape(line.replace(">=", "=="))
                assert re.search(rf"^{bound}(\.\d+)*$", pins, re.MULTILINE), line


def test_numpy_2_beside_an_old_torch_is_one_line(tmp_path):
    old = installed(tmp_path / "packages", torch="2.1.0", numpy="2.2.6")
    result = command(sys.executable, ROOT / "run_classifier.py", "--help", cwd=tmp_path, **old)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert 'is too old for numpy 2: python3 -m pip install "numpy<2"' in result.stderr


def test_a_python_too_old_is_one_line(clone, tmp_path):
    python = tmp_path / "old" / "bin" / "python"
    python.parent.mkdir(parents=True)
    code = "import sys; sys.version_info = (3, 9, 18); exec(sys.argv[2])"
    python.write_text(
        '#!/bin/sh\n[ "$1" != --version ] || exec echo Python 3.9.18\n'
        f'exec "{sys.executable}" -c "{code}" "$@"\n'
    )
    python.chmod(0o755)
    result = launch(clone, "train_full_1p.sh", *SMALL, VIRTUAL_ENV=str(tmp_path / "old"))
    assert result.returncode == 1
    words = f"{python} is Python 3.9.18: this project needs Python 3.10 or later"
    assert result.stderr == f"train_full_1p.sh: error: {words}\n"
    python.write_text(python.read_text().replace("3, 9", "3, 10"))
    result = launch(clone, "train_full_1p.sh", "--help", VIRTUAL_ENV=str(tmp_path / "old"))
    assert "this project needs" not in result.stderr


def test_the_oldest_stack_needs_its_python(clone, tmp_path):
    """It is looked for on the PATH, where pyenv's may say that there is none, and among pyenv's."""
    stub = tmp_path / "bin" / "python3.10"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\necho pyenv: python3.10: command not found >&2; exit 127\n")
    stub.chmod(0o755)
    path = f"{stub.parent}:/usr/bin:/bin"
    words = ("bash", clone / "test" / "run_tests.sh", "--oldest")
    result = command(*words, cwd=clone, PATH=path, HOME=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == (
        "run_tests.sh: error: --oldest needs Python 3.10, and there is no python3.10 on the PATH or in "
        "~/.pyenv/versions/3.10*/bin\n"
    )
    assert not (clone / ".venv-oldest").exists()


def test_what_only_some_tests_need_may_be_missing(clone):
    """One package cannot be had, the other is there under whatever name it was installed."""
    with (clone / "constraints.txt").open("a") as pins:
        pins.write("no-such-package==1.0\n")
    (clone / "needs").write_text("no-such-package>=0.5\n")
    script = (
        f'set -euo pipefail; ROOT="{clone}"; . test/setup.sh; PYTHON="{sys.executable}"; '
        'try_requirements no_such needs "some tests"; try_requirements json needs no; echo went on'
    )
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": ""}
    todays = installed(clone / "packages", torch="2.13.0")
    result = command("bash", "-c", script, cwd=clone, **offline, **todays)
    assert result.returncode == 0, result.stderr
    first, second, third = result.stdout.splitlines()
    assert (first, third) == ("installing no-such-package==1.0", "went on")
    words = "some tests will be skipped: pip could not install no-such-package==1.0: ERROR: "
    assert second.startswith(words)
