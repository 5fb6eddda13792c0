"""Print what is to be installed for requirements files; needs nothing but Python.

python tools/cli/missing_requirements.py constraints.txt requirements.txt …

Each requirement that this Python does not satisfy is printed on a line, pinned to its version in
constraints.txt, or in constraints-oldest.txt beside it where an old torch is installed; to its bound, if
that file does not name it. What is installed and satisfies its lower bound stays as it is: a torch that
was built for this machine's accelerator must not be replaced by the tested one.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

# The first torch that today's numpy and its like go with.
_TODAYS_TORCH = "2.4"
_LINE = re.compile(r'([\w-]+)(?:>=|==)([\w.]+)(?:; python_version (<|>=) "([\d.]+)")?')


def _requirements(file: Path) -> list[tuple[str, str]]:
    """Return the (name, version) pairs of a file's lines that are for this Python.

    Lines are ``name>=version`` or ``name==version``; ``; python_version < "3.11"``, or ``>=``, may follow.
    """
    found = []
    for line in file.read_text().splitlines():
        if text := line.split("#")[0].strip():
            name, version, sign, python = _LINE.fullmatch(text).groups()
            if sign is None or (sys.version_info[:2] >= _release(python)) == (sign == ">="):
                found.append((name, version))
    return found


def _release(version: str) -> tuple[int, ...]:
    """Return the release number of a version: "2.13.0+cpu" → (2, 13, 0)."""
    return tuple(int(part) for part in re.match(r"\d+(\.\d+)*", version)[0].split("."))


def is_satisfied(name: str, at_least: str) -> bool:
    """Return whether package ``name`` is installed in version ``at_least`` or a later one."""
    try:
        return _release(importlib.metadata.version(name)) >= _release(at_least)
    except importlib.metadata.PackageNotFoundError:
        return False


def _has_old_torch() -> bool:
    return is_satisfied("torch", "0") and not is_satisfied("torch", _TODAYS_TORCH)


def main(constraints: Path, files: list[Path]) -> None:
    """Print the missing requirements, one a line."""
    if _has_old_torch():
        constraints = constraints.with_name("constraints-oldest.txt")
    pins = dict(_requirements(constraints))
    for name, bound in (pair for file in files for pair in _requirements(file)):
        if not is_satisfied(name, bound):
            print(f"{name}=={pins.get(name, bound)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(file) for file in sys.argv[2:]])
