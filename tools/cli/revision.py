"""Which commit of the project this is."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tools.cli.paths import ROOT

# Of a program that only wants to note it, nobody waits longer for a slow disk.
_SECONDS = 2.0


def git_revision(root: Path = ROOT) -> str | None:
    """Return the short hash of a checkout's commit, with ``+changes`` where files of it were changed.

    None where ``root`` is no checkout, or git does not tell.
    """
    if not (root / ".git").exists():  # git itself would look in the folders above, too.
        return None
    words = ("git", "--no-optional-locks", "-C", str(root), "describe", "--always")
    try:
        result = subprocess.run(
            [*words, "--exclude=*", "--dirty=+changes"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None if result.returncode == 0 else None
