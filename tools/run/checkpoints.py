"""A training's checkpoints: which are written, and which of them stay."""

from __future__ import annotations

from pathlib import Path

from callback.checkpointing import checkpoint_folder, drop_checkpoints, save_checkpoint
from callback.history import History
from model.tokenizer import Tokenizer
from tools.run.due import Due
from tools.run.training_state import TrainingState


class Checkpoints:
    """Writes the checkpoints of a training; for the main process.

    Args:
        output_dir: where they go.
        history: the records of the run, which say how good each was.
        due: knows by which metric.
        limit: how many of the newest stay beside the best; 0: all.
        step: of the checkpoint that the training goes on from; 0 for one that starts.
    """

    def __init__(
        self,
        output_dir: Path,
        tokenizer: Tokenizer,
        history: History,
        due: Due,
        limit: int,
        step: int = 0,
    ) -> None:
        self._output_dir, self._tokenizer = output_dir, tokenizer
        self._history, self._due, self._limit = history, due, limit
        self._last = step

    def folder(self, state: TrainingState) -> Path:
        """Return where the checkpoint of a state is, or would be."""
        return checkpoint_folder(self._output_dir, state.global_step)

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint, and then delete those that do not stay."""
        self._history.sync()  # The checkpoint stands for all steps before it.
        model, global_step = state.fp32_model(), state.global_step
        save_checkpoint(self._output_dir, global_step, model, self._tokenizer, state)
        self._last = global_step
        scores = self._due.scores(self._history)
        drop_checkpoints(self._output_dir, global_step, self._limit, scores)

    def save_last(self, state: TrainingState) -> None:
        """Write the checkpoint of a training that ends early, if there is none of its last step yet.

        A folder of that name does not count: it may be one that is damaged and was left out.
        """
        if state.global_step != self._last:
            self.save(state)
