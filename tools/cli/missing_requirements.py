"""Print what is to be installed for requirements files; needs nothing but Python.

python tools/cli/missing_requirements.py constraints.txt requirements.txt …

Each requirement that this Python does not satisfy is printed on a line, pinned to its version in
constraints.txt. What is installed and satisfies its lower bound stays as it is: a torch that was built
for this machine's accelerator must not be replaced by the tested one.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path


def _requirements(file: str) -> list[tuple[str, str]]:
    """Return the (name, version) pairs of ``name>=version`` and ``name==version`` lines."""
    lines = (line.split("#")[0].strip() for line in Path(file).read_text().splitlines())
    return [tuple(re.split(">=|==", line)) for line in lines if line]


def _release(version: str) -> tuple[int, ...]:
    """Return the release number of a version: "2.13.0+cpu" → (2, 13, 0)."""
    return tuple(int(part) for part in re.match(r"\d+(\.\d+)*", version)[0].split("."))


def is_satisfied(name: str, at_least: str) -> bool:
    """Return whether package ``name`` is installed in version ``at_least`` or a later one."""
    try:
        return _release(importlib.metadata.version(name)) >= _release(at_least)
    except importlib.metadata.PackageNotFoundError:
        return False


def main(constraints: str, files: list[str]) -> None:
    """Print the missing requirements, one a line."""
    pins = dict(_requirements(constraints))
    for name, bound in (pair for file in files for pair in _requirements(file)):
        if not is_satisfied(name, bound):
            print(f"{name}=={pins[name]}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
