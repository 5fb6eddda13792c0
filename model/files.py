"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model.file_kinds import why_missing


def find_file(folder: str | Path, names: Sequence[str], what: str) -> Path:
    """Return the first of ``names`` that ``folder`` holds.

    Raises:
        FileNotFoundError: it holds none; says so of ``what``, and what is in the place of one.
    """
    for name in names:
        if (path := Path(folder) / name).is_file():
            return path
    looked = f"no {what} in {folder}: looked for {' and '.join(names)}"
    reasons = filter(None, (why_missing(Path(folder) / name) for name in names))
    raise FileNotFoundError("; ".join([looked, *reasons]))


def digest(content: Path | bytes) -> str:
    """Return the SHA-256 of some bytes, or of a file's."""
    data = content if isinstance(content, bytes) else content.read_bytes()
    return hashlib.sha256(data).hexdigest()


def write_whole(path: Path, data: bytes | str) -> None:
    """Write ``data`` (text as UTF-8) under another name and rename it, replacing what was there.

    The data are on the disk before they have the name, so a crash leaves no empty file of that name.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Make a folder in ``parent`` (made too, if need be) that is gone at the end of the block."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=".writing-"))
    folder.chmod(0o755)  # mkdtemp's 0700 would stay when the folder is renamed.
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move_files(source: Path, target: Path) -> None:
    """Move the files in ``source`` to ``target`` (on the same disk), each in one step."""
    for file in sorted(source.iterdir()):
        file.replace(target / file.name)
