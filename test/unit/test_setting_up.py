"""What setting up installs, where, and what it says meanwhile."""

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest
from helpers import command

from tools.cli.at_work import run_pip

PIP = """
import sys
import time
print("Collecting torch==9", "  Downloading torch-9-cp311.whl (180.5 MB)", sep="\\n")
print("Progress 90000000 of 180500000")
time.sleep(0.6)
# At once, so that no machine is slow enough for it to be in between.
sys.stdout.write("  Downloading tiny-1.whl (3 kB)\\nInstalling collected packages: torch, tiny\\n")
sys.stdout.flush()
time.sleep(0.6)
print("ERROR: no room", "WARNING: something else", sep="\\n")
raise SystemExit(3)
"""


def test_a_long_installation_says_what_it_downloads_and_that_it_goes_on(tmp_path, monkeypatch):
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()
    (tmp_path / "pip" / "__main__.py").write_text(PIP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(importlib.metadata, "version", {"pip": "24.1"}.get)
    said = []
    assert run_pip(["install", "torch"], said.append, "starting", 0.15) == (3, "ERROR: no room")
    assert "  downloading torch-9-cp311.whl (180.5 MB)" in said
    assert "  still downloading torch-9-cp311.whl, 90 of 180 MB (" in "\n".join(said)
    assert said[-1].startswith("  still installing (")
    assert "tiny" not in "".join(said)


def in_bash(clone, *lines, **environment):
    """Run lines of bash that have what setup.sh and test_environment.sh define."""
    script = [f'ROOT="{clone}"', ". test/setup.sh", ". test/test_environment.sh", *lines]
    script = "\n".join(["set -euo pipefail", *script])
    return command("bash", "-c", script, "run_tests.sh", cwd=clone, **environment)


@pytest.mark.parametrize("has_gpu", [False, True])
def test_the_general_torch_is_announced_with_its_size_and_the_reason(clone, has_gpu):
    pip = 'pip_install() { echo "pip $*"; PIP_REASON="ERROR: none"; [[ $1 != *+cpu ]]; }'
    result = in_bash(
        clone, f"has_gpu() {{ {str(has_gpu).lower()}; }}", pip, "install_torch torch==9"
    )
    assert result.returncode == 0, result.stderr
    *before, announced, fetched = result.stdout.splitlines()
    tried = [line for line in before if line.startswith("pip ")]
    assert fetched == "pip torch==9"
    assert announced.startswith("installing the general torch==9")
    assert "2.7 GB" in announced
    if has_gpu:
        assert tried == []
        assert "GPU" in announced
    else:
        assert [line.split()[1] for line in tried] == ["torch==9+cpu"] * 2
        assert announced.endswith("as pip found no CPU build: ERROR: none")


LOOK = """
import importlib.util, json, os, sys, sysconfig
origin = importlib.util.find_spec("torch").origin
print(json.dumps([sys.prefix, sysconfig.get_path("purelib"), origin, os.environ["VIRTUAL_ENV"]]))
"""


def test_the_tests_have_an_environment_of_their_own_over_the_active_one(clone):
    """Nothing that is there is fetched again, and what is missing would go into .venv-test."""
    install = "install() { echo installing; }"
    lines = (install, "use_test_environment", f"$PYTHON -c '{LOOK}'")
    result = in_bash(clone, *lines, VIRTUAL_ENV=sys.prefix)
    assert result.returncode == 0, result.stderr
    made, found = result.stdout.splitlines()
    environment = clone / ".venv-test"
    assert made == f"making {environment}"
    prefix, packages, torch, active = json.loads(found)
    assert prefix == active == str(environment)
    assert Path(packages).is_relative_to(environment)
    assert torch == importlib.util.find_spec("torch").origin
    # It stays, as long as it is of the Python that is taken.
    result = in_bash(clone, install, "use_test_environment", VIRTUAL_ENV=sys.prefix)
    assert (result.stdout, result.stderr) == ("", "")
    (environment / "made_of").write_text("another")
    lines = ("has_packages() { false; }", 'make_venv() { echo "venv ${*:3}"; exit; }')
    result = in_bash(clone, *lines, "use_test_environment", VIRTUAL_ENV=sys.prefix)
    assert result.stdout == "venv \n"  # With a pip of its own.
    assert not environment.exists()
