"""Where an export goes: a folder that is there whole or not at all, and replaces an earlier one alone."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model.files import digest, remove_folder, sync, temporary_folder
from tools.cli.errors import UsageError
from tools.exporting.names import NETWORK_FLAGS, RECORD

_FORMAT = 1
_FILES = "files"  # The record has the digest of each file under this name.


def check_output(output: Path, model: Path, wanted: Collection[str] = ()) -> None:
    """See that a folder may be written as ``--output``: it is not there, empty, or an unchanged export.

    Args:
        wanted: the networks that it is to have.

    Raises:
        UsageError: it is something else, or holds what no export wrote, or a network that would be lost;
            or it is the model's own.
    """
    if not os.path.lexists(output):
        return
    if not output.is_dir():
        raise UsageError(f"--output {output} is there and no folder: name another")
    if model.exists() and output.samefile(model):
        raise UsageError(f"--output {output} is the folder of --model: name another")
    names = {str(path.relative_to(output)) for path in output.rglob("*") if not path.is_dir()}
    if not names:
        return
    if (files := _recorded(output)) is None:
        raise UsageError(
            f"--output {output} is there, and no export: name a folder that is not there yet"
        )
    changed = names - {*files, RECORD}
    changed |= {name for name in names & files.keys() if digest(output / name) != files[name]}
    if changed:
        raise UsageError(
            f"--output {output} is an export, but {', '.join(sorted(changed)[:3])} in it is not as it was "
            "written: name another folder, or move that one away"
        )
    if lost := [flag for name, flag in NETWORK_FLAGS.items() if name in names - set(wanted)]:
        raise UsageError(
            f"--output {output} is an export with a network that this one would not have: add "
            f"{' '.join(lost)}, name another folder, or move that one away"
        )


def _recorded(output: Path) -> Mapping[str, str] | None:
    """Return the digest of each file that an export wrote to ``output``; None where none did."""
    try:
        found = json.loads((output / RECORD).read_text(encoding="utf-8"))
        is_known = found["format"] == _FORMAT and isinstance(found[_FILES], dict)
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found[_FILES] if is_known else None


@contextmanager
def writing_folder(output: Path, record: dict[str, Any]) -> Iterator[Path]:
    """Give a temporary folder for the block, which becomes ``output`` at its end, with the record in it.

    Where the block ends with an error, ``output`` stays as it is.

    Args:
        record: what :data:`tools.exporting.names.RECORD` gets beside the digests of the files; may be
            filled in the block.

    Raises:
        DiskError: the disk is full, or can only be read.
    """
    output = output.resolve()
    with temporary_folder(output.parent) as folder:
        yield folder
        files = sorted(path for path in folder.iterdir())
        digests = {path.name: digest(path) for path in files}
        text = json.dumps({"format": _FORMAT, **record, _FILES: digests}, indent=2)
        (folder / RECORD).write_text(text + "\n", encoding="utf-8")
        for path in (*files, folder / RECORD, folder):
            path.chmod(0o755 if path.is_dir() else 0o644)
            sync(path)
        if output.is_dir():
            remove_folder(output)
        folder.rename(output)
        sync(output.parent)
