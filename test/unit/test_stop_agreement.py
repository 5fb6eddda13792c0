"""Processes that are not in step stop after the same step, whichever of them gets the signal, and when."""

import os
import random
import select
import signal
import socket
import threading
import time
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from forks import fork, statuses
from torch.distributed import PrefixStore, TCPStore, init_process_group

from tools.machine import stop_agreement, stop_signals
from tools.machine.distributed import Processes
from tools.machine.stop_signals import StopSignals
from tools.machine.store import number_at, open_store


@pytest.fixture
def store(monkeypatch):
    """The store at which two processes meet, kept by this one."""
    server = TCPStore(
        "127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=20), wait_for_workers=False
    )
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(server.port))
    return server


WHOLE, AT_END, AS_A_SECOND = 100, 101, 102


def steps(rank, total, pace, dies_at=None, saving=0.0):
    """Start a process that does ``total`` steps; it ends with the step after which it was stopped.

    Status WHOLE is for one that was not stopped, AT_END for one that was when it had saved its model, for
    which it takes ``saving`` seconds; AS_A_SECOND for one that was to end at once. It is gone without a
    word at step ``dies_at``.
    """

    def action():
        server = TCPStore("127.0.0.1", int(os.environ["MASTER_PORT"]), wait_for_workers=False)
        init_process_group("gloo", store=PrefixStore("group", server), rank=rank, world_size=2)
        woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes)
        numbered = [SimpleNamespace(global_step=number + 1) for number in range(total)]
        done = 0
        with StopSignals(Processes(rank, rank, 2, 2)) as stop:
            for step in stop.until_asked(numbered):
                if step.global_step == dies_at:
                    os._exit(0)
                time.sleep(pace)
                done = step.global_step
            stopped = done if stop.ends_training() else None
            if stopped is None:
                time.sleep(saving)
                stopped = AT_END if stop.ends_run() else None
            if stopped is not None:
                assert stop.number == signal.SIGTERM
                os._exit(AS_A_SECOND if select.select([woken], [], [], 0)[0] else stopped)
        return WHOLE

    return fork(action)


@pytest.mark.parametrize("seed", range(4))
def test_processes_stop_after_the_same_step_whoever_gets_the_signal(store, monkeypatch, seed):
    """They are not in step, as the hosts of accelerators are not."""
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(seed))
    rng = random.Random(seed)
    children = [steps(rank, 99, rng.choice((0.01, 0.015, 0.03))) for rank in range(2)]
    time.sleep(0.3)
    for child in rng.sample(children, rng.choice((1, 2))):
        os.kill(child, signal.SIGTERM)
        time.sleep(rng.choice((0, 0.05)))
    first, second = statuses(children)
    assert first == second
    assert 1 < first < 99


def test_a_signal_that_comes_when_another_is_through_ends_as_outside(store, monkeypatch):
    """Rank 1 is through with its steps and has left: it does not answer."""
    monkeypatch.setattr(stop_agreement, "_ANSWER_SECONDS", 0.5)
    children = [steps(0, 20, 0.05), steps(1, 20, 0)]
    time.sleep(0.5)
    os.kill(children[0], signal.SIGTERM)
    assert statuses(children) == [-signal.SIGTERM, WHOLE]


def test_a_signal_to_one_that_trains_while_another_saves_ends_both_when_they_have_saved(store):
    children = [steps(0, 20, 0.05, saving=0.1), steps(1, 20, 0, saving=1.5)]
    time.sleep(0.7)
    os.kill(children[0], signal.SIGTERM)
    assert statuses(children) == [AT_END, AT_END]


def test_the_first_signal_to_a_process_that_knows_of_another_s_is_no_second_one(store, monkeypatch):
    monkeypatch.setattr(stop_agreement, "REPEAT_SECONDS", 0)
    monkeypatch.setattr(stop_signals, "REPEAT_SECONDS", 0)
    children = [steps(rank, 2, 1.5) for rank in range(2)]
    time.sleep(0.5)
    os.kill(children[0], signal.SIGTERM)
    time.sleep(0.6)
    os.kill(children[1], signal.SIGTERM)
    assert statuses(children) == [1, 1]


def test_a_step_may_take_longer_than_a_minute(store, monkeypatch):
    """For the agreement a second here is a hundred."""
    clock = SimpleNamespace(monotonic=lambda: 100 * time.monotonic(), sleep=time.sleep)
    monkeypatch.setattr(stop_agreement, "time", clock)
    monkeypatch.setattr(stop_agreement, "_ANSWER_SECONDS", 300.0)

    def in_a_hundredth(*files_and_seconds):
        *files, seconds = files_and_seconds
        return select.select(*files, seconds / 100)

    monkeypatch.setattr(stop_agreement, "select", SimpleNamespace(select=in_a_hundredth))
    children = [steps(rank, 2, 2) for rank in range(2)]
    time.sleep(0.5)
    os.kill(children[0], signal.SIGTERM)
    assert statuses(children) == [1, 1]


def test_what_processes_before_said_at_the_same_store_counts_no_more(store):
    """As it is where torchrun starts them anew because a machine came or went."""
    said = PrefixStore("run/0", store)
    for key, value in {"asked": "15", "begun/0": "1", "begun/1": "1"}.items():
        said.set(key, value)
    assert statuses([steps(rank, 20, 0.03) for rank in range(2)]) == [WHOLE, WHOLE]


def test_a_process_ends_by_the_signal_where_another_is_gone(store, monkeypatch):
    monkeypatch.setattr(stop_agreement, "_ANSWER_SECONDS", 0.5)
    children = [steps(0, 100, 0.05), steps(1, 100, 0.05, dies_at=2)]
    time.sleep(0.5)
    os.kill(children[0], signal.SIGTERM)
    began = time.monotonic()
    assert statuses(children) == [-signal.SIGTERM, 0]
    assert time.monotonic() - began < 2


def test_a_store_that_comes_late_is_waited_for(monkeypatch):
    """Its keeper is on a busy machine; what is asked of it later has less time."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    kept = []
    keep = partial(TCPStore, "127.0.0.1", port, is_master=True, wait_for_workers=False)
    late = threading.Timer(2.0, lambda: kept.append(keep()))
    late.start()
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    store = open_store(0.1)
    late.join()
    assert number_at(store, "asked") == 0
    store.set("asked", "15")
    assert number_at(store, "asked") == 15
    with pytest.raises(RuntimeError):
        store.get("another")
