"""The real torch_npu, as a wheel to read: without CANN it does not load.

``TORCH_NPU_WHEEL`` names one that is there already; otherwise pip fetches, once, the release that belongs
to this torch: that of requirements-npu.txt, or for an older torch its latest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from helpers import ROOT

_PINNED = re.search(r"^torch_npu==(\S+)$", (ROOT / "requirements-npu.txt").read_text(), re.M)[1]
_TORCH = torch.__version__.split("+")[0]
# A later torch than the pinned one's is compared with that.
_OLDER = {"2.1.0": "2.1.0.post17"}
RELEASE = _OLDER.get(_TORCH, _PINNED)


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
