"""A simulated Ascend NPU for tests: processes find doubles of torch_npu and apex, and compute on them.

The doubles are the packages in doubles/, in the layout of the real ones.
"""

from __future__ import annotations

import os
from pathlib import Path

_DOUBLES = Path(__file__).parent / "doubles"
_CALLS = "npu_calls.txt"


def install(folder: Path, apex: bool = True, devices: int = 2) -> dict[str, str]:
    """Put torch_npu, and apex if wanted, into ``folder``; return the variables with which they are found.

    A process with these variables in its environment has ``devices`` NPUs from ``import torch_npu`` on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("torch_npu", "apex") if apex else ("torch_npu",):
        (folder / name).symlink_to(_DOUBLES / name)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "SIMULATED_NPUS": str(devices),
        "SIMULATED_NPU_CALLS": str(folder / _CALLS),
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    }


def recorded_calls(folder: Path) -> list[str]:
    """Return the calls that leave no trace in tensors, as written: ``set_device(1)``."""
    path = folder / _CALLS
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
