"""Two processes that train together, one or both of them killed at moments drawn at random."""

import os
import random
import signal
import threading
import time

from forks import run_together
from fuzzing import SEED
from helpers import records, write_sst2

KILLS = 20 if os.environ.get("ALBERT_TEST_LONG") else 4


def test_two_processes_that_are_killed_again_and_again_end_as_if_they_had_not_been(
    pretrained, tmp_path
):
    data = write_sst2(tmp_path / "SST-2", train=64, dev=8)
    common = ["--do_train", "--max_steps=24", "--save_steps=2", "--learning_rate=1e-3", "--device=cpu",
              "--data_dir", data, "--model_name_or_path", pretrained, "--max_seq_length=32"]  # fmt: skip

    def run(folder, victims=(), delay=0.0):
        """Train with two processes; return their exit statuses."""

        def prepare(rank):
            if rank in victims:
                threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()

        words = [*common, "--resume", "--ddp_timeout=60", "--output_dir", tmp_path / folder]
        return [status for status, _, _ in run_together([words, words], tmp_path, prepare)]

    began = time.monotonic()
    assert run("whole") == [0, 0]
    took = time.monotonic() - began

    rng = random.Random(SEED)
    for _ in range(KILLS):
        victims = rng.choice([(0,), (1,), (0, 1)])
        ends = run("killed", victims, delay=rng.uniform(0.2, 1.0) * took)
        if ends == [0, 0]:  # The moment came after the end.
            continue
        assert all(ends[rank] in (0, -signal.SIGKILL) for rank in victims)
        assert all(ends[rank] in (0, 1) for rank in {0, 1} - set(victims))
    assert run("killed") == [0, 0]

    ours, whole = ((tmp_path / name) for name in ("killed", "whole"))
    assert (ours / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    losses = [[(r["step"], r["loss"]) for r in records(f, "step")] for f in (ours, whole)]
    assert losses[0] == losses[1]
    assert not [
        entry.name for entry in ours.iterdir() if entry.name.startswith((".writing", ".del"))
    ]
