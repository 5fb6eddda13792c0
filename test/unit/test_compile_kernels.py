"""The fused layers' kernels compile for a GPU that need not be there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed (requirements-triton.txt)")
pytestmark = pytest.mark.newer_torch("has no fused kernels")
HERE = Path(__file__).parent


def test_the_kernels_compile_where_there_is_no_gpu(tmp_path):
    """The interpreter takes what the compiler does not, such as a name of two types in a loop."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    result = subprocess.run(
        [sys.executable, HERE / "compile_kernels.py", tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 7
