"""The training file's examples, divided as the flags say."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from processors.features import Features
from processors.glue import Task
from processors.splitting import draw, select, set_aside
from tools.cli.errors import UsageError
from tools.run.data_flags import ShareFlags

logger = logging.getLogger(__name__)


def warn_of_trained_examples(
    shares: ShareFlags,
    train_file: str,
    trained: Mapping[str, Any],
    other_inputs: bool,
    has_changed: bool = False,
) -> None:
    """Warn where a share of a file is scored that is not the one that the training set aside.

    Args:
        train_file: of which the share is.
        trained: the flags of the training; none where they are not known.
        other_inputs: whether examples are other tokens than in the training. Which are alike, and so on
            one side, may differ then.
        has_changed: whether the file has, since the training.
    """
    if not shares.dev_share or Path(str(trained.get("train_file"))).name != Path(train_file).name:
        return
    share, seed = trained.get("dev_share"), trained.get("split_seed")
    then = ShareFlags(share, None, seed)
    if not share:
        reason = "the model was trained without --dev_share"
    elif (share, then.seed) != (shares.dev_share, shares.seed):
        reason = f"the model was trained with --dev_share {share:g} --split_seed {then.seed}"
    elif has_changed:
        reason = f"the model was trained before {train_file} was changed"
    elif other_inputs:
        reason = "the model was trained with another --max_seq_length or --truncation"
    else:
        return
    logger.warning(
        "--dev_share %g --split_seed %d: %s, and may have seen what is scored now: %s",
        shares.dev_share,
        shares.seed,
        reason,
        "give the same" if share and not has_changed else "give --dev_file examples new to it",
    )


def divide(
    features: Mapping[str, list[Features]], splits: Sequence[str], shares: ShareFlags, task: Task
) -> tuple[dict[str, list[Features]], np.ndarray | None]:
    """Return the examples of each of the ``splits``, file by file, and which of a file the dev set's are.

    The latter are row numbers of the training file where the dev set is a share of it, else None.

    Args:
        features: of the files that are read; with a share for the dev set, the training file's is among
            them, and that set's is none.

    Raises:
        UsageError: the share is no example, or those to train with have one class alone.
    """
    found, dev_rows = dict(features), None
    if shares.dev_share:
        (whole,) = found.pop("train")
        is_dev = set_aside(whole, shares.dev_share, shares.seed)
        if not is_dev.any():
            raise UsageError(
                f"--dev_share {shares.dev_share:g} of {len(whole)} examples is none, with one or more of "
                "each class to train with: give a larger one, or --dev_file"
            )
        found |= {"train": [select(whole, ~is_dev)], "dev": [select(whole, is_dev)]}
        dev_rows = np.flatnonzero(is_dev)
        logger.info(
            "--dev_share %g: %d of %d examples are set aside (--split_seed %d)",
            shares.dev_share,
            is_dev.sum(),
            len(whole),
            shares.seed,
        )
    if shares.max_train_examples:
        (whole,) = found["train"]
        rows = draw(len(whole), shares.max_train_examples, shares.seed)
        found["train"] = [select(whole, rows)]
        logger.info(
            "--max_train_examples: %d of %d are trained with (--split_seed %d)",
            len(rows),
            len(whole),
            shares.seed,
        )
        labels = found["train"][0].labels
        if not task.is_regression and labels.ndim == 1 and len(np.unique(labels)) == 1:
            raise UsageError(
                f"--max_train_examples {shares.max_train_examples} with --split_seed {shares.seed} draws "
                f"one class alone, {task.labels[labels[0]]!r}: take more, or another seed"
            )
    return {split: found[split] for split in splits}, dev_rows
