"""What a person's data may do to what is shown: control characters, which a terminal obeys, and no end."""

from __future__ import annotations

# All of ASCII and Latin-1 but for the tab and the end of a line.
_CONTROL = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"
}

# A message that is longer was given something that nobody would read to its end.
_MOST_CHARACTERS, _LAST = 2000, 400


def shortened(message: str) -> str:
    """Return a message without its middle where it is longer than a screen."""
    if len(message) <= _MOST_CHARACTERS:
        return message
    return f"{message[: _MOST_CHARACTERS - _LAST]} … {message[-_LAST:]}"


def visible(text: str) -> str:
    """Return a text with its control characters written out, which would move or colour a terminal."""
    return text.translate(_CONTROL)
