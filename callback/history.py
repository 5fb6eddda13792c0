"""metrics.jsonl: what a run measured, one JSON object a line, for programs to read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from model.files import write_whole


class History:
    """Append records to ``path``; a record is on disk when :meth:`write` returns.

    Args:
        path: the file, or None for a process that keeps no record.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    def drop_after(self, step: int) -> None:
        """Drop the records of steps after ``step``: a resumed run takes them again."""
        if self.path is None or not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if (json.loads(line).get("step") or 0) <= step]
        write_whole(self.path, "".join(kept))

    def write(self, event: str, **values: Any) -> None:
        """Append one record; ``time`` is in seconds since the epoch."""
        if self.path is None:
            return
        record = {"event": event, "time": round(time.time(), 3), **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
