"""JSON files that people edit, download and convert: read strictly, and every complaint names the file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from model.file_kinds import AGAIN, read_head, what_else_it_is

_MOST_BYTES = 2**26  # A configuration has a few thousand; an index of weights some more.
# Python's own limit is reached at a few hundred, and then only when the file is written again.
_DEEPEST = 50
_MEND = f"mend it, or {AGAIN}"


def read_json_object(path: Path, what: str) -> dict[str, Any]:
    """Read a file that holds one JSON object, in UTF-8 with or without a byte order mark.

    Args:
        what: what the file is to be, for the messages.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
        ValueError: it holds something else, a key twice with two values, a number that is not finite, or
            text that cannot be written again.
    """
    head = read_head(path)
    if found := what_else_it_is(path, head, text_is_strange=False):
        remedy = "" if ":" in found else f": {AGAIN}"
        raise ValueError(f"{path} is no {what}: it {found}{remedy}")
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise ValueError(f"{path} is no {what}: it has {size:,} bytes; {AGAIN}")
    data = path.read_bytes()
    encoding = json.detect_encoding(data)
    if not encoding.startswith("utf-8"):
        name = encoding.upper()[:6]
        raise ValueError(
            f"{path} is {name}, not UTF-8: iconv -f {name} -t UTF-8 {path} > new.json, then put that in "
            "its place"
        )
    try:
        values = json.loads(data.decode("utf-8-sig").lstrip("\ufeff"), object_pairs_hook=_object)
        if not isinstance(values, dict):
            raise ValueError("it holds no JSON object")
        _check(values, "", 0)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no {what}: it is not UTF-8 ({error.reason}); {_MEND}"
        ) from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no {what}: it is not JSON: {error}; {_MEND}") from error
    except RecursionError:
        raise ValueError(f"{path} is no {what}: it is nested too deep; {_MEND}") from None
    except ValueError as error:
        raise ValueError(f"{path} is no {what}: {error}; {_MEND}") from error
    return values


def shown(value: object) -> str:
    """Return a value as a message has it: in quotes if it is text, and cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        for key, value in pairs:
            if type(value) is not type(values[key]) or value != values[key]:
                both = f"{shown(value)} and {shown(values[key])}"
                raise ValueError(f"{shown(key)} stands there twice, as {both}")
    return values


def _check(value: Any, key: str, depth: int) -> None:  # noqa: ANN401 (any JSON value)
    if depth > _DEEPEST:
        raise ValueError(f"it is nested too deep, below {shown(key)}")
    if isinstance(value, dict):
        for name, inner in value.items():
            _check(name, name, depth + 1)
            _check(inner, key or name, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, key, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{shown(key)} is {value}, which is no finite number")
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{shown(key)} is {shown(value)}, which is no valid text") from None
