"""Who a process is among several, where they meet, and how many a machine takes."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import free_port

from tools.cli.errors import UsageError
from tools.machine.cores import usable_cores
from tools.machine.device import Device, select_device
from tools.machine.distributed import Processes, processes_from_environment
from tools.machine.process_flags import ProcessFlags
from tools.machine.torchrun import check_machine, run_processes


@pytest.fixture
def environment(monkeypatch):
    def set_variables(**variables):
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK_SIZE", *address):
            monkeypatch.setenv(name, "")  # So what is set from here on is undone.
            monkeypatch.delenv(name)
        for name, value in (address | variables).items():
            if value is not None:
                monkeypatch.setenv(name, str(value))

    return set_variables


def test_one_process_without_variables(environment):
    environment()
    assert processes_from_environment() == Processes(0, 0, 1)
    environment(RANK_SIZE=8)  # An Ascend shell has it, whatever is started there.
    assert processes_from_environment() == Processes(0, 0, 1)
    assert "WORLD_SIZE" not in os.environ


def test_torchrun_variables(environment):
    environment(RANK=5, LOCAL_RANK=1, WORLD_SIZE=8)
    assert processes_from_environment() == Processes(5, 1, 8, 8)


def test_local_rank_from_the_flag(environment):
    environment(RANK=5, WORLD_SIZE=8)
    assert processes_from_environment(local_rank=1) == Processes(5, 1, 8, 8)
    environment(WORLD_SIZE=8)
    assert processes_from_environment(local_rank=3) == Processes(3, 3, 8, 8)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"WORLD_SIZE": "two"},
            "WORLD_SIZE in the environment is 'two': .* whole number from 1 on",
        ),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE in the environment is '0'"),
        ({"WORLD_SIZE": 2, "RANK": ""}, "RANK in the environment is ''"),
        ({"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 0}, "LOCAL_WORLD_SIZE in the environment is '0'"),
        (
            {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 3},
            "LOCAL_WORLD_SIZE is 3, but WORLD_SIZE, .* is 2",
        ),
        ({"WORLD_SIZE": 2, "MASTER_PORT": "abc"}, "MASTER_PORT .* 'abc': .* from 1 to 65535"),
        ({"WORLD_SIZE": 2, "MASTER_PORT": "65536"}, "MASTER_PORT"),
        ({"WORLD_SIZE": 2, "MASTER_ADDR": ""}, "there is no MASTER_ADDR in the environment"),
        ({"WORLD_SIZE": 2, "RANK": 2}, "RANK is 2"),
        (
            {"WORLD_SIZE": 1, "LOCAL_RANK": 1},
            "the local rank is 1, but there are 1 processes on this machine",
        ),
    ],
)
def test_contradicting_variables_are_refused(environment, variables, words):
    environment(**variables)
    with pytest.raises(UsageError, match=words):
        processes_from_environment()


def test_an_address_that_nobody_has_is_refused_before_torch_looks_for_it(environment):
    for rank in (0, 1):
        environment(RANK=rank, WORLD_SIZE=2, MASTER_ADDR="no-such-host.invalid")
        with (
            pytest.raises(
                UsageError, match="MASTER_ADDR no-such-host.invalid: no machine is known"
            ),
            processes_from_environment().connected(Device("cpu"), 3),
        ):
            pytest.fail("connected")
    flags = ProcessFlags(nnodes=2, master_addr="no-such-host.invalid", device="cpu")
    with pytest.raises(UsageError, match="--master_addr no-such-host.invalid: no machine is known"):
        check_machine(flags)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_finds_no_other_says_where_it_looked(environment, capfd, rank):
    """And torch does not print the addresses of its own code."""
    environment(RANK=rank, WORLD_SIZE=2, MASTER_PORT=free_port())
    words = (
        r"not find each other within 1 s \(--ddp_timeout\): .* MASTER_ADDR=127.0.0.1 MASTER_PORT="
    )
    with (
        pytest.raises(TimeoutError, match=words),
        processes_from_environment().connected(Device("cpu"), 1),
    ):
        pytest.fail("connected")
    assert "frame #" not in capfd.readouterr().err


def test_a_port_that_another_program_has_is_said(environment):
    with socket.create_server(("", 0)) as other:
        environment(RANK=0, WORLD_SIZE=2, MASTER_PORT=other.getsockname()[1])
        with (
            pytest.raises(
                UsageError, match="is where another program listens: choose another port"
            ),
            processes_from_environment().connected(Device("cpu"), 1),
        ):
            pytest.fail("connected")


def test_machines_that_find_no_other_say_where_they_looked(environment, monkeypatch):
    environment()
    monkeypatch.setattr("tools.machine.torchrun._PATIENCE", 0.3)
    flags = ProcessFlags(nnodes=2, node_rank=1, master_addr="127.0.0.1", master_port=free_port())
    words = "not find each other within 0.3 s: .* --master_addr=127.0.0.1 --master_port="
    with pytest.raises(TimeoutError, match=words):
        run_processes(flags, ["no.py"], Path("logs"), 0, debug=True)
    with socket.create_server(("", 0)) as other:
        flags = replace(flags, node_rank=0, master_port=other.getsockname()[1])
        with pytest.raises(UsageError, match="--master_port=.* is where another program listens"):
            run_processes(flags, ["no.py"], Path("logs"), 0, debug=True)


def test_a_script_for_any_number_of_machines_does_for_one():
    assert ProcessFlags(nnodes=1, node_rank=0, master_addr="host", device="cpu").nproc == 1


def test_more_processes_than_cores_need_a_word_that_insists():
    many = usable_cores() + 1
    with pytest.raises(UsageError, match=f"--nproc={many} on the CPU, but there are .* --oversub"):
        ProcessFlags(nproc=many, device="cpu")
    assert ProcessFlags(nproc=many, device="cpu", oversubscribe=True).nproc == many
    undecided = ProcessFlags(nproc=many)
    if select_device("auto").is_shared:
        with pytest.raises(UsageError, match="--oversubscribe to insist"):
            check_machine(undecided)


@pytest.mark.parametrize("local_rank", [0, 7])
def test_a_loop_over_local_ranks_with_rank_size(environment, local_rank):
    """As the references' launchers; a RANK of somebody else's does not count, as it does not there."""
    environment(RANK_SIZE=8, RANK=0, MASTER_ADDR=None, MASTER_PORT=None)
    here = Processes(local_rank, local_rank, 8, 8)
    assert processes_from_environment(local_rank) == here
    # torch reads these; and whoever asks again gets the same answer.
    address = [os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT")]
    assert address == ["127.0.0.1", "29688"]
    assert processes_from_environment(local_rank) == here
    environment(RANK_SIZE=8, MASTER_ADDR=None, MASTER_PORT=3)
    processes_from_environment(local_rank)
    assert [os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT")] == ["127.0.0.1", "3"]


def test_torchruns_variables_win_over_rank_size(environment):
    environment(RANK=1, LOCAL_RANK=1, WORLD_SIZE=2, RANK_SIZE=8)
    assert processes_from_environment(local_rank=1) == Processes(1, 1, 2, 2)


@pytest.mark.parametrize("local_rank", [0, 1])
@pytest.mark.parametrize(
    ("size", "words"),
    [
        (None, "nothing says of how many: export RANK_SIZE=8 .* torchrun"),
        ("", "nothing says of how many"),
        ("eight", "RANK_SIZE is eight: it is to be the number of processes"),
        ("0", "RANK_SIZE is 0"),
    ],
)
def test_a_local_rank_of_an_unknown_number_is_refused(environment, local_rank, size, words):
    """By every process, the first as well: it must not train alone."""
    environment(RANK_SIZE=size)
    with pytest.raises(UsageError, match=f"--local_rank {local_rank}, but {words}"):
        processes_from_environment(local_rank)
