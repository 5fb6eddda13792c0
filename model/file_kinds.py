"""What a file really is that should be part of a model, said with what to do about it.

The first bytes that tell one kind of file from another are here for all who ask.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

AGAIN = "copy or download it again"
SAFETENSORS, PICKLE = "safetensors", "PyTorch's"
_HEAD = 1024  # So many bytes tell all the kinds below apart.
_MARKUP = rb"(\xef\xbb\xbf)*\s*"
# The kinds of files that data come as, too, and the first bytes of each, as a pattern. The order is that
# of the trials.
_STARTS = {
    "gzip": rb"\x1f\x8b",
    "bzip2": rb"BZh[1-9](1AY&SY|\x17rE8P\x90)",  # The second is of one that holds nothing.
    "xz": rb"\xfd7zXZ\0",
    "zstd": rb"\x28\xb5\x2f\xfd",
    "7-Zip": rb"7z\xbc\xaf\x27\x1c",
    "RAR": rb"Rar!\x1a\x07",
    "zip": rb"PK(\x03\x04|\x05\x06)",
    "LFS": rb"version https://(git-lfs|hawser)",
    "web page": (
        rb"(?i:" + _MARKUP + rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<(!doctype\s+html|html|head)\b)"
    ),
    "XML": rb"(?i:" + _MARKUP + rb"<\?xml\b)",
}
# What unpacks those that are packed.
_UNPACKERS = {
    "gzip": "tar xf, or gunzip",
    "bzip2": "tar xf, or bunzip2",
    "xz": "tar xf, or unxz",
    "zstd": "tar xf, or unzstd",
    "7-Zip": "7z x",
    "RAR": "unrar x",
}
# A server says so, too, that it has no such file.
_SERVER_SAYS = rb"(?i:" + _MARKUP + rb"<(error|!doctype)\b)"
# And so does what it sends in place of a file begin, beside pages: it is one short line.
_REPLY = (
    rb"(?i:" + _MARKUP + rb"([45]\d\d(:| -)? \w"
    rb"|(entry|repository|page|file)? ?not found\b|unauthorized\b"
    rb"|forbidden\b|access (denied|to (model|dataset) )|invalid (username|credentials|token)"
    rb"|bad (gateway|credentials)|too many requests|rate limit|you (need|must) |cannot access gated"
    rb'|\{\s*"error"\s*:))'
)
# Files of weights, by their first bytes, and what each is called.
_WEIGHTS = {
    "HDF5, as Keras writes it": rb"\x89HDF\r\n\x1a\n",
    "GGUF, as llama.cpp has it": rb"GGUF",
    "GGML, as llama.cpp had it": rb"(lmgg|tjgg|fmgg)",
    "ONNX": rb"\x08[\x01-\x1f][\x12\x1a\x3a\x42]",
    "TensorFlow Lite's": rb".{4}TFL3",
    "NumPy's": rb"\x93NUMPY",
    SAFETENSORS: rb".{3}[\0-\x07]\0{4}\{",
    PICKLE: rb"\x80[\x02-\x05][^\0]",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file.

    Raises:
        FileNotFoundError: there is none; says so of a link that leads nowhere, too.
        OSError: it cannot be read; an IsADirectoryError says in words that it is a folder.
    """
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except IsADirectoryError:
        raise IsADirectoryError(why_missing(path)) from None
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(why_missing(path) or f"{path} is missing") from None


def why_missing(path: Path) -> str | None:
    """Return what is in the place of a file that is not there, or of its folder; None where nothing is."""
    if reason := why_no_folder(path.parent):
        return reason
    if path.is_symlink() and not path.exists():
        return f"{path} is a link to {path.readlink()}, which is not there: {AGAIN}"
    if path.is_dir():
        return f"{path} is a folder, not a file"
    if path.exists() and not path.is_file():
        return f"{path} is a device or a pipe, not a file"
    return None


def why_no_folder(folder: Path) -> str | None:
    """Return that something is in the place of a folder which is none; None where nothing is, or it is."""
    return f"{folder} is a file, not a folder" if folder.is_file() else None


def kind_by_start(data: bytes) -> str | None:
    """Return which of the kinds that data and models both come as ``data`` begin as; None for no such.

    They are "gzip", "bzip2", "xz", "zstd", "7-Zip", "RAR", "zip", "LFS" (a pointer of Git LFS), "web page"
    and "XML".
    """
    matches = (kind for kind, start in _STARTS.items() if re.match(start, data, re.DOTALL))
    return next(matches, None)


def what_it_is(head: bytes, text_is_strange: bool = True) -> str | None:
    """Return what a file is whose first bytes say that it is no part of a model; None otherwise.

    The answer goes on after the file's name: "is a web page: …". Zip archives are for
    :func:`what_a_zip_is`, since PyTorch's files are such.

    Args:
        head: as :func:`read_head` returns it.
        text_is_strange: whether plain text and JSON are no part of a model, either.
    """
    if not head:
        return f"is empty: {AGAIN}"
    kind = kind_by_start(head)
    if kind == "LFS":
        return "is a Git LFS pointer, not the file itself: run git lfs pull in its folder"
    if kind in ("web page", "XML") or re.match(_SERVER_SAYS, head):
        return (
            "is a web page, not the file itself: download it from the link of the file (on the Hugging "
            "Face hub /resolve/ in place of /blob/)"
        )
    if kind in _UNPACKERS:
        return f"is still packed: unpack it, it is {kind} ({_UNPACKERS[kind]})"
    if head[257:262] == b"ustar":
        return "is still packed: unpack it, it is tar (tar xf)"
    if reply := server_reply(head):
        return (
            f"is what a server says in place of the file ({reply!r}): check the link, log in where it is "
            "needed, and download it again"
        )
    if not head.strip(b"\0"):
        return f"begins with zeros alone: it was not written to its end; {AGAIN}"
    return _text(head) if text_is_strange else None


def server_reply(data: bytes) -> str | None:
    """Return what a server says in place of a file, where that is all that ``data`` are; else None."""
    line = data.strip()
    is_one = not re.search(rb"[\t\n]", line) or line.endswith(b"}")
    if len(data) >= _HEAD or not is_one or not re.match(_REPLY, line):
        return None
    return " ".join(line.decode("utf-8-sig", "replace").split())[:100]


def weights_kind(head: bytes) -> str | None:
    """Return what kind of weights a file holds that begins so, :data:`SAFETENSORS` and others; else None.

    Zip archives are for :func:`what_a_zip_is`.
    """
    matches = (kind for kind, start in _WEIGHTS.items() if re.match(start, head, re.DOTALL))
    return next(matches, None)


def what_else_it_is(path: Path, head: bytes, text_is_strange: bool = True) -> str | None:
    """Return what a file of a model is that holds no weights by its name, but something strange.

    As :func:`what_it_is`, and of weights and archives, too.
    """
    if is_zip(head):
        return what_a_zip_is(path) or "holds weights (PyTorch's) or is a damaged archive"
    if kind := weights_kind(head):
        return f"holds weights ({kind})"
    return what_it_is(head, text_is_strange)


def what_a_zip_is(path: Path) -> str | None:
    """Return what a zip archive is that PyTorch's ``torch.save`` did not write; None if it did.

    None also stands for a zip archive that cannot be read: PyTorch's reader says what is wrong with it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        names = [entry.filename for entry in entries]
        content = sum(entry.file_size for entry in entries)
        size = path.stat().st_size
    except Exception:  # A damaged one raises errors of every type.
        return None
    if any(name.endswith("/constants.pkl") for name in names):
        return "is a TorchScript program: save the state_dict() of the model in place of it"
    if any(name.endswith("data.pkl") for name in names):
        # torch.save packs nothing, so what claims more than there is would only fill the memory.
        return f"is damaged: {AGAIN}" if content > size else None
    return f"is still packed: unpack it, it is zip (unzip) and holds {_first(names)}"


def is_zip(head: bytes) -> bool:
    """Return whether a file that begins so is a zip archive."""
    return kind_by_start(head) == "zip"


def _text(head: bytes) -> str | None:
    """Return what text that begins so is; None where it is none."""
    if head.startswith(_UTF16):
        return f"is a text file in UTF-16, not the file itself: {AGAIN}"
    try:
        # The last character may have been cut through.
        text = head.decode("utf-8-sig", errors="strict" if len(head) < _HEAD else "ignore").strip()
    except UnicodeDecodeError:
        return None
    if not text or not all(char.isprintable() or char in "\t\r\n" for char in text):
        return None
    if text[0] in "{[":
        return f"is a JSON file, not the file itself: {AGAIN}"
    line = text.splitlines()[0]
    return f"is a text file, which begins with {line[:60]!r}: {AGAIN}"


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if names[3:] else "") if names else "nothing"
