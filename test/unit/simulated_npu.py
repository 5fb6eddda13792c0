"""A simulated Ascend NPU for tests: processes find doubles of torch_npu and apex, and compute on them.

The doubles are the packages in doubles/, in the layout of the real ones. Of these, what is Python can take
its double's place: apex's whole package, and torch_npu's autocast and loss scaler.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Collection
from pathlib import Path

import pytest
import torch
from torch.utils import backend_registration

from model.torch_releases import CAN_COMPILE

_DOUBLES = Path(__file__).parent / "doubles"
_IN_PYTHON = "_setup_privateuseone_for_python_backend"  # what torch calls it
_CALLS = "npu_calls.txt"
# What an Ascend 910A lacks (doubles/torch_npu/_chip.py has the words).
ASCEND_910A = ("bf16", "fused_attention", "infinity")

_OF_WHEEL = "npu/amp/"
# What it imports of the rest, which asks for CANN's libraries.
_OTHERS = {
    "utils/__init__.py": "",
    "utils/_error_code.py": """\
class _Codes:
    def __getattr__(self, name):
        return name


ErrCode = _Codes()


def pta_error(code):
    return f" [{code}]"
""",
}


def has_devices_in_python() -> bool:
    """Return whether torch lets a package add a device without C++."""
    return hasattr(backend_registration, _IN_PYTHON)


def install(
    folder: Path,
    apex: bool = True,
    devices: int = 2,
    lacks: Collection[str] = (),
    faults: Collection[str] = (),
) -> dict[str, str]:
    """Put torch_npu, and apex if wanted, into ``folder``; return the variables with which they are found.

    A process with these variables in its environment has ``devices`` NPUs from ``import torch_npu`` on.

    Args:
        lacks: what the chip cannot do.
        faults: what it does wrong (doubles/torch_npu/_chip.py has the words of both).
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("torch_npu", "apex") if apex else ("torch_npu",):
        (folder / name).symlink_to(_DOUBLES / name)
    return _variables(folder, devices, lacks) | {"SIMULATED_NPU_FAULTS": ",".join(faults)}


def install_sources(
    folder: Path, apex: Path | None, torch_npu: Path, devices: int = 2, lacks: Collection[str] = ()
) -> dict[str, str]:
    """As :func:`install`, but with the packages' own Python files where there are any.

    Args:
        apex: the folder that holds apex's package, with Ascend's patch; None for no apex.
        torch_npu: its wheel.
    """
    double, own = _DOUBLES / "torch_npu", folder / "torch_npu"
    (own / "npu").mkdir(parents=True)
    for file in (*double.glob("*.*"), *double.glob("npu/*.py")):
        relative = file.relative_to(double)
        if relative.name != "amp.py":
            (own / relative).symlink_to(file)
    with zipfile.ZipFile(torch_npu) as archive:
        for name in archive.namelist():
            if name.removeprefix("torch_npu/").startswith(_OF_WHEEL) and name.endswith(".py"):
                archive.extract(name, folder)
    (own / "utils").mkdir()
    for name, text in _OTHERS.items():
        (own / name).write_text(text)
    if apex is not None:
        (folder / "apex").symlink_to(apex / "apex")
        extension = "change_data_ptr.py"
        (folder / extension).symlink_to(_DOUBLES / "apex_extension" / extension)
    return _variables(folder, devices, lacks)


def _variables(folder: Path, devices: int, lacks: Collection[str]) -> dict[str, str]:
    if not has_devices_in_python():
        if CAN_COMPILE:  # From 2.4 on, until a device can be made in Python, it takes more of C++.
            pytest.skip(f"there is no simulated NPU for torch {torch.__version__}")
        if not shutil.which("g++"):
            pytest.skip(f"torch {torch.__version__} needs g++ for the simulated NPU")
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "SIMULATED_NPUS": str(devices),
        "SIMULATED_NPU_LACKS": ",".join(lacks),
        "SIMULATED_NPU_CALLS": str(folder / _CALLS),
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    }


def recorded_calls(folder: Path) -> list[str]:
    """Return the calls that leave no trace in tensors, as written: ``set_device(1)``."""
    path = folder / _CALLS
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
