"""A start loads what it needs, and says in one line which package is not there."""

import sys

import pytest
from conftest import ROOT, command

# Each takes from half a second to several; metrics import scikit-learn and SciPy where they score.
SLOW = ("sklearn", "scipy", "pandas", "matplotlib", "tensorboard", "tensorflow", "transformers")


def test_help_loads_no_package_that_only_a_later_part_needs():
    code = f"""
import sys
sys.argv = ["run_classifier.py", "--help"]
import run_classifier
try:
    run_classifier.parse_arguments(sys.argv[1:])
except SystemExit:
    print("loaded:", *(name for name in {SLOW} if name in sys.modules))
"""
    result = command(sys.executable, "-c", code, cwd=ROOT)
    assert "--do_train" in result.stdout, result.stderr
    assert result.stdout.splitlines()[-1] == "loaded:"


@pytest.mark.parametrize("names", [("sklearn",), ("numpy", "torch", "scipy")])
def test_missing_packages_are_said_in_one_line(names):
    code = f"import sys; sys.modules |= dict.fromkeys({names}); import run_classifier"
    result = command(sys.executable, "-c", code, cwd=ROOT)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert f"error: {', '.join(names)} not installed in {sys.executable}: activate" in line
