"""JSON lines → records, each with its line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from processors.data_kinds import name_textual
from processors.rows import split_lines


def json_records(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line and the object of each record of ``text``, one a line.

    A number that no float holds, and NaN, which is no JSON, are None. Blank lines at the end are none.

    Raises:
        ValueError: a line is blank or no JSON object, names a key twice or has half of a character in it;
            or the file is JSON or a page as a whole.
    """
    blank = None
    for number, line in enumerate(split_lines(text, str(path)), start=1):
        if not line.strip():
            blank = blank or number
            continue
        if blank:
            raise ValueError(f"{path}, line {blank}: a blank line between rows: take it out")
        yield number, _record(path, number, line, text)


def _record(path: Path, number: int, line: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(
            line, object_pairs_hook=_unique, parse_float=_finite, parse_constant=lambda _: None
        )
    except RecursionError:
        reason = "it is nested too deeply"
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at character {error.pos + 1}"
    except ValueError as error:  # It has a key twice, or a number of thousands of digits.
        reason = " ".join(str(error).split())
    else:
        if isinstance(found, dict):
            if "\\u" in line:
                _refuse_halves(path, number, found)
            return found
        reason = "it is no object, {…}, with the columns' names"
    if number == 1 and (kind := name_textual(text.encode())) and not kind.startswith("JSON lines"):
        raise ValueError(f"{path} is {kind}")
    raise ValueError(f"{path}, line {number}: no valid line of JSON: {reason}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return found


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _refuse_halves(path: Path, number: int, record: Mapping[str, Any]) -> None:
    """Refuse halves of characters (surrogates), which JSON can spell and no text holds."""
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{path}, line {number}: no valid line of JSON: half of a character (\\ud800 to \\udfff "
            "come in pairs)"
        ) from None
