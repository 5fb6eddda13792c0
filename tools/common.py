"""Logging and seeds."""

from __future__ import annotations

import logging
import random
import sys
from pathlib import Path

import numpy as np
import torch

from tools.errors import FILE_ONLY

# What a log file adds to the lines of standard output: when, and what only concerns one process.
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
        file.setFormatter(logging.Formatter(_FILE_FORMAT))
        handlers.append(file)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        return message if record.levelno < logging.WARNING else f"warning: {message}"


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy, and torch on every device."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed torch for one optimizer step (dropout).

    The random numbers of a step follow from its number, so a resumed run draws what the run without a
    stop would have drawn, and no generator state needs to be saved.
    """
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0]))
