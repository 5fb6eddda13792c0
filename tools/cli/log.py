"""Where log lines go: to standard output as other tools grep them, and to a file of each process."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from tools.cli.naming import as_typed
from tools.cli.visible import visible

# This attribute marks log records that are printed elsewhere, or are for the log file alone.
FILE_ONLY = "file_only"
# A log file adds to the lines of standard output when they came, and what only concerns one process.
_FILE_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def setup_logging(is_main: bool, log_file: Path | None = None) -> None:
    """Send log lines to standard output as they are, and warnings marked as such.

    Other tools grep those lines (the log contract), so nothing stands before them. Processes other than
    the main one only warn there. ``log_file`` gets every process's own lines, at the end of what is there.
    """
    # A terminal that cannot show a character, or a reader that went away, must not end a training.
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    logging.raiseExceptions = False
    output = logging.StreamHandler(sys.stdout)
    output.setFormatter(_Formatter())
    output.setLevel(logging.INFO if is_main else logging.WARNING)
    output.addFilter(lambda record: not hasattr(record, FILE_ONLY))
    handlers: list[logging.Handler] = [output]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(log_file, encoding="utf-8")
        file.setFormatter(_TypedFormatter(_FILE_FORMAT))
        handlers.append(file)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)


class _TypedFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(as_typed(super().format(record)))


class _Formatter(_TypedFormatter):
    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        return message if record.levelno < logging.WARNING else f"warning: {message}"
