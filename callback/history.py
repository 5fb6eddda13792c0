"""metrics.jsonl: what a run measured, one JSON object a line, for programs to read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class History:
    """Append records to ``path``; a record is on disk when :meth:`write` returns.

    Args:
        path: the file, or None for a process that keeps no record.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, event: str, **values: Any) -> None:
        """Append one record; ``time`` is in seconds since the epoch."""
        if self.path is None:
            return
        record = {"event": event, "time": round(time.time(), 3), **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
