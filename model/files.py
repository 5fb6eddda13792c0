"""Files of a model's folder, which go by more than one name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def find_file(folder: str | Path, names: Sequence[str], what: str) -> Path:
    """Return the first of ``names`` that ``folder`` holds.

    Raises:
        FileNotFoundError: it holds none; says so of ``what``.
    """
    for name in names:
        if (path := Path(folder) / name).is_file():
            return path
    raise FileNotFoundError(f"no {what} in {folder}: looked for {' and '.join(names)}")
