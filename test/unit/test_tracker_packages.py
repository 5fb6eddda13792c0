"""What is in the trackers themselves, where their packages are (requirements-trackers.txt)."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from struct import unpack_from

import pytest
from helpers import free_port, start_command, wait_until

from callback.trackers.base import PROJECT
from callback.trackers.reporter import Reporter

FLAGS = {"batch_size": 8, "learning_rate": 5e-5, "labels": ["a", "b"], "resume": False, "of": None}
START, SECONDS = 1_700_000_000.0, 90
LOSSES = {step: 1.0 / step for step in range(1, 31)}
RECORDS = [
    {"event": "step", "time": START + step, "step": step, "loss": loss, "learning_rate": 0.1}
    for step, loss in LOSSES.items()
]
EVALUATION = {"event": "eval", "time": START + 20, "step": 20, "acc": 0.5, "loss": 0.75}
OF_THE_MODEL = {"event": "eval", "time": START + 40, "model": "model", "acc": 0.75}
OF_THE_MODEL |= {"f1[a b]": 0.5, "intervals": {"acc": [0.7, 0.8]}}
# A run is killed after step 22, and goes on from a checkpoint after step 16.
FIRST = [*RECORDS[:20], EVALUATION, *RECORDS[20:22]]
SECOND = [*RECORDS[16:20], *RECORDS[20:], OF_THE_MODEL]


@pytest.fixture
def reported(tmp_path, monkeypatch, caplog):
    """Report a run that goes on once; return the output folder and what was logged."""
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(tmp_path)

    def run(tracker):
        for records, status in ((FIRST, "killed"), (SECOND, "finished")):
            report = Reporter(tracker, "out", tmp_path / "out", lambda: FLAGS)
            report(records)
            report.end(status)
            report.wait(time.monotonic() + SECONDS)
            log = (tmp_path / "out" / "trackers" / f"{tracker}.log").read_text()
            assert not [r for r in caplog.records if r.levelno > logging.INFO], log
        return tmp_path / "out"

    return run


def need(package):
    """Skip where ``package`` is not installed, without importing it."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed (requirements-trackers.txt)")


def test_tensorboard_reads_what_it_was_sent(reported, caplog):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="reads TensorBoard's files back (requirements-trackers.txt)",
    )
    folder = reported("tensorboard") / "tensorboard"
    assert f"tensorboard: {folder}" in caplog.messages
    found = accumulator.EventAccumulator(str(folder))
    found.Reload()
    events = found.Scalars("train/loss")
    assert {event.step: event.value for event in events} == pytest.approx(LOSSES)
    assert [event.wall_time for event in events] == [START + step for step in LOSSES]
    assert len(events) == 30
    assert [(e.step, e.value) for e in found.Scalars("eval/acc")] == [(20, 0.5), (30, 0.75)]
    assert [(e.step, e.value) for e in found.Scalars("final/acc")] == [(30, 0.75)]
    text = found.Tensors("flags")[0].tensor_proto.string_val[0].decode()
    assert "| batch_size | 8 |" in text


def test_trackio_has_what_it_was_sent(reported, tmp_path, monkeypatch, caplog):
    need("trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("TRACKIO_PROJECT", "mine")
    folder = reported("trackio")
    name = json.loads((folder / "trackers" / "trackio.json").read_text())["id"]
    assert f"trackio: trackio show --project mine (run {name})" in caplog.messages
    code = (
        "import json, sys; from trackio.sqlite_storage import SQLiteStorage as S\n"
        "runs = S.get_runs('mine'); logs = S.get_logs('mine', runs[0])\n"
        "json.dump([runs, logs, S.get_run_config('mine', runs[0])], sys.stdout)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=path()
    )
    runs, logs, config = json.loads(found.stdout)
    assert runs == [name]
    assert [(r["step"], r["train/loss"]) for r in logs if "train/loss" in r] == list(LOSSES.items())
    assert [(r["step"], r["eval/acc"]) for r in logs if "eval/acc" in r] == [(20, 0.5), (30, 0.75)]
    assert config["batch_size"] == 8


def test_wandb_keeps_offline_what_it_was_sent(reported, monkeypatch, caplog):
    need("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    kept = reported("wandb") / "trackers" / "wandb"
    run_id = json.loads((kept.parent / "wandb.json").read_text())["id"]
    files = sorted(kept.glob("offline-run-*/*.wandb"))
    assert {file.name for file in files} == {f"run-{run_id}.wandb"}
    assert f"wandb: {files[0].parent}" in caplog.messages
    logged = []
    for file in files:
        of_file = list(records_of_wandb(file))
        (run,) = [record.run for record in of_file if record.HasField("run")][:1]
        assert (run.project, run.run_id) == ("mine", run_id)
        items = [record.history.item for record in of_file if record.HasField("history")]
        logged += [
            {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row}
            for row in items
        ]
    found = [(row["train/global_step"], row["train/loss"]) for row in logged if "train/loss" in row]
    assert found == list(LOSSES.items())
    assert [row["eval/acc"] for row in logged if "eval/acc" in row] == [0.5, 0.75]


def test_mlflow_keeps_without_a_server_what_it_was_sent(reported, tmp_path, monkeypatch, caplog):
    mlflow = pytest.importorskip(
        "mlflow", reason="reads its own database (requirements-trackers.txt)"
    )
    address = f"sqlite:///{tmp_path}/runs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    folder = reported("mlflow")
    check_mlflow(mlflow.MlflowClient(address), folder, PROJECT)
    run_id = json.loads((folder / "trackers" / "mlflow.json").read_text())["id"]
    assert f"mlflow: {address} (run {run_id})" in caplog.messages


def test_mlflows_server_has_what_it_was_sent(reported, tmp_path, monkeypatch, caplog):
    mlflow = pytest.importorskip("mlflow", reason="is its own server (requirements-trackers.txt)")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    words = (sys.executable, "-m", "mlflow", "server", "--port", port, "--workers", 1)
    with (tmp_path / "server.log").open("w") as log:
        server = start_command(
            [*words, "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"],
            stdout=log,
            stderr=log,
            env=path(),
            cwd=tmp_path,
            start_new_session=True,
        )
    try:
        wait_until(lambda: answers(f"{address}/health"), SECONDS)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
        folder = reported("mlflow")
        client = mlflow.MlflowClient(address)
        check_mlflow(client, folder, "mine")
        run_id = json.loads((folder / "trackers" / "mlflow.json").read_text())["id"]
        experiment = client.get_experiment_by_name("mine").experiment_id
        page = f"{address}/#/experiments/{experiment}/runs/{run_id}"
        assert f"mlflow: {page}" in caplog.messages
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_a_server_that_never_answers_holds_no_run_up(tmp_path, monkeypatch, caplog):
    need("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        report = Reporter("mlflow", "out", tmp_path, lambda: FLAGS)
        began = time.monotonic()
        report(RECORDS)
        assert time.monotonic() - began < 1
        silent.settimeout(SECONDS)
        with silent.accept()[0]:
            report.end("finished")
            report.wait(time.monotonic() + 2)
        assert report._process.returncode == -signal.SIGKILL
    (warning,) = caplog.messages
    assert warning.startswith("mlflow: it did not take the last records in time: the run goes on")


def check_mlflow(client, folder, experiment):
    run_id = json.loads((folder / "trackers" / "mlflow.json").read_text())["id"]
    run = client.get_run(run_id)
    assert client.get_experiment(run.info.experiment_id).name == experiment
    assert (run.info.status, run.info.run_name) == ("FINISHED", "out")
    losses = client.get_metric_history(run_id, "train/loss")
    assert {metric.step: metric.value for metric in losses} == pytest.approx(LOSSES)
    assert [metric.timestamp for metric in losses] == [int((START + s) * 1000) for s in LOSSES]
    assert [m.value for m in client.get_metric_history(run_id, "eval/acc")] == [0.5, 0.75]
    assert run.data.metrics["final/f1_a b_"] == 0.5
    wanted = {"batch_size": "8", "learning_rate": "5e-05", "labels": "a,b", "resume": "False"}
    assert run.data.params == wanted


def path():
    """Return an environment in which another Python finds what this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def answers(address):
    """Return whether a server does."""
    try:
        with urllib.request.urlopen(address, timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


def records_of_wandb(file):
    """Yield the records of an offline run: its file is a log of LevelDB's format, after 7 bytes.

    Each block of 32 KiB has parts of a checksum (4 bytes), a length (2), a kind (1: all of a record;
    2 to 4: the first, a middle or the last part of one) and the content.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = file.read_bytes(), 7, b""
    while at < len(data):
        if (left := 2**15 - at % 2**15) < 7:
            at += left
            continue
        length, kind = unpack_from("<HB", data, at + 4)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""
