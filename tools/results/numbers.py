"""How a page writes numbers: one rule for each kind of them."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

NONE = "–"
# A typographic minus is as wide as a digit.
_MINUS = "−"


def is_number(value: object) -> bool:
    """Return whether ``value`` is a finite number, and no truth value."""
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and math.isfinite(value)


def number(value: Any, decimals: int | None = None) -> str:
    """Return a number as text: whole ones with their thousands apart, others to three digits that count.

    Args:
        value: what is no finite number is a dash.
        decimals: how many there are, where columns are to be compared.
    """
    if not is_number(value):
        return NONE
    size = abs(value)
    if decimals is not None:
        shown = f"{size:,.{decimals}f}"
    elif isinstance(value, int) or (size >= 100 and size < 1e6):
        shown = f"{size:,.0f}"
    elif size == 0:
        shown = "0"
    elif 1e-3 <= size < 100:
        digits = 2 - math.floor(math.log10(size))
        shown = f"{size:.{max(digits, 0)}f}"
    else:
        mantissa, exponent = f"{size:.2e}".split("e")
        shown = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{_MINUS}{shown}" if value < 0 and shown.strip("0.,") else shown


def score(value: Any) -> str:
    """Return a metric, to three decimals."""
    return number(value, 3)


def percent(share: Any) -> str:
    """Return a share of 1 as a percentage."""
    if not is_number(share):
        return NONE
    shown = f"{100 * share:.{0 if share in (0, 1) else 1}f}"
    return f"{shown} %"


def duration(seconds: Any) -> str:
    """Return a time in the two largest units that it has."""
    if not is_number(seconds) or seconds < 0:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min"


def size(number_of_bytes: Any) -> str:
    """Return an amount of memory."""
    if not is_number(number_of_bytes):
        return NONE
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number_of_bytes >= scale:
            return f"{number(number_of_bytes / scale)} {unit}"
    return f"{number(number_of_bytes)} bytes"


def moment(when: Any) -> str:
    """Return an ISO 8601 time, or seconds since the epoch, as a date and a time in UTC."""
    try:
        if isinstance(when, str):
            found = datetime.fromisoformat(when.replace("Z", "+00:00"))
        else:
            found = datetime.fromtimestamp(float(when), timezone.utc)
    except (TypeError, ValueError, OverflowError, OSError):
        return NONE
    if found.tzinfo is not None:
        found = found.astimezone(timezone.utc)
    return f"{found.day} {found:%B %Y, %H:%M} UTC"


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return ``1 step``, ``1,008 steps``."""
    return f"{number(count)} {one if count == 1 else many or f'{one}s'}"
