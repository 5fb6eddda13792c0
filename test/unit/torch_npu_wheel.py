"""The real torch_npu, as a wheel to read: without CANN it does not load.

``TORCH_NPU_WHEEL`` names one that is there already; otherwise pip fetches, once, the release of this
torch's number.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

_TORCH = torch.__version__.split("+")[0]
# Of some there are later builds only.
RELEASE = {"2.1.0": "2.1.0.post17"}.get(_TORCH, _TORCH)


def find_wheel() -> Path:
    """Return the wheel; skips the test where it is not to be had."""
    if "TORCH_NPU_WHEEL" in os.environ:
        return Path(os.environ["TORCH_NPU_WHEEL"])
    folder = Path(tempfile.gettempdir()) / f"torch_npu-{RELEASE}-wheel"
    if not (found := list(folder.glob("*.whl"))):
        words = ("download", "--quiet", "--no-deps", f"torch_npu=={RELEASE}", "-d", folder)
        result = subprocess.run(
            [sys.executable, "-m", "pip", *words, "--retries", "1", "--timeout", "30"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if result.returncode:
            reason = (result.stderr.strip() or "no reason given").splitlines()[-1]
            pytest.skip(
                f"pip cannot fetch torch_npu=={RELEASE}, and TORCH_NPU_WHEEL is not set: {reason}"
            )
        found = list(folder.glob("*.whl"))
    return found[0]
