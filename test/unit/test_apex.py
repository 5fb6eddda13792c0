"""apex on the simulated NPU: apex_checks.py, apex_runs.py and the program, on the double and on sources.

``APEX_SOURCE`` names a checkout of NVIDIA's apex at 4ef930c with Ascend's patch: what its scripts/gen.sh
leaves. Without it the double alone is checked.
"""

import os
import sys
from pathlib import Path

import pytest
from helpers import ROOT, command, write_sst2
from simulated_npu import ASCEND_910A, install, install_sources
from torch_npu_wheel import find_wheel

CHECKS = tuple(Path(__file__).with_name(name) for name in ("apex_checks.py", "apex_runs.py"))
SOURCES = pytest.param(
    "sources",
    marks=pytest.mark.skipif("APEX_SOURCE" not in os.environ, reason="APEX_SOURCE is not set"),
)


@pytest.fixture(params=["double", SOURCES])
def packages(request, tmp_path):
    """Return a function from what a chip lacks to the variables with which it is found."""

    def variables(lacks=()):
        folder = tmp_path / "packages"
        if request.param == "double":
            return install(folder, lacks=lacks)
        source = Path(os.environ["APEX_SOURCE"])
        return install_sources(folder, source, find_wheel(), lacks=lacks)

    return variables


def check(environment, *selection):
    words = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CHECKS, *selection)
    result = command(*words, cwd=ROOT, **environment)
    assert result.returncode == 0, result.stdout + result.stderr


def test_what_apex_does_and_what_is_made_of_it(packages):
    check(packages())


@pytest.mark.long
def test_overflows_on_a_chip_that_saturates(packages):
    check(packages(ASCEND_910A), "-k", "overflow or fixed_scale")


# test_simulated_npu.py has O1 and O2 of the double.
LEVELS = [
    *(("double", level) for level in ("O0", "O3")),
    *(
        pytest.param(*SOURCES.values, level, marks=SOURCES.marks)
        for level in ("O0", "O1", "O2", "O3")
    ),
]


@pytest.mark.parametrize(("packages", "level"), LEVELS, indirect=["packages"])
def test_the_program_trains_at_each_level(packages, tmp_path, pretrained, level):
    words = (
        sys.executable, ROOT / "run_classifier.py", "--data_dir", write_sst2(tmp_path / "SST-2", train=40),
        "--model_name_or_path", pretrained, "--output_dir", tmp_path / "run", "--max_seq_length", 32,
        "--do_train", "--do_eval", "--max_steps", 6, "--save_steps", 3, "--batch_size", 4,
        "--gradient_accumulation_steps", 2, "--device", "npu", "--fp16", "--fp16_opt_level", level,
    )  # fmt: skip
    environment = packages()
    result = command(*words, cwd=tmp_path, **environment)
    assert result.returncode == 0, result.stderr
    assert f"precision = apex AMP at level {level}, loss scale dynamic" in result.stdout
    assert "skipped: 0" in result.stdout
    final = (tmp_path / "run" / "model.safetensors").read_bytes()

    (tmp_path / "run" / "checkpoint-6" / "training_state.pt").unlink()
    resumed = command(*words, "--resume", cwd=tmp_path, **environment)
    assert resumed.returncode == 0, resumed.stderr
    assert "done = 3" in resumed.stdout
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == final


@pytest.mark.parametrize("flags", [(), ("--fp16", "--fp16_opt_level", "O3"), ("--bf16",)])
def test_apexs_fused_lamb_is_refused_where_apex_does_not_join(refused, sst2, pretrained, flags):
    words = ("--do_train", "--data_dir", sst2, "--optimizer", "npu_fused_lamb", *flags)
    line = refused(*words, status=2)
    assert "--optimizer npu_fused_lamb is Ascend's apex's" in line
    assert "--optimizer lamb is the same rule" in line
