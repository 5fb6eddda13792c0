"""The flags of a task of one's own, and the task that the flags name."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from processors.custom import CUSTOM, NOT_SAID, custom_task
from processors.glue import SPLITS, TASKS, Task
from processors.multi_label import LABEL_SEPARATOR
from tools.cli.errors import UsageError
from tools.cli.groups import flag
from tools.run.data_flags import column_names
from tools.run.run_glue_names import OTHER_TASK_NAMES

DEFAULT_TEXT, DEFAULT_LABEL = "sentence", "label"
_FILE_HELP = "data: .csv, .jsonl or .parquet (.gz may follow), or else tab-separated"


def _task_name(text: str) -> str:
    name = OTHER_TASK_NAMES.get(text.lower(), text.lower())
    if name not in (*TASKS, CUSTOM):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join((*TASKS, CUSTOM))}")
    return name


def task_name_flag() -> Any:
    """Return the field of ``--task_name``."""
    return flag(
        "sst-2", f"{', '.join(TASKS)}; or {CUSTOM}: see below", type=_task_name, metavar="TASK"
    )


def label_separator(text: str) -> str:
    """Return what stands between labels: an argparse type."""
    if not text or set(text) & set("\t\r\n"):
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot stand between labels: predictions have them in one cell of a tab-separated "
            "line"
        )
    return text


@dataclass(frozen=True)
class CustomFlags:
    """A task of one's own; what it comes to is a :class:`processors.glue.Task`."""

    train_file: str | None = flag(None, f"train {_FILE_HELP}", metavar="FILE")
    dev_file: str | None = flag(None, f"dev {_FILE_HELP}", metavar="FILE")
    test_file: str | None = flag(None, f"test {_FILE_HELP}", metavar="FILE")
    text_columns: tuple[str, ...] | None = flag(
        None,
        f"column of the text, or of both texts of a pair (default: {DEFAULT_TEXT})",
        type=column_names,
        metavar="A[,B]",
    )
    label_column: str | None = flag(
        None,
        f"column of the class, of the labels or of the number (default: {DEFAULT_LABEL})",
        metavar="NAME",
    )
    regression: bool = flag(False, "predict a number, not a class")
    multi_label: bool = flag(False, "a text has any number of labels, in one cell")
    label_separator: str | None = flag(
        None,
        f"with --multi_label: what is between them (default: as in the model's training, or "
        f"{LABEL_SEPARATOR})",
        type=label_separator,
        metavar="TEXT",
    )

    def task(self, task_name: str, splits: Sequence[str], dev_share: float | None) -> Task:
        """Return the task called ``task_name``, which these flags describe if it is one's own.

        Args:
            splits: those that the run needs.
            dev_share: the share of the training file that is the dev set, if any.

        Raises:
            UsageError: the flags do not go with the task, or not with each other, or one is missing.
        """
        if task_name != CUSTOM:
            for name, value in {**asdict(self), "dev_share": dev_share}.items():
                if value:
                    raise UsageError(f"--{name} goes with --task_name {CUSTOM}")
            return TASKS[task_name]
        files = {split: getattr(self, f"{split}_file") for split in SPLITS}
        if dev_share and files["dev"]:
            raise UsageError(
                "--dev_share takes the dev set from --train_file, and --dev_file names another: leave one "
                "out"
            )
        needs = [("train", "--do_train"), ("test", "--do_predict")]
        needs.append(("train", "--dev_share") if dev_share else ("dev", "--do_eval"))
        for split, asked in needs:
            if (split in splits or asked == "--dev_share") and not files[split]:
                remedy = ", or --dev_share 0.1 in its place" if split == "dev" else ""
                raise UsageError(f"--task_name {CUSTOM} with {asked} needs --{split}_file{remedy}")
        texts = self.text_columns or (DEFAULT_TEXT,)
        label = self.label_column or DEFAULT_LABEL
        if label in texts:
            raise UsageError(f"--label_column {label} is among --text_columns {','.join(texts)}")
        if self.multi_label and self.regression:
            raise UsageError("--multi_label and --regression contradict each other")
        if self.label_separator and not self.multi_label:
            raise UsageError("--label_separator needs --multi_label, whose labels it is between")
        separator = (self.label_separator or NOT_SAID) if self.multi_label else None
        return custom_task(files, texts, label, self.regression, separator)
