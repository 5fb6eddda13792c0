"""How long it takes from a task's file to its features."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from model.tokenization_albert import AlbertTokenizer, find_vocabulary
from processors.features import load_features
from processors.glue import TASKS
from tools.bench.spec import Setting


class Startup:
    """Reads the training data as a run does: anew, and from the cache."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._task = TASKS[setting.task_name]
        self._tokenizer = AlbertTokenizer(find_vocabulary(setting.model))

    def prepare(self) -> dict[str, Any]:
        """Have the file in the system's cache, for both."""
        self._load(overwrite=False)
        return {}

    def turn(self) -> dict[str, Any]:
        """Read it both ways."""
        return {"cold": self._load(overwrite=True), "cached": self._load(overwrite=False)}

    def _load(self, overwrite: bool) -> float:
        (path,) = self._task.paths(Path(self._setting.data), "train")
        began = time.perf_counter()
        length = self._setting.max_seq_length
        load_features(self._task, path, "train", self._tokenizer, length, overwrite)
        return time.perf_counter() - began
