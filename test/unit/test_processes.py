"""Several processes learn and score what one does, however they were started."""

import math
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from helpers import (
    ROOT,
    SMALL,
    accuracy,
    command,
    free_port,
    launch,
    one_line_error,
    records,
    start_command,
    write_sst2,
)
from safetensors.torch import load_file

from tools.results.run_folder import RunFolder

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node")


def assert_same_weights(first, second, atol=1e-5):
    one, two = (load_file(folder / "model.safetensors") for folder in (first, second))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, atol=atol, rtol=0)


def logs(folder):
    return [file.read_text() for file in sorted(folder.glob("rank_*.log"))]


def test_two_processes_learn_what_one_does(run_classifier, no_dropout, tmp_path):
    """One batch of the epoch has one example, so that one of two processes has none of it."""
    accumulation = 2
    data = write_sst2(tmp_path / "data", train=401)
    flags = ("--data_dir", data, "--do_train", "--do_eval", "--num_train_epochs", "1",
             "--learning_rate", "1e-2", "--save_steps", "0", "--model_name_or_path", no_dropout,
             "--max_seq_length", "32", "--gradient_accumulation_steps", accumulation)  # fmt: skip
    one = run_classifier(*flags, "--output_dir", "one", "--batch_size", "8")
    two = command(
        sys.executable, *TORCHRUN, "2", ROOT / "run_classifier.py", *flags, "--device", "cpu",
        "--output_dir", "two", "--batch_size", "4", cwd=tmp_path,
    )  # fmt: skip
    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    assert accuracy(one.stdout) == accuracy(two.stdout)
    assert_same_weights(tmp_path / "one", tmp_path / "two")
    losses = [[r["loss"] for r in records(tmp_path / name, "step")] for name in ("one", "two")]
    assert len(losses[0]) == math.ceil(401 / (8 * accumulation))
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    # Rank 0 writes what one process writes; each has a log; one of them tokenized.
    written = [{f.name for f in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert written[1] == written[0] | {"logs"}
    said = [RunFolder(tmp_path / name).dev_predictions() for name in ("one", "two")]
    assert [[r["id"], r["prediction"]] for r in said[0]] == [
        [r["id"], r["prediction"]] for r in said[1]
    ]
    assert len(said[0]) == 30
    both = logs(tmp_path / "two" / "logs")
    assert len(both) == 2
    assert "precision = fp32" in both[1]
    (training,) = records(tmp_path / "two", "training")
    assert training["samples_per_second"] > 0
    assert 0.5 < training["padding_efficiency"] <= 1
    assert training["peak_memory_bytes"] > 2**20


def test_two_processes_go_on_where_one_stopped(run_classifier, no_dropout, sst2, tmp_path):
    flags = ("--data_dir", sst2, "--do_train", "--max_steps", "6", "--learning_rate", "1e-2",
             "--model_name_or_path", no_dropout, "--max_seq_length", "32")  # fmt: skip
    one = run_classifier(*flags, "--save_steps", "3", "--output_dir", "one", "--batch_size", "8")
    assert one.returncode == 0, one.stderr
    shutil.copytree(tmp_path / "one" / "checkpoint-3", tmp_path / "two" / "checkpoint-3")
    two = command(
        sys.executable, *TORCHRUN, "2", ROOT / "run_classifier.py", *flags, "--device", "cpu",
        "--resume", "--output_dir", "two", "--batch_size", "4", cwd=tmp_path,
    )  # fmt: skip
    assert two.returncode == 0, two.stderr
    assert "optimizer steps = 6, done = 3" in two.stdout
    assert_same_weights(tmp_path / "one", tmp_path / "two")


def test_one_process_tokenizes_and_the_others_read(tmp_path, pretrained):
    data = write_sst2(tmp_path / "data")
    flags = (
        "--data_dir",
        data,
        "--do_train",
        "--max_steps",
        "2",
        "--model_name_or_path",
        pretrained,
    )
    result = command(
        sys.executable, ROOT / "tools" / "launch.py", "--nproc", "2",
        "--device", "cpu",
        "--log_dir", "logs", "--", ROOT / "run_classifier.py", *flags, "--device", "cpu",
        "--max_seq_length", "32", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    sources = [re.search(r"160 examples(.*)", log)[1] for log in logs(tmp_path / "logs")]
    assert "tokens" in sources[0]
    assert all("from cached_train_" in source for source in sources[1:])
    assert len(list(data.glob("cached_train_*"))) == 1


def test_a_score_does_not_depend_on_the_number_of_processes(clone):
    """2 of them, after a training by 3 (or 8), which scores with as many; the dev set has 30 examples."""
    many = 8 if os.environ.get("ALBERT_TEST_LONG") else 3
    trained = launch(clone, "train_full_8p.sh", "--device=cpu", "--oversubscribe", f"--nproc={many}",
                     "--batch_size=2", "--",
                     *SMALL[3:], "--learning_rate=1e-2")  # fmt: skip
    assert trained.returncode == 0, trained.stdout + trained.stderr
    log_dir = clone / "test" / "output" / "0"
    assert len(logs(log_dir)) == many
    case = (log_dir / f"albert_ID0335_for_PyTorch_bs2_{many}p_acc.log").read_text()
    assert f"RankSize = {many}\nBatchSize = 2\n" in case
    measured = re.findall(r"^ FPS = (\S+)", trained.stdout, re.MULTILINE)
    fps = max(map(float, measured))
    assert f"ActualFPS = {fps}\n" in case
    assert f"Final Performance images/sec : {fps}" in trained.stdout
    flags = ("--device=cpu", "--batch_size=5", "--nproc=2", "--",
             "--max_seq_length=32")  # fmt: skip
    result = launch(clone, "train_eval_8p.sh", *flags)
    assert result.returncode == 0, result.stdout + result.stderr
    (score,) = accuracy(result.stdout)
    assert f"Final Train Accuracy : {score}" in result.stdout
    assert score == accuracy(trained.stdout)[-1]


def test_performance_runs_save_as_those_of_the_references(clone):
    flags = ("--device=cpu", "--batch_size=8", "--nproc=2", "--", "--max_seq_length=32")
    result = launch(clone, "train_performance_8p.sh", *flags)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(" FPS = ") == 2  # its two epochs
    saved = sorted(file.name for file in (clone / "outputs" / "SST-2").glob("checkpoint-*"))
    assert saved == ["checkpoint-10", "checkpoint-20"]
    log_dir = clone / "test" / "output" / "0"
    assert (log_dir / "albert_ID0335_for_PyTorch_bs8_2p_perf.log").is_file()
    assert (log_dir / "train_albert_ID0335_for_PyTorch_bs8_2p_perf_loss.txt").is_file()


def start(clone, *flags, last=()):
    return start_command(
        ["bash", clone / "test" / "train_full_8p.sh", "--device=cpu", *flags, "--", *SMALL[3:], *last],
        cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={"PATH": "/usr/bin:/bin", "VIRTUAL_ENV": sys.prefix, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_two_launchers_side_by_side_do_not_disturb_each_other(clone):
    flags = ("--nproc=2", "--batch_size=4")
    runs = [start(clone, *flags, f"--device_id={i}", f"--output_dir=out{i}") for i in range(2)]
    for run in runs:
        output, _ = run.communicate(timeout=200)
        assert run.returncode == 0, output
    assert_same_weights(clone / "out0", clone / "out1", atol=0)


def test_two_machines_train_together(clone, no_dropout, tmp_path):
    """Two launchers, each with files of its own: nothing but the network is common."""
    # O0 is fp32 on every CPU: in bf16, LAMB makes much of the rounding of a gradient near 0.
    recipe = ("--learning_rate=180e-5", "--fp16_opt_level=O0")
    port = free_port()
    other = tmp_path / "other machine"
    subprocess.run(["cp", "-r", clone, other], check=True)
    flags = ("--nproc=1", "--nnodes=2", "--master_addr=127.0.0.1", f"--master_port={port}",
             "--batch_size=4", f"--model_path={no_dropout}")  # fmt: skip
    folders = (clone, other)
    runs = [start(f, *flags, f"--node_rank={i}", last=recipe) for i, f in enumerate(folders)]
    outputs = [run.communicate(timeout=200)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert "Final Train Accuracy" in outputs[0]
    assert outputs[1].endswith("the report is on 127.0.0.1, the machine with --node_rank=0\n")
    assert not (other / "outputs" / "SST-2" / "model.safetensors").exists()
    alone = launch(
        clone, "train_full_1p.sh", "--device=cpu", "--batch_size=8", f"--model_path={no_dropout}",
        "--output_dir=alone", "--", *SMALL[3:], *recipe,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert_same_weights(clone / "alone", clone / "outputs" / "SST-2")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--nproc=0"], "--nproc=0: not a whole number above 0"),
        (["--nproc=2", "--nnodes=2"], "needs --master_addr=HOST"),
        (
            ["--nnodes=2", "--node_rank=2", "--master_addr=x"],
            "--node_rank=2 is not below --nnodes=2",
        ),
    ],
)
def test_wrong_numbers_of_processes_are_said(clone, flags, words):
    result = launch(clone, "train_full_8p.sh", "--device=cpu", *flags)
    assert result.returncode == 2
    assert words in result.stderr
    assert not (clone / "test" / "output").exists()


def test_eval_before_training_says_what_to_run(clone):
    result = launch(clone, "train_eval_8p.sh", "--nproc=1")
    assert result.returncode == 2
    assert re.fullmatch(
        r"train_eval_8p.sh: error: .*run test/train_full_8p.sh first\n", result.stderr
    )


def test_an_error_that_all_processes_find_is_said_once(tmp_path, pretrained):
    result = command(
        sys.executable, *TORCHRUN[:-1], "--nproc_per_node=2", ROOT / "run_classifier.py", "--do_train",
        "--data_dir", write_sst2(tmp_path / "data"), "--model_name_or_path", pretrained,
        "--max_seq_length=100", "--device=cpu", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("run_classifier.py: ")]
    assert len(lines) <= 1
    assert "--max_seq_length 100 is more than the model's 64" in result.stderr


def test_a_process_that_ends_without_a_word_is_named(tmp_path):
    (tmp_path / "silent.py").write_text("raise SystemExit(2)\n")
    flags = ("--nproc", "2", "--device", "cpu", "--log_dir", "logs", "--", "silent.py")
    result = command(sys.executable, ROOT / "tools" / "launch.py", *flags, cwd=tmp_path)
    assert result.returncode == 2
    last = result.stderr.splitlines()[-1]
    assert re.fullmatch(r"launch: error: rank \d \(process \d+\) ended with status 2", last)


def test_a_launcher_that_passes_the_local_rank_as_a_flag(tmp_path, pretrained):
    """As the references' do: a process a device, the rest in the environment."""
    data = write_sst2(tmp_path / "data")
    address = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    flags = ("--do_train", "--max_steps=2", "--data_dir", data, "--model_name_or_path", pretrained,
             "--max_seq_length=32", "--device=cpu")  # fmt: skip
    runs = [
        start_command(
            [sys.executable, ROOT / "run_classifier.py", *flags, f"--local_rank={rank}"],
            cwd=tmp_path, env=os.environ | address, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    outputs = [run.communicate(timeout=200)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert "processes: 2" in outputs[0]
    assert len(logs(tmp_path / "outputs" / "SST-2" / "logs")) == 2


def loop(folder, program, ranks, **environment):
    """Start a process for each rank as the references' launchers do; return how each of them ended."""
    unset = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "RANK_SIZE", "MASTER_ADDR", "MASTER_PORT")
    rest = {name: value for name, value in os.environ.items() if name not in unset}
    line = " ".join(f"'{word}'" for word in (sys.executable, *program))
    script = (
        f"for i in {ranks}; do (timeout 200 {line} --local_rank=$i >out$i 2>err$i; echo $? >rc$i) & done"
        "; wait"
    )
    environment = rest | {"OMP_NUM_THREADS": "1"} | environment
    subprocess.run(["bash", "-c", script], cwd=folder, env=environment, check=True, timeout=300)

    def read(rank):
        return (int((folder / f"rc{rank}").read_text()), (folder / f"out{rank}").read_text(),
                (folder / f"err{rank}").read_text())  # fmt: skip

    return [read(rank) for rank in range(len(ranks.split()))]


def test_the_loop_of_the_references_trains_together(run_classifier, tmp_path, no_dropout):
    """With RANK_SIZE in the environment, it ends with the weights that one process ends with."""
    data = write_sst2(tmp_path / "data")
    flags = ("--model_type=SST", "--do_train", "--max_steps=4", "--data_dir", data,
             "--model_name_or_path", no_dropout, "--max_seq_length=32",
             "--learning_rate=1e-2")  # fmt: skip
    program = (
        ROOT / "run_classifier.py",
        *flags,
        "--device=cpu",
        "--batch_size=4",
        "--output_dir=loop",
    )
    port = str(free_port())
    ends = loop(tmp_path, program, "1 0", RANK_SIZE="2", MASTER_PORT=port)
    assert [status for status, *_ in ends] == [0, 0], ends
    assert "processes: 2" in ends[0][1]
    assert len(logs(tmp_path / "loop" / "logs")) == 2
    alone = run_classifier(*flags, "--batch_size=8", "--output_dir", "alone")
    assert alone.returncode == 0, alone.stderr
    assert_same_weights(tmp_path / "loop", tmp_path / "alone")


def test_the_loop_without_a_number_is_refused_by_every_process(tmp_path, pretrained):
    program = (ROOT / "run_classifier.py", "--do_train", "--data_dir", write_sst2(tmp_path / "data"),
               "--model_name_or_path", pretrained, "--max_seq_length=32", "--device=cpu",
               "--output_dir=out")  # fmt: skip
    for rank, (status, _, stderr) in enumerate(loop(tmp_path, program, "1 0")):
        line = one_line_error(status, stderr, 2)
        assert f"--local_rank {rank}, but nothing says of how many: export RANK_SIZE=8" in line
    assert not (tmp_path / "out").exists()


def test_a_failure_in_the_loop_is_said_once_with_its_rank(tmp_path, pretrained):
    data = write_sst2(tmp_path / "data")
    (data / "train.tsv").write_text("sentence\tlabel\nfine\n")
    program = (ROOT / "run_classifier.py", "--do_train", "--data_dir", data, "--model_name_or_path",
               pretrained, "--max_seq_length=32", "--device=cpu")  # fmt: skip
    first, second = loop(tmp_path, program, "1 0", RANK_SIZE="2", MASTER_PORT=str(free_port()))
    assert "rank 0: " in one_line_error(first[0], first[2], 1)
    assert second[0] != 0
    assert "train.tsv" not in second[2]


def test_variables_of_a_run_without_an_address_are_refused(run_classifier, sst2, monkeypatch):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0")):
        monkeypatch.setenv(name, value)
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    result = run_classifier("--data_dir", sst2, "--do_train", "--local_rank", "0")
    line = one_line_error(result.returncode, result.stderr, 2)
    assert "no MASTER_ADDR and no MASTER_PORT in the environment" in line
