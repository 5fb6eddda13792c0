"""Which version of the project this is, and of what it computes with: asked without importing either."""

from __future__ import annotations

import importlib.metadata
import platform
import re

from tools.cli.naming import PACKAGE
from tools.cli.paths import INSTALLED, ROOT


def project_version() -> str:
    """Return the version of the project: what the checkout's pyproject.toml says, or the package."""
    if INSTALLED:
        return _installed(PACKAGE)
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^version *= *"([^"]+)"', text, re.MULTILINE)[1]


def version_line() -> str:
    """Return what ``--version`` says behind the command's name."""
    python = platform.python_version()
    return f"{project_version()} (torch {_installed('torch')}, Python {python})"


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
