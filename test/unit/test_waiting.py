"""Threads that wait leave their core where other programs want it, and nowhere else."""

import sys

import pytest
from helpers import ROOT, command

from tools.cli.waiting import count_busy, wait_policy

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


def test_it_is_settled_before_torch_is_there():
    code = (
        "import sys, tools.cli.waiting as w; w.count_busy = lambda: 999;"
        "import os, tools.cli.require_packages;"
        "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    result = command(sys.executable, "-c", code, cwd=ROOT, OMP_NUM_THREADS="2")
    assert result.stdout == "passive False\n", result.stderr
