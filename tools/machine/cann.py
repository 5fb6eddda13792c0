"""Where CANN, Ascend's toolkit, is on this machine. Needs nothing but Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_INFO = "ascend_cann_install.info"
# CANN 8.5 and later have the first name; the others are the toolkit's and the runtime's of earlier ones.
_PACKAGES = ("cann", "ascend-toolkit", "nnae", "")


def cann_folders(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> list[Path]:
    """Return the folders that CANN may be in, the likeliest first: those that test/env_npu.sh looks in.

    They are where the environment says it is, where its installer noted that it is, and where it is by
    default; for the machine first, then for the user alone.
    """
    folders = []
    if environment.get("ASCEND_HOME_PATH"):
        named = Path(environment["ASCEND_HOME_PATH"])
        folders += [named, named.parent]
    users = Path(environment.get("HOME") or "/nowhere", "Ascend")
    bases = [
        *_noted(root / "etc" / "Ascend" / _INFO),
        root / "usr" / "local" / "Ascend",
        *_noted(users / _INFO),
        users,
    ]
    folders += [base / package for base in bases for package in _PACKAGES]
    return list(dict.fromkeys(folders))


def _noted(info: Path) -> list[Path]:
    """Return the folder that CANN's installer wrote into a file."""
    try:
        lines = info.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    key = "Install_Path="
    return [Path(line.removeprefix(key)) for line in lines if line.startswith(key)]


def describe_cann(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> str:
    """Return in words where CANN is, and how to have it found; or where it was looked for."""
    home = environment.get("ASCEND_HOME_PATH")
    libraries = f":{environment.get('LD_LIBRARY_PATH', '')}"
    if home and Path(home).is_dir() and f":{home}/" in libraries:
        return f"CANN is set up, from {home}"
    folders = cann_folders(environment, root)
    scripts = [folder / "set_env.sh" for folder in folders if (folder / "set_env.sh").is_file()]
    if not scripts:
        return f"no CANN found, looked in {', '.join(map(str, folders))}"
    return f"CANN is in {scripts[0].parent}: source {scripts[0]} first"
