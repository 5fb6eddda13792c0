"""Control characters in what is shown: a text or a class may have some, which a terminal would obey."""

from __future__ import annotations

# All of ASCII and Latin-1 but for the tab and the end of a line.
_CONTROL = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"
}


def visible(text: str) -> str:
    """Return a text with its control characters written out, which would move or colour a terminal."""
    return text.translate(_CONTROL)
