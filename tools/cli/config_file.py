"""Flags from a file, TOML or JSON: they become words of the command line, before those typed there."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tools.cli.errors import UsageError, first_line

_SCALARS = (bool, int, float, str)


def read_config(file: Path) -> dict[str, Any]:
    """Return what a file says, by key: TOML, or JSON where its name ends in ``.json``.

    Raises:
        UsageError: it cannot be read, or is neither; says which file and what to do.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"--config {file} is missing") from None
    except OSError as error:
        raise UsageError(f"--config {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"--config {file} is no text in UTF-8") from None
    if file.suffix.lower() == ".json":
        return _json(file, text)
    return _toml(file, text)


def _json(file: Path, text: str) -> dict[str, Any]:
    try:
        values = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--config {file} is no JSON: {_why(error)}") from error
    if not isinstance(values, dict):
        raise UsageError(f'--config {file} is no object of flags: {{"batch_size": 32, …}}')
    return values


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands there twice")
    return found


def _toml(file: Path, text: str) -> dict[str, Any]:
    try:
        import tomllib
    except ModuleNotFoundError:
        try:
            import tomli as tomllib
        except ModuleNotFoundError:
            raise UsageError(
                f"--config {file}: TOML is read by Python 3.11 and later, or with the package tomli "
                "(python3 -m pip install tomli): write it as JSON, in a file that ends in .json"
            ) from None
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"--config {file} is no TOML: {_why(error)} (JSON is in a file that ends in .json)"
        ) from error


def _why(error: Exception) -> str:
    is_deep = isinstance(error, RecursionError)
    return "its values lie too deep in each other" if is_deep else first_line(error)


def as_words(file: Path, values: Mapping[str, Any], known: Sequence[str]) -> list[str]:
    """Return the words of a command line that say what ``values`` do; what is None or empty says nothing.

    Args:
        known: the names of all flags, without ``--``.

    Raises:
        UsageError: a key is no flag's name, or a value is none of a flag; names file and key.
    """
    words = []
    for key, value in values.items():
        name = key.removeprefix("--").replace("-", "_")
        if name not in known:
            near = get_close_matches(name, known, 1, 0.5)
            hint = f"; {near[0]} is one" if near else ""
            raise UsageError(f"--config {file}: {key} is no flag{hint}")
        if value not in (None, []):
            words.append(f"--{name}={_as_text(file, key, value)}")
    return words


def _as_text(file: Path, key: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(part, _SCALARS) for part in value):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(value)
        return line.getvalue()
    if not isinstance(value, _SCALARS):
        raise UsageError(
            f"--config {file}: {key} is {'a table' if isinstance(value, dict) else repr(value)}: a flag's "
            "value is a text, a number, true or false, or a list of those"
        )
    return str(value)
