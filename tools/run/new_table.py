"""--output of the commands that write a table, which is a new file."""

from __future__ import annotations

import os
from pathlib import Path

from processors.predictions import check_name
from tools.cli.errors import UsageError


def check_new_table(output: Path) -> None:
    """See that a table may be written as ``--output`` names it, before any work is done for it.

    Raises:
        UsageError: something is there already, or no such tables are written.
    """
    if os.path.lexists(output):
        raise UsageError(f"--output {output} is there: name another, or move it away")
    try:
        check_name(output)
    except ValueError as error:
        raise UsageError(f"--output {error}") from error
