"""How much memory this machine, or the container that the program is in, has."""

from __future__ import annotations

import os
from pathlib import Path

# Linux's limit of a container, in its two versions; what is not limited has no number or a huge one.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> int | None:
    """Return the bytes of memory, or None where the system does not tell."""
    try:
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, OSError, ValueError):
        found = []
    for file in map(Path, _LIMITS):
        try:
            found.append(int(file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return min((size for size in found if size > 0), default=None)
