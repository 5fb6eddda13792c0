"""Which version of the project this is, and of what it computes with: asked without importing either."""

from __future__ import annotations

import importlib.metadata
import platform
import re

from tools.cli.naming import PACKAGE
from tools.cli.paths import INSTALLED, ROOT

NOT_INSTALLED = "not installed"


def project_version() -> str:
    """Return the version of the project: what the checkout's pyproject.toml says, or the package."""
    if INSTALLED:
        return installed_version(PACKAGE) or NOT_INSTALLED
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^version *= *"([^"]+)"', text, re.MULTILINE)[1]


def version_line() -> str:
    """Return what ``--version`` says behind the command's name."""
    python = platform.python_version()
    return f"{project_version()} (torch {installed_version('torch') or NOT_INSTALLED}, Python {python})"


def installed_version(package: str) -> str | None:
    """Return the version of an installed package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
