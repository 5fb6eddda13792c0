"""What a part of the check answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools.check.outcome import PASS


@dataclass(frozen=True)
class Answer:
    """``words`` are one line, ``page`` is Markdown with the figures; ``verdict`` is an outcome's."""

    words: str
    page: str = ""
    verdict: str = PASS


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, with these cells as they are."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
