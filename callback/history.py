"""metrics.jsonl: what a run measured, one JSON object a line, for programs to read."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.files import make_folder, sync, write_whole, writing

logger = logging.getLogger(__name__)

Record = dict[str, Any]
METRICS_FILE = "metrics.jsonl"
# A log line may come many times a second, and each time a disk may take as long as some steps do.
_SYNC_SECONDS = 30.0
# These are the records of a training's end: one that goes on has another.
_OF_THE_END = ("training", "compilation")
# These tell a record of a model from others, and are none of its figures.
_OF_A_RECORD = ("event", "time", "model", "file", "step")


class History:
    """Append records to ``path``.

    They are on the disk when the run ends or :meth:`sync` returns, those of evaluations and of the
    training's end when :meth:`write` returns, and others half a minute later at most, if more come.

    Args:
        path: the file, or None for a process that keeps no record.

    Attributes:
        evaluations: the metrics that were recorded while the run trained, by their step.
        results: what was recorded of each model that the training left, by its name, and of each test
            file (``test <name>``).
        sinks: get the records, too, once they are written; they raise nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.evaluations: dict[int, dict[str, Any]] = {}
        self.results: dict[str, dict[str, Any]] = {}
        self.sinks: list[Callable[[Sequence[Record]], None]] = []
        self._known: set[tuple[str, int | None]] = set()
        self._looked_at_end = False
        self._synced = time.monotonic()
        if path is not None:
            with writing(path.parent):
                make_folder(path.parent)

    def go_on_after(self, step: int) -> None:
        """Drop the records that a run which goes on after ``step`` takes again.

        They are those of later steps, and the evaluations of the trained model. What a full disk or a
        power cut damaged is dropped, too, with a warning.
        """

        def keep(record: Record) -> bool:
            if _is_of_a_model(record) or (record.get("step") or 0) > step:
                return False
            self._remember(record)
            return True

        self._filter(keep)

    def has_end(self) -> bool:
        """Return whether the file has the record of a training's end."""
        if self.path is None or not self.path.is_file():
            return False
        with self.path.open("rb") as file:
            # Most lines are of steps, and need no closer look.
            records = (_parse(line) for line in file if b"training" in line)
            return any(record and record["event"] == _OF_THE_END[0] for record in records)

    def end_step(self) -> int | None:
        """Return the step that a training ended after; None where the file has no record of its end."""
        if not self.has_end():
            return None
        return max((record.get("step") or 0 for record in read_records(self.path)), default=0)

    def drop_end(self) -> None:
        """Drop the records of the end of a training which now goes on."""
        if any(self.has(event) for event in _OF_THE_END):
            self._filter(lambda record: record["event"] not in _OF_THE_END)
            self._known -= {(event, None) for event in _OF_THE_END}

    def repair(self) -> None:
        """Drop what a full disk or a power cut damaged, with a warning, if it shows at the file's end."""
        if self.path is not None and is_torn(self.path):
            self._filter(lambda record: True)

    def has(self, event: str, step: int | None = None) -> bool:
        """Return whether there is a record of ``event``, other than of a step, at ``step``."""
        return (event, step) in self._known

    def write(self, event: str, **values: Any) -> None:
        """Append one record; ``time`` is in seconds since the epoch.

        Raises:
            DiskError: the disk is full.
        """
        self.write_all(event, [values])
        if event in ("eval", "test", *_OF_THE_END):
            self.sync()

    def write_all(self, event: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append a record of each of ``rows``, as :meth:`write` does."""
        if self.path is None:
            return
        now = round(time.time(), 3)
        records = [{"event": event, "time": now, **values} for values in rows]
        with writing(self.path.parent):
            if not self._looked_at_end:
                _end_last_line(self.path)
                self._looked_at_end = True
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_lines(records))
        for record in records:
            self._remember(record)
        for sink in self.sinks:
            sink(records)
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Return once all records are on the disk."""
        if self.path is not None and self.path.exists():
            with writing(self.path.parent):
                sync(self.path)
                sync(self.path.parent)
        self._synced = time.monotonic()

    def _filter(self, keep: Callable[[Record], bool]) -> None:
        """Drop the lines that are no records, with a warning, and the records not to ``keep``."""
        if self.path is None or not self.path.exists():
            return
        lines = self.path.read_bytes().split(b"\n")
        kept, damaged = [], 0
        for line in filter(None, lines):
            if (record := _parse(line)) is None:
                damaged += 1
            elif keep(record):
                kept.append(line + b"\n")
        if damaged:
            what = "1 line is" if damaged == 1 else f"{damaged} lines are"
            logger.warning("%s: %s dropped: no valid record, as after a power cut", self.path, what)
        if len(kept) < len(lines) - 1 or lines[-1]:
            write_whole(self.path, b"".join(kept))

    def _remember(self, record: Record) -> None:
        event, step = record["event"], record.get("step")
        if event == "eval" and not _is_of_a_model(record):
            self.evaluations[step] = record
        elif event in ("eval", "test"):
            name = record.get("model", "model") if event == "eval" else f"test {record['file']}"
            self.results[name] = {key: v for key, v in record.items() if key not in _OF_A_RECORD}
        if event not in ("step", "scale"):  # There are too many of those.
            self._known.add((event, step))


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file in their order, but for damaged lines; none where there is no file."""
    if path.is_file():
        yield from filter(None, map(_parse, path.read_bytes().split(b"\n")))


def _parse(line: bytes) -> Record | None:
    """Return the record in a line; None where it holds none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError, too.
        return None
    if not isinstance(record, dict) or not isinstance(record.get("event"), str):
        return None
    return record if isinstance(record.get("step"), int | None) else None


def _is_of_a_model(record: Record) -> bool:
    """Return whether it is an evaluation of what a training left, not one during the training."""
    if record["event"] == "test":
        return True
    return record["event"] == "eval" and ("model" in record or record.get("step") is None)


def is_torn(path: Path) -> bool:
    """Return whether the last line of a file is not whole; False where there is no such file."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read() != b"\n"


def _end_last_line(path: Path) -> None:
    """See that what is appended begins a line of its own."""
    if is_torn(path):
        with path.open("ab") as file:
            file.write(b"\n")


def _lines(records: Iterable[Record]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)
