"""The folders that flags name for what a run writes: there and of use, or one line that names the flag."""

from __future__ import annotations

import os
from pathlib import Path

from model.files import DiskError, make_folder, writing
from tools.cli.errors import UsageError


def check_named_folder(flag: str, folder: Path) -> None:
    """See that :func:`make_named_folder` could make the folder that ``flag`` names; nothing is made.

    Raises:
        UsageError: it could not.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise UsageError(
            f"{flag} {folder} cannot be made: {there} is no folder: name another folder"
        )
    if not os.access(there, os.W_OK):
        raise UsageError(f"{flag} {folder} cannot be written to: name another folder")


def make_named_folder(flag: str, folder: Path) -> None:
    """Make the folder that ``flag`` names, if it is not there.

    Raises:
        UsageError: it cannot be made or written to.
        DiskError: the disk is full, or can only be read.
    """
    try:
        with writing(folder):
            make_folder(folder)
    except DiskError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"{flag} {folder} cannot be made: {reason}: name another folder"
        ) from error
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{flag} {folder} cannot be written to: name another folder")
