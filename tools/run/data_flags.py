"""What several commands' flags say of the data that they read: argparse types."""

from __future__ import annotations

import argparse

from processors.text_files import canonical_encoding

ENCODING_HELP = "of the data files, by Python's name: gb18030, big5, cp1252, utf-16 …"


def text_encoding(text: str) -> str:
    """Return Python's own name of an encoding: an argparse type."""
    try:
        return canonical_encoding(text)
    except LookupError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no encoding that Python knows; gb18030, big5, cp1252 and utf-16 are some"
        ) from None


def column_names(text: str) -> tuple[str, ...]:
    """Return one column's name, or two with a comma between: an argparse type."""
    names = tuple(name.strip() for name in text.split(","))
    if len(names) > 2 or len(set(names)) < len(names) or not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not one column, or two with a comma between")
    return names
