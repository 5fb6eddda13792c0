"""A start loads what it needs, and says in one line which package is not there."""

import sys

import pytest
from helpers import ROOT, command

# Each takes from half a second to several. Metrics import scikit-learn and SciPy where they score;
# torch loads its compiler, torch._dynamo, when an optimizer of its own is built.
SLOW = ("sklearn", "scipy", "pandas", "matplotlib", "tensorboard", "tensorflow", "transformers",
        "torch._dynamo")  # fmt: skip

CODE = f"""
import sys
import run_classifier, torch
from callback.optimization import build_optimizer
try:
    run_classifier.run_program(["--help"])
except SystemExit:
    print("after --help:", *(name for name in {SLOW} if name in sys.modules))
layer = torch.nn.Linear(2, 2)
optimizer = build_optimizer("lamb", layer, 0.1, 1e-6, 0.01)
layer(torch.ones(2)).sum().backward()
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
print("after LAMB:", *(name for name in {SLOW} if name in sys.modules))
"""


def test_a_start_loads_no_package_that_only_a_later_part_needs():
    result = command(sys.executable, "-c", CODE, cwd=ROOT)
    assert "--do_train" in result.stdout, result.stderr
    assert result.stdout.splitlines()[-2:] == ["after --help:", "after LAMB:"]


@pytest.mark.parametrize("names", [("sklearn",), ("numpy", "torch", "scipy")])
def test_missing_packages_are_said_in_one_line(names):
    code = f"import sys; sys.modules |= dict.fromkeys({names}); import run_classifier"
    result = command(sys.executable, "-c", code, cwd=ROOT)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert f"error: {', '.join(names)} not installed in {sys.executable}: activate" in line
