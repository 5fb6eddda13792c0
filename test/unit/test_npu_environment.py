"""The environment that env_npu.sh makes on an Ascend machine."""

import time

import pytest
from helpers import ROOT, command, write_script

ENV_NPU = ROOT / "test" / "env_npu.sh"
# Some of CANN's own scripts read what is not set, and end with a test that fails.
SET_ENV = 'export FOUND="{}" ARGUMENTS="$*"\n: $NOT_SET\n[ -n "" ]\n'
VALUES = {
    "ASCEND_SLOG_PRINT_TO_STDOUT": "0",
    "ASCEND_GLOBAL_LOG_LEVEL": "3",
    "ASCEND_GLOBAL_EVENT_ENABLE": "0",
    "TASK_QUEUE_ENABLE": "2",
    "COMBINED_ENABLE": "1",
    "PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True",
    "CPU_AFFINITY_CONF": "1",
    "HCCL_WHITELIST_DISABLE": "1",
    "HCCL_CONNECT_TIMEOUT": "1800",
}


@pytest.fixture
def source(ascend_machine, tmp_path):
    """Source env_npu.sh as common.sh does; return the variables that it leaves, and what it says."""
    (tmp_path / "home").mkdir()

    def call(**variables):
        variables = {
            "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
            "HOME": tmp_path / "home",
            "ALBERT_TEST_ROOT": ascend_machine,
        } | variables
        words = [f"{name}={value}" for name, value in variables.items()]
        script = f'set -euo pipefail; set -- a b; . "{ENV_NPU}"; env; echo "OPTIONS=$-"'
        result = command("env", "-i", *words, "bash", "-c", script, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return dict(line.split("=", 1) for line in result.stdout.splitlines()), result.stderr

    return call


PLACES = (
    "named/cann",
    "opt/ascend/cann",
    "opt/ascend/ascend-toolkit",
    "machine/usr/local/Ascend/cann",
    "machine/usr/local/Ascend/ascend-toolkit",
    "machine/usr/local/Ascend/nnae",
    "home/elsewhere/nnae",
    "home/Ascend/cann",
    "home/Ascend/ascend-toolkit",
    "home/Ascend/nnae",
)


@pytest.mark.parametrize("first", range(len(PLACES)), ids=PLACES)
def test_cann_is_found_in_this_order(source, tmp_path, first):
    for base, found in (
        ("machine/etc/Ascend", tmp_path / "opt" / "ascend"),
        ("home/Ascend", tmp_path / "home" / "elsewhere"),
    ):
        text = f"Version=1\nInstall_Path={found}\nUser=x\n"
        write_script(tmp_path / base / "ascend_cann_install.info", text)
    for place in PLACES[first:]:
        write_script(tmp_path / place / "set_env.sh", SET_ENV.format(place))
    variables, said = source(ASCEND_HOME_PATH=tmp_path / PLACES[0])
    assert variables["FOUND"] == PLACES[first]
    assert variables["ARGUMENTS"] == ""  # The launcher's flags are not CANN's.
    assert {"e", "u"} <= set(variables["OPTIONS"])
    assert said == ""


def test_before_cann_8_5_the_script_lies_beside_latest(source, tmp_path):
    (tmp_path / "named" / "latest").mkdir(parents=True)
    write_script(tmp_path / "named" / "set_env.sh", SET_ENV.format("beside"))
    assert source(ASCEND_HOME_PATH=tmp_path / "named" / "latest")[0]["FOUND"] == "beside"


def test_what_is_sourced_is_not_sourced_again(source, ascend_machine, tmp_path):
    cann = ascend_machine / "usr" / "local" / "Ascend" / "cann"
    write_script(cann / "set_env.sh", SET_ENV.format("again"))
    there = {"ASCEND_HOME_PATH": cann, "LD_LIBRARY_PATH": f"/lib:{cann}/lib64:/x"}
    variables, said = source(**there)
    assert "FOUND" not in variables
    assert said == ""
    # A folder that is named but not in use, and one that is gone, are not enough.
    assert source(ASCEND_HOME_PATH=cann, LD_LIBRARY_PATH="/lib")[0]["FOUND"] == "again"
    gone = tmp_path / "gone"
    there = {"ASCEND_HOME_PATH": gone, "LD_LIBRARY_PATH": f"{gone}/lib64"}
    assert source(**there)[0]["FOUND"] == "again"


def test_without_cann_one_line_says_where_it_was_looked_for(source, ascend_machine, tmp_path):
    _, said = source()
    assert said.startswith("warning: no CANN found (ASCEND_HOME_PATH is not set): looked for")
    assert said.count("\n") == 1
    for folder in (ascend_machine / "usr" / "local" / "Ascend", tmp_path / "home" / "Ascend"):
        for name in ("cann", "ascend-toolkit", "nnae"):
            assert f"{folder / name}," in said


def test_without_an_npu_it_is_silent_and_harmless(source, tmp_path):
    write_script(tmp_path / "bin" / "msnpureport", f"#!/bin/sh\ntouch '{tmp_path}/called'\n")
    variables, said = source(ALBERT_TEST_ROOT=tmp_path / "nowhere")
    assert said == ""
    assert not (tmp_path / "called").exists()
    assert VALUES.items() <= variables.items()


def test_only_what_something_reads_is_set(source):
    variables, _ = source()
    given = {"PATH", "HOME", "ALBERT_TEST_ROOT", "PWD", "SHLVL", "_", "OPTIONS"}
    assert {name: variables[name] for name in variables.keys() - given} == VALUES


def test_the_documentation_has_the_same_values():
    lines = (ROOT / "docs" / "npu.md").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| `")]
    told = {name.strip("| `"): value.strip("`") for name, value, *_ in rows}
    assert told == VALUES | {"HCCL_EXEC_TIMEOUT": "--ddp_timeout"}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_of_the_user_stays(source, name):
    for value in ("7", ""):
        variables, _ = source(**{name: value})
        assert variables[name] == value


def test_the_allocator_has_its_settings_in_one_variable(source):
    """torch_npu 2.13 ends where both are set."""
    variables, _ = source(PYTORCH_ALLOC_CONF="max_split_size_mb:64")
    assert variables["PYTORCH_ALLOC_CONF"] == "max_split_size_mb:64"
    assert "PYTORCH_NPU_ALLOC_CONF" not in variables


@pytest.fixture
def reports(source, tmp_path):
    """Source env_npu.sh as a user; return the calls of msnpureport, which ends as the script says."""

    def call(user="root", script="", **variables):
        calls = tmp_path / "calls"
        calls.write_text("")
        write_script(
            tmp_path / "bin" / "msnpureport", f'#!/bin/sh\necho "$*" >>"{calls}"\n{script}\n'
        )
        number = 0 if user == "root" else 1000
        write_script(
            tmp_path / "bin" / "id", f"#!/bin/sh\n[ $1 = -u ] && echo {number} || echo {user}\n"
        )
        source(**variables)
        return calls.read_text().splitlines()

    return call


def test_device_logs_are_made_quiet_by_who_may(reports):
    of_each = ["-g error -d 0", "-g error -d 1"]
    assert reports() == reports("HwHiAiUser") == of_each
    assert reports("somebody") == []
    assert reports(ASCEND_GLOBAL_LOG_LEVEL=1) == []


@pytest.mark.parametrize("script", ["echo no; echo no >&2; exit 1", "exec sleep 60"])
def test_a_tool_that_fails_or_hangs_is_let_be(reports, script):
    began = time.monotonic()
    assert reports(script=script) == ["-g error -d 0"]
    assert time.monotonic() - began < 15
