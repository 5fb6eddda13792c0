"""Files and folders that are there whole or not at all, and still are after a power cut."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model.file_kinds import why_missing

# So begins the name of all that is half written or half deleted; the number is of the process at work.
_TEMPORARY = re.compile(r"\.(?:writing|deleting)-(\d+)-.*")
_REMEDY = "free some there, then start again (a training with --resume, if it had begun)"
_DISK = {
    errno.ENOSPC: f"no space is left on the disk of {{}}: {_REMEDY}",
    errno.EDQUOT: f"the disk quota is used up in {{}}: {_REMEDY}",
    errno.EFBIG: "a file in {} got larger than this shell allows: ulimit -f unlimited, then start again "
    "(a training with --resume, if it had begun)",
    errno.EROFS: "{} is on a file system that can only be read: name another folder",
}
# Libraries that read and write by themselves have the number in their message, behind the system's words.
_NUMBER = re.compile(r"\((?:os error )?(\d+)\)")
_CHUNK = 2**20


class DiskError(OSError):
    """The disk is full or cannot be written to; the message names the folder and the remedy."""


@contextmanager
def writing(folder: Path | str) -> Iterator[None]:
    """Have what goes wrong in the block because of the disk of ``folder`` said in one wording.

    Libraries have errors of their own for it, some of which do not name the reason.

    Raises:
        DiskError: the disk, or the user's share of it, is full, or it can only be read.
    """
    try:
        yield
    except DiskError:
        raise
    except Exception as error:
        if (cause := _of_disk(error)) is None:
            raise
        words = _DISK[system_error(cause)]
        raise DiskError(words.format(_place(cause, folder))) from error


def _of_disk(error: BaseException | None) -> BaseException | None:
    """Return what led to ``error``, or is it, and is what the system said of a disk."""
    while error is not None and system_error(error) not in _DISK:
        error = error.__cause__ or error.__context__
    return error


def system_error(error: BaseException) -> int | None:
    """Return the number of what the system said, where that is the error; None where it is another."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    match = _NUMBER.search(str(error))
    number = int(match[1]) if match else 0
    return number if number in errno.errorcode and os.strerror(number) in str(error) else None


def _place(error: BaseException, folder: Path | str) -> Path | str:
    """Return the folder whose disk an error is about: ``folder``, if it does not name a file elsewhere."""
    name = getattr(error, "filename", None)
    if not isinstance(name, str) or not isinstance(folder, Path):
        return folder
    file, inside = Path(name).absolute(), folder.absolute()
    return folder if file.is_relative_to(inside) or inside.is_relative_to(file) else file.parent


def find_file(folder: str | Path, names: Sequence[str], what: str) -> Path:
    """Return the first of ``names`` that ``folder`` holds.

    Raises:
        FileNotFoundError: it holds none; says so of ``what``, and what is in the place of one.
    """
    for name in names:
        if (path := Path(folder) / name).is_file():
            return path
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    looked = f"no {what} in {folder}: looked for {listed}"
    reasons = filter(None, (why_missing(Path(folder) / name) for name in names))
    raise FileNotFoundError("; ".join([looked, *reasons]))


def digest(content: Path | bytes) -> str:
    """Return the SHA-256 of some bytes, or of a file's."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    total = hashlib.sha256()
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


def sync(path: Path) -> None:
    """Return once a file's content, or which files a folder holds, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network disks have no such call.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def make_folder(folder: Path) -> Path:
    """Make a folder and those above it, as far as they are not there, on the disk, too; returns it.

    Raises:
        NotADirectoryError: something else has the name of one of them; says which.
    """
    there = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), None)
    if there is not None and not there.is_dir():
        what = "is no folder" if there.exists() else "is a link that leads nowhere"
        raise NotADirectoryError(f"{there} {what}")
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in new:
        sync(path.parent)
    return folder


def write_whole(path: Path, data: bytes | str) -> None:
    """Write ``data`` (text as UTF-8) under another name and rename it, replacing what was there.

    All of it is on the disk when this returns, and at any time before that either the old or the new.

    Raises:
        DiskError: see :func:`writing`.
    """
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    with writing(path.parent):
        try:
            with temporary.open("wb") as file:
                file.write(data if isinstance(data, bytes) else data.encode())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync(path.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Make a folder in ``parent`` (made too, if need be) that is gone at the end of the block.

    Raises:
        DiskError: see :func:`writing`; also where the block writes to it.
    """
    with writing(parent):
        make_folder(parent)
        remove_temporary_files(parent)
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=f".writing-{os.getpid()}-"))
        try:
            folder.chmod(0o755)  # mkdtemp's 0700 would stay when the folder is renamed.
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def move_files(source: Path, target: Path, last: Sequence[str] = ()) -> None:
    """Move the files in ``source`` to ``target`` (on the same disk), each in one step; sync both.

    Those that ``last`` names are there only when all others are.
    """
    files = sorted(source.iterdir())
    for file in files:
        sync(file)
    for is_last in (False, True):
        if chosen := [file for file in files if (file.name in last) == is_last]:
            for file in chosen:
                file.replace(target / file.name)
            sync(target)


def remove_folder(folder: Path) -> None:
    """Delete a folder of files; whoever looks for it finds all of it or nothing."""
    doomed = folder.with_name(f".deleting-{os.getpid()}-{folder.name}")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def temporary_files(folder: Path) -> list[Path]:
    """Return what processes that are no more left half written or half deleted in ``folder``."""
    return [
        entry
        for entry in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if (match := _TEMPORARY.fullmatch(entry.name)) and not _runs(match[1])
    ]


def remove_temporary_files(folder: Path) -> None:
    """Delete what :func:`temporary_files` finds, as far as that is allowed."""
    for entry in temporary_files(folder):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                entry.unlink()


def _runs(process: str) -> bool:
    """Return whether another process of this number is there; one of this number was before this one."""
    if int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
