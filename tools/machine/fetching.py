"""Files from the web: with progress, and going on where a download was cut off."""

from __future__ import annotations

import http.client
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tqdm import tqdm

from model.files import DiskError, make_folder, writing
from tools.cli.streams import say

_CHUNK, _TIMEOUT_SECONDS = 2**18, 60
# A connection that breaks again without a byte in between is not tried again, and any other so often.
_TRIES = 10
# Where there is no terminal for a bar, so often a line says how far it is.
_QUIET_SECONDS = 10.0
_RANGE_NOT_THERE = 416


@contextmanager
def fetched(url: str, part: Path) -> Iterator[Path]:
    """Have the content of ``url`` in the file ``part`` for the block, at whose end it is removed.

    What an earlier try left there of the same content is not fetched again. Of one that is cut off, the
    part that came stays.

    Raises:
        ConnectionError: it cannot be fetched; names it and the reason.
        DiskError: the disk is full.
    """
    new = [folder for folder in (part.parent, *part.parent.parents) if not folder.exists()]
    for last in range(_TRIES):
        before = _size(part)
        try:
            _fetch_rest(url, part)
            break
        except DiskError:
            raise
        except (OSError, http.client.HTTPException) as error:
            if _size(part) > before and last + 1 < _TRIES:
                continue
            kept = f"; {_size(part):,} bytes are kept for the next try" if _size(part) else ""
            reason = getattr(error, "reason", error)
            raise ConnectionError(f"{url} could not be downloaded: {reason}{kept}") from error
    try:
        yield part
    finally:
        _drop(part)
        for folder in new:
            with suppress(OSError):
                folder.rmdir()


def _fetch_rest(url: str, part: Path) -> None:
    """Add to ``part`` what it lacks; all, where the server has another content by now.

    Raises:
        OSError, HTTPException: the connection fails or breaks.
        DiskError: the disk is full.
    """
    mark, have = _mark(part), _size(part)
    request = urllib.request.Request(url)
    if have and mark.is_file():
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", mark.read_text(encoding="utf-8"))
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != _RANGE_NOT_THERE:
            raise
        _drop(part)
        response = urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS)
    with response, writing(part.parent):
        goes_on = response.status == http.HTTPStatus.PARTIAL_CONTENT
        have = have if goes_on else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        make_folder(part.parent)
        if not goes_on:
            _drop(part)
            _note_version(response, mark)
        with part.open("ab") as file:
            _copy(response, file, have, total, url)
    if total is not None and _size(part) < total:
        raise ConnectionError(f"the connection broke after {_size(part):,} of {total:,} bytes")


def _copy(response: IO[bytes], file: IO[bytes], have: int, total: int | None, url: str) -> None:
    name, said = url.rpartition("/")[2], time.monotonic()
    shown = {"unit": "B", "unit_scale": True, "desc": name, "leave": False}
    # A bar is for a terminal alone.
    with tqdm(total=total, initial=have, disable=None, file=sys.stderr, **shown) as bar:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            have += len(chunk)
            bar.update(len(chunk))
            if bar.disable and time.monotonic() - said > _QUIET_SECONDS:
                said = time.monotonic()
                of_all = f" of {total:,}" if total else ""
                say(f"{name}: {have:,}{of_all} bytes so far")


def _note_version(response: http.client.HTTPResponse, mark: Path) -> None:
    """Write down which content it is; where the server does not say, it is fetched anew another time."""
    tag = response.headers.get("ETag", "")
    version = "" if tag.startswith("W/") else tag or response.headers.get("Last-Modified", "")
    if version:
        mark.write_text(version, encoding="utf-8")


def _mark(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _drop(part: Path) -> None:
    for path in (part, _mark(part)):
        path.unlink(missing_ok=True)
