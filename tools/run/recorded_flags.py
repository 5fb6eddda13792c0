"""The flags that a run wrote down, as its --config gives them to another run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.cli.errors import UsageError

# By these keys the flags of a training are told from a file that somebody wrote.
_DERIVED = ("splits", "eval_batch_given", "model_given", "output_dir_given")
# A run has these for itself: its own folder, and what it is started by.
_OF_ONE_RUN = {"output_dir", "log_dir", "overwrite_output_dir", "resume", "local_rank", "dry_run"}
_FLAGS = "flags"


def flags_of_config(
    file: Path, values: Mapping[str, Any], words: Sequence[str]
) -> Mapping[str, Any]:
    """Return what a file says of flags: its values, or in run.json and training_args.json the run's.

    Args:
        words: of the command line beside the file.

    Raises:
        UsageError: it is of a run, and no word names a folder for the new one.
    """
    recorded = values.get(_FLAGS, values)
    if not (isinstance(recorded, dict) and all(key in recorded for key in _DERIVED)):
        return values
    if not any(word.partition("=")[0] == "--output_dir" for word in words):
        raise UsageError(
            f"--config {file} repeats the run that wrote it: name a folder for the new one with "
            "--output_dir"
        )
    left_out = {*_DERIVED, *_OF_ONE_RUN}
    if not recorded["eval_batch_given"]:
        left_out.add("eval_batch_size")
    if not recorded["model_given"]:
        left_out.add("model_name_or_path")
    every = recorded.get("save_steps")
    saves = (isinstance(every, int) and every > 0) or recorded.get("save_epochs")
    if not (saves and recorded.get("do_train")):
        left_out.add("save_total_limit")
    return {
        name: value
        for name, value in recorded.items()
        # What is False there is so without a word.
        if name not in left_out and value is not False
    }
