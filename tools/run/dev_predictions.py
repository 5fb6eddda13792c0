"""predictions/dev.jsonl: what the model says of each example of the dev set, with text and label."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np

from model.files import make_folder, write_whole, writing
from processors.reading import read_columns
from processors.scored import scored_records
from tools.results.run_folder import PREDICTIONS
from tools.run.start import Start

logger = logging.getLogger(__name__)


class DevPredictions:
    """Writes them, for each file of the dev set its own.

    Args:
        output_dir: of the run.
        data_dir: where its data are.
        start: what it began with.
    """

    def __init__(self, output_dir: Path, data_dir: Path, start: Start) -> None:
        self._folder, self._start = output_dir / PREDICTIONS, start
        self._is_share = start.dev_rows is not None
        self._split = "train" if self._is_share else "dev"
        self._files = start.task.paths(data_dir, self._split)

    def write(self, number: int, logits: np.ndarray) -> None:
        """Write the file of the dev set's file ``number``, by its [N, num_labels] logits.

        The texts are read once more, since a run keeps only their tokens. Where they cannot be, or the
        file has other rows by now, a warning says so, and nothing is written.

        Raises:
            DiskError: the disk is full.
        """
        task, features = self._start.task, self._start.features["dev"][number]
        file = self._files[number]
        target = self._folder / f"dev{task.suffixes[number]}.jsonl"
        try:
            numbers, texts = read_columns(task, file, self._split, task.texts)
        except (OSError, ValueError, ModuleNotFoundError) as error:
            logger.warning("%s is not written, which would have the texts: %s", target, error)
            return
        rows = self._start.dev_rows if self._is_share else range(len(texts[0]))
        if len(rows) != len(features) or len(texts[0]) <= max(rows):
            logger.warning("%s is not written: %s has other rows by now", target, file)
            return
        numbers = [numbers[row] for row in rows]
        texts = [[column[row] for row in rows] for column in texts]
        lines = [
            json.dumps(record, ensure_ascii=False)
            for record in scored_records(task, numbers, texts, features, logits)
        ]
        with writing(self._folder):
            make_folder(self._folder)
        write_whole(target, "\n".join([*lines, ""]))
        logger.info("predictions of dev%s: %s", task.suffixes[number], target)
