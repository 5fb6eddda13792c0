"""Threads that wait leave their core where other programs want it, and nowhere else."""

import os
import sys

import pytest
from helpers import ROOT, command

from tools.cli import waiting
from tools.cli.waiting import count_busy, settle_waiting, wait_policy, waiting_remark

PASSIVE = {"OMP_WAIT_POLICY": "passive"}


@pytest.mark.parametrize(
    ("environment", "cores", "busy", "wanted"),
    [
        ({}, 2, 0, {}),
        ({}, 2, 1, PASSIVE),
        ({"OMP_NUM_THREADS": "2"}, 8, 6, {}),
        ({"OMP_NUM_THREADS": "2"}, 8, 7, PASSIVE),
        ({"OMP_NUM_THREADS": "1"}, 2, 9, {}),
        ({"OMP_WAIT_POLICY": "active"}, 2, 9, {}),
        ({"GOMP_SPINCOUNT": "9"}, 2, 9, {}),
        ({"KMP_BLOCKTIME": "9"}, 2, 9, {}),
    ],
)
def test_threads_wait_passively_where_there_are_more_than_cores(environment, cores, busy, wanted):
    assert wait_policy(environment, cores, busy) == wanted


def test_what_runs_is_counted():
    assert count_busy() >= 0


@pytest.mark.parametrize(
    "environment", [{"OMP_NUM_THREADS": "1"}, {"KMP_BLOCKTIME": "9"}, {"OMP_WAIT_POLICY": "active"}]
)
def test_what_runs_is_counted_only_where_it_decides(monkeypatch, environment):
    counted = []
    monkeypatch.setattr(waiting, "count_busy", lambda: counted.append(1) or 999)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "environ", dict(environment))
    settle_waiting()
    assert (os.environ, counted) == (environment, [])
    os.environ.clear()
    settle_waiting()
    assert (os.environ, counted) == (PASSIVE, [1])


def test_the_log_says_that_threads_wait_passively():
    assert "OMP_WAIT_POLICY=active has them keep it" in waiting_remark(
        {"OMP_WAIT_POLICY": "PASSIVE"}
    )
    assert waiting_remark({"OMP_WAIT_POLICY": "active"}) is waiting_remark({}) is None


def test_it_is_settled_before_torch_is_there():
    code = (
        "import sys, tools.cli.waiting as w; w.count_busy = lambda: 999;"
        "import os, tools.cli.require_packages;"
        "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    result = command(sys.executable, "-c", code, cwd=ROOT, OMP_NUM_THREADS="2")
    assert result.stdout == "passive False\n", result.stderr
