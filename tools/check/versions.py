"""What is installed on the machine: for the report, without a question whether it works."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from tools.cli.version import NOT_INSTALLED, installed_version
from tools.machine.cann import cann_folders, describe_cann

_PACKAGES = (
    "torch",
    "torch_npu",
    "apex",
    "numpy",
    "safetensors",
    "scipy",
    "sentencepiece",
    "tokenizers",
)
_VARIABLES = (
    "ASCEND",
    "HCCL",
    "PYTORCH",
    "TASK_QUEUE",
    "CPU_AFFINITY",
    "COMBINED",
    "LD_LIBRARY_PATH",
)
_DRIVER = Path("/usr/local/Ascend/driver/version.info")
_SECONDS = 20


def describe_computer() -> dict[str, str]:
    """Return which system and which Python this is."""
    return {
        "machine": f"{platform.platform()}, {platform.machine()}, {os.cpu_count()} CPUs",
        "Python": f"{platform.python_version()} ({sys.executable})",
    }


def describe_packages(*names: str) -> dict[str, str]:
    """Return the version of each package, or that it is not installed."""
    return {name: installed_version(name) or NOT_INSTALLED for name in names}


def describe_npu_machine() -> dict[str, str]:
    """Return versions, paths and settings of a machine with an NPU, by what they are of."""
    facts = describe_computer()
    facts |= describe_packages(*_PACKAGES)
    facts["CANN"] = describe_cann()
    info = f"{platform.machine()}-linux/ascend_toolkit_install.info"
    files = (info, f"latest/{info}", "version.cfg", "latest/version.cfg")
    found = (folder / file for folder in cann_folders() for file in files)
    facts["CANN's version"] = next((_read(f) for f in found if f.is_file()), "not found")
    facts["driver"] = _read(_DRIVER)
    facts["npu-smi info"] = output_of("npu-smi", "info")
    names = sorted(name for name in os.environ if name.startswith(_VARIABLES))
    facts |= {name: os.environ[name] for name in names}
    return facts


def _read(file: Path) -> str:
    try:
        return " ".join(file.read_text(errors="replace").split())
    except OSError as error:
        return f"{file}: {error.strerror}"


def output_of(*words: str) -> str:
    """Return what a program prints, or why it did not run."""
    try:
        result = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{words[0]}: {getattr(error, 'strerror', None) or 'no answer'}"
    return (result.stdout + result.stderr).strip()
