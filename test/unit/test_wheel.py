"""The wheel, as pip builds and unpacks it, and its commands as their console scripts call them."""

import json
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from helpers import ROOT, command

from tools.cli import naming

# Each script is called as pip's stub does it, where the user's own modules have the names of ours.
CALL_ALL = """
import sys
from importlib.metadata import distributions

target, model = sys.argv[1:]
sys.path.insert(1, target)
[wheel] = distributions(path=[target])
for script in wheel.entry_points:
    sys.argv = ["/anywhere/bin/" + script.name, "--help"]
    if script.name == "albert-predict":
        sys.argv[1:] = ["--model", model, "--device=cpu", "a fine film"]
    try:
        script.load()()
    except SystemExit as end:
        print(f"\\f{script.name}\\f{end.code}\\f", end="", flush=True)
import model as found
print(found.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel's file; it is built in a copy, since building leaves folders."""
    pytest.importorskip("setuptools", minversion="77", reason="torch 2.13 needs it, too")
    folder = tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns(
        ".*", "__pycache__", "test", "docs", "dataset", "prev_trained_model", "outputs", "build"
    )
    shutil.copytree(ROOT, folder / "source", ignore=left_out)
    code = "from setuptools import build_meta; build_meta.build_wheel('..')"
    result = command(sys.executable, "-c", code, cwd=folder / "source")
    assert result.returncode == 0, result.stdout + result.stderr
    return next(folder.glob("*.whl"))


def test_all_is_under_one_name_and_the_metadata_say_what_pip_needs(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    information = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"
    assert {name.split("/")[0] for name in names} == {"albert_glue", information}
    expected = {
        str(file.relative_to(ROOT))
        for folder in ("model", "processors", "callback", "tools")
        for file in (ROOT / folder).rglob("*.py")
    } | {"run_classifier.py", "__init__.py", "py.typed"}
    inside = {name.removeprefix("albert_glue/") for name in names if "dist-info" not in name}
    of_a_checkout = {name for name in expected - inside if name.startswith("tools/")}
    assert inside == expected - of_a_checkout
    assert {name.split("/")[1] for name in of_a_checkout} == {
        *("check", "gpu", "check_gpu.py", "check_npu.py", "tools.py"),
    }
    assert {f"{information}/licenses/{name}" for name in ("LICENSE", "NOTICE")} < set(names)
    metadata = Parser().parsestr(zipfile.ZipFile(wheel).read(f"{information}/METADATA").decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    needed = {line for line in lines if not line.startswith("#")}
    assert needed == {line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert {"optional", "tensorflow", "triton"} <= set(metadata.get_all("Provides-Extra"))


def test_every_command_works_where_the_users_modules_have_our_names(wheel, small_model, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site-packages")
    place = tmp_path / "mine"
    place.mkdir()
    for name in ("model", "tools", "processors", "callback", "run_classifier"):
        (place / f"{name}.py").write_text("raise SystemExit('the user\\'s own module')\n")
    (place / "call_all.py").write_text(CALL_ALL)
    words = (place / "call_all.py", tmp_path / "site-packages", small_model(False))
    result = subprocess.run(  # Not forked from a process that has the checkout's modules.
        [sys.executable, *map(str, words)], cwd=place, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    *parts, found = result.stdout.split("\f")
    ends = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    outputs = {name: (int(status), text) for text, name, status in ends}
    assert Path(found.strip()).parent == tmp_path / "site-packages" / "albert_glue" / "model"
    commands = {file.stem for file in (ROOT / "tools").glob("*.py")}
    commands -= {"__init__", "tools", "check_gpu", "check_npu"}
    assert set(outputs) == {"albert-train", *map(naming.script_of, commands)}
    status, answer = outputs.pop("albert-predict")
    assert status == 0
    assert json.loads(answer)["text"] == "a fine film"
    for script, (status, text) in outputs.items():
        assert status == 0, script
        assert text.startswith(f"usage: {script} "), text
        assert "python -m tools." not in text, text
        assert "run_classifier.py" not in text, text
    assert "(default: dataset)" in outputs["albert-download"][1]


def test_what_is_told_to_type_can_be_typed_once_it_is_installed(monkeypatch):
    told = "python -m tools.check_data --help; python run_classifier.py --do_eval"
    assert naming.as_typed(told) == told
    assert naming.program_name("predict") == "predict"
    monkeypatch.setattr(naming, "INSTALLED", True)
    assert naming.as_typed(told) == "albert-check-data --help; albert-train --do_eval"
    for text, typed in (
        ("torchrun --nproc_per_node 2 run_classifier.py --fp16",
         "albert-launch --nproc 2 -- albert-train --fp16"),
        ("python3 -m pip install -r requirements-tensorflow.txt -c constraints.txt",
         'python3 -m pip install "albert-pytorch-glue[tensorflow]"'),
        ("/a/run_classifier.py:7 in main", "/a/run_classifier.py:7 in main"),
    ):  # fmt: skip
        assert naming.as_typed(text) == typed
    assert naming.program_name("check_data") == "albert-check-data"
    assert naming.program_name("run_classifier.py") == "albert-train"
