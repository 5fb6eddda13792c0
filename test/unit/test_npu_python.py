"""The Python that the launchers take on an Ascend machine."""

import re
import sys
from importlib.util import find_spec

import pytest
from helpers import ROOT, SMALL, command, forked_environment, launch, write_script
from simulated_npu import install


@pytest.fixture
def pythons(tmp_path):
    """Make Pythons that have torch_npu or not."""
    packages = tmp_path / "packages"
    install(packages)

    def make(path, torch_npu, packages_beside=True):
        where = f'PYTHONPATH="{packages}" ' if torch_npu else ""
        option = "" if torch_npu and packages_beside else "-S "  # without its site-packages
        return write_script(path, f'#!/bin/sh\n{where}exec "{sys.executable}" {option}"$@"\n')

    return make


def chosen(clone, ascend_machine, tmp_path, **variables):
    """Return how setup.sh ends on this ascend_machine, and the Python that it chose."""
    script = 'set -euo pipefail; ROOT=$PWD; . test/setup.sh; use_npu_python; echo "$PYTHON"'
    unset = {"VIRTUAL_ENV": "", "CONDA_PREFIX": "", "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    environment = unset | {"ALBERT_TEST_ROOT": str(ascend_machine)} | variables
    return command("bash", "-c", script, "launcher.sh", cwd=clone, **environment)


def test_for_an_npu_only_a_python_with_torch_npu_will_do(clone, ascend_machine, tmp_path, pythons):
    active = pythons(tmp_path / "active" / "bin" / "python", torch_npu=True)
    beside = pythons(clone / ".venv" / "bin" / "python", torch_npu=True)
    on_path = pythons(tmp_path / "bin" / "python3", torch_npu=True)
    other = pythons(tmp_path / "bin" / "python3.12", torch_npu=True)
    there = {"VIRTUAL_ENV": str(tmp_path / "active")}
    result = chosen(clone, ascend_machine, tmp_path, **there)
    assert result.stdout == f"{active}\n", result.stderr
    for without, then in ((active, beside), (beside, on_path), (on_path, other)):
        pythons(without, torch_npu=False)
        result = chosen(clone, ascend_machine, tmp_path, **there)
        assert result.stdout == f"using {then}, which has torch_npu\n{then}\n", result.stderr


def test_an_old_python_with_torch_npu_is_passed_over(clone, ascend_machine, tmp_path, pythons):
    write_script(tmp_path / "bin" / "python3", "#!/bin/sh\nexit 1\n")
    newer = pythons(tmp_path / "bin" / "python3.11", torch_npu=True)
    assert chosen(clone, ascend_machine, tmp_path).stdout.splitlines()[-1] == str(newer)
    # It answers questions, too.
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    place = {"ALBERT_TEST_ROOT": str(ascend_machine), "PATH": path, "VIRTUAL_ENV": ""}
    result = launch(clone, "train_full_1p.sh", "--help", CONDA_PREFIX="", **place)
    assert result.returncode == 0, result.stderr


def test_nothing_is_installed_beside_torch_npu(clone, ascend_machine, tmp_path, pythons):
    python = pythons(tmp_path / "bin" / "python3", torch_npu=True, packages_beside=False)
    result = chosen(clone, ascend_machine, tmp_path, PIP_NO_INDEX="1")
    assert (result.returncode, result.stdout) == (1, "")
    words = f"launcher.sh: error: {python} has torch_npu, but these are missing there or too old: torch, "
    assert re.fullmatch(rf"{re.escape(words)}.*sentencepiece.*docs/npu\.md.*\n", result.stderr)
    assert "==" not in result.stderr


@pytest.mark.skipif(find_spec("torch_npu") is not None, reason="torch_npu is there")
def test_without_torch_npu_one_line_says_where_it_was_looked_for(clone, ascend_machine):
    result = launch(clone, "train_full_1p.sh", ALBERT_TEST_ROOT=str(ascend_machine))
    assert (result.returncode, result.stdout) == (1, "")
    words = (
        "train_full_1p.sh: error: this machine has an NPU, but no Python from 3.10 on has torch_npu"
    )
    assert re.fullmatch(rf"{words} \(looked in {forked_environment()}.*\n", result.stderr)
    for remedy in ("requirements-npu.txt", "--device=cpu", "activate"):
        assert remedy in result.stderr
    # Other questions are answered all the same.
    assert (
        launch(clone, "train_full_1p.sh", "--help", ALBERT_TEST_ROOT=str(ascend_machine)).returncode
        == 0
    )
    result = launch(clone, "train_full_1p.sh", "--epochs=3", ALBERT_TEST_ROOT=str(ascend_machine))
    assert result.returncode == 2


def test_on_the_cpu_of_an_ascend_machine_torch_npu_is_not_needed(clone, ascend_machine):
    result = launch(clone, "train_full_1p.sh", *SMALL, ALBERT_TEST_ROOT=str(ascend_machine))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "device: cpu" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("name", ["requirements-npu.txt", "requirements-npu-apex.txt"])
def test_torch_and_torch_npu_are_of_one_release(name):
    text = (ROOT / name).read_text()
    torch, torch_npu = (
        re.search(rf"^{package}==(\d+\.\d+\.\d+)", text, re.MULTILINE)[1]
        for package in ("torch", "torch_npu")
    )
    assert torch == torch_npu
