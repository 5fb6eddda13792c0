"""What the command lines of all programs here have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from tools.errors import USAGE_STATUS


class Parser(argparse.ArgumentParser):
    """Its errors are one line; its help keeps the line breaks of the description."""

    def __init__(self, prog: str, **options: object) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(prog=prog, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with exit status 2."""
        print(f"{self.prog}: error: {message}; see --help", file=sys.stderr)
        sys.exit(USAGE_STATUS)


def number(
    kind: type, low: float, high: float = float("inf"), above: bool = False
) -> Callable[[str], float]:
    """Return an argparse type: a ``kind`` (int or float) from ``low``, or above it, to ``high``."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            word = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"{text!r} is no {word}") from None
        inside = (low < value if above else low <= value) and value <= high
        if not inside or value == float("inf"):
            bound = f"above {low}" if above else f"{low} or more"
            bound += "" if high == float("inf") else f" and at most {high}"
            raise argparse.ArgumentTypeError(f"{text} is not {bound}")
        return value

    return parse
