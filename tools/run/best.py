"""Which model of a training is kept: the last one, or the one that scored best on the dev set."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from callback.best_model import Scored, drop_best, find_best, save_best, take_best
from callback.checkpointing import save_final
from callback.history import History
from model.file_names import WEIGHTS_NAMES
from model.modeling_albert import AlbertForSequenceClassification
from model.tokenizer import Tokenizer
from tools.machine.distributed import Processes
from tools.run.due import Due
from tools.run.flags import RecordFlags
from tools.run.run_record import RunRecord

logger = logging.getLogger(__name__)


class Best:
    """Follows the evaluations of a training, and keeps the model of the best one.

    All processes have one, and the main one writes. The evaluations that count for --patience are those
    of this training, without what a killed run did after the step that is gone on from; the model that
    is kept may be of one of those: it is a model of the same training, and the run comes to it again.

    Args:
        flags: keep the best model or the last one, with which patience, in whose layout.
        due: knows the task's first metric, and how good a value of it is.
        record: is told which model is kept.
    """

    def __init__(
        self,
        flags: RecordFlags,
        due: Due,
        tokenizer: Tokenizer,
        record: RunRecord,
        processes: Processes,
    ) -> None:
        self._flags, self._due, self._tokenizer = flags, due, tokenizer
        self._record, self._processes = record, processes
        self._best: Scored | None = None
        self._last: Scored | None = None
        self._since = 0
        # Of the files, the main process knows: what was kept, and whether it is in a folder of its own.
        self._kept: Scored | None = None
        self._is_apart = False

    def restore(
        self, history: History, global_step: int, model: AlbertForSequenceClassification
    ) -> None:
        """Go on after a step, with the model as it is then; ``history`` is the main process's."""
        said = [f"{step} {score!r}" for step, score in sorted(self._due.scores(history).items())]
        main, *_ = self._processes.exchange("evaluations", {"scores": ";".join(said)})
        for words in filter(None, main["scores"].split(";")):
            step, _, score = words.partition(" ")
            self._count(Scored(int(step), float(score)))
        if not (self._keeps_best and self._processes.is_main):
            return
        self._kept = find_best(self._flags.output_dir)
        self._is_apart = self._kept is not None
        final = _final_of(self._record, self._flags.output_dir)
        if final is not None and final.is_better_than(self._kept):
            self._kept, self._is_apart = final, False
        # A kill may have come between an evaluation and the model.
        if self._best and self._best.step == global_step and self._best.is_better_than(self._kept):
            self._keep(self._best, model)

    @property
    def _keeps_best(self) -> bool:
        return self._flags.keep == "best"

    @property
    def patience(self) -> int:
        """How many evaluations in a row may be no better than the best; 0: any number."""
        return self._flags.patience

    @property
    def is_exhausted(self) -> bool:
        """Whether --patience is at its end."""
        return self._since >= self.patience > 0

    def lacks_last(self, global_step: int) -> bool:
        """Return whether the model after the last step has to be scored before it is known to be best."""
        has_rival = self._best is not None
        return self._keeps_best and has_rival and self._last.step != global_step

    def consider(
        self, metrics: Mapping[str, float], step: int, model: AlbertForSequenceClassification
    ) -> None:
        """Take note of an evaluation, unless it was cut short ({}); keep the model if it is better.

        Raises:
            DiskError: the disk is full.
        """
        if not metrics:
            return
        scored = Scored(step, self._due.score(metrics))
        self._count(scored)
        if self._keeps_best and self._processes.is_main and scored.is_better_than(self._kept):
            self._keep(scored, model)

    def _count(self, scored: Scored) -> None:
        self._last = scored
        self._since += 1
        if scored.is_better_than(self._best):
            self._best, self._since = scored, 0

    def _keep(self, scored: Scored, model: AlbertForSequenceClassification) -> None:
        folder, layout = self._flags.output_dir, self._flags.save_format
        save_best(folder, model, self._tokenizer, layout, scored)
        self._kept, self._is_apart = scored, True
        self._note(None, scored.step, scored.score)

    def _note(self, kept: str | None, step: int | None, score: float | None) -> None:
        for name, value in (("kept", kept), ("best_step", step), ("best_score", score)):
            self._record.add(name, value)

    def save(self, model: AlbertForSequenceClassification) -> None:
        """Write the model that is kept to the output folder; for the main process.

        Args:
            model: the one after the last step.

        Raises:
            DiskError: the disk is full.
        """
        folder, kept = self._flags.output_dir, self._kept
        if kept is None:
            save_final(folder, model, self._tokenizer, self._flags.save_format)
        elif self._is_apart:
            take_best(folder, kept)
        found = kept or self._best
        self._note(self._flags.keep, found and found.step, found and found.score)
        self._record.save()
        drop_best(folder)
        if kept:
            value = self._due.shown(kept.score)
            logger.info("--keep best: the model is that of step %d, with %s", kept.step, value)


def _final_of(record: RunRecord, folder: Path) -> Scored | None:
    """Return what the model in ``folder`` is, where a run kept the best one there."""
    values = record.values
    step, score = values.get("best_step"), values.get("best_score")
    is_told = values.get("kept") == "best" and isinstance(step, int) and isinstance(score, float)
    is_there = any((folder / name).is_file() for name in WEIGHTS_NAMES)
    return Scored(step, score) if is_told and is_there else None
