"""What flags say of the data: which of the examples, in which encoding, which columns."""

from __future__ import annotations

import argparse
import csv
import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.configuration_albert import AlbertConfig
from model.configuration_keys import SHORTEST_INPUT, TRUNCATIONS
from processors.text_files import canonical_encoding
from tools.cli.errors import UsageError
from tools.cli.groups import flag
from tools.cli.parser import Number

# Where neither a flag nor the model says how long inputs are; it is the references' default.
LONGEST_INPUT = 128
ENCODING_HELP = "of the data files, by Python's name: gb18030, big5, cp1252, utf-16 …"


def text_encoding(text: str) -> str:
    """Return Python's own name of an encoding: an argparse type."""
    try:
        return canonical_encoding(text)
    except LookupError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no encoding that Python knows; gb18030, big5, cp1252 and utf-16 are some"
        ) from None


def column_names(text: str) -> tuple[str, ...]:
    """Return one column's name, or two with a comma between: an argparse type."""
    names = tuple(name.strip() for name in text.split(","))
    if len(names) > 2 or len(set(names)) < len(names) or not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not one column, or two with a comma between")
    return names


def class_names(text: str) -> tuple[str, ...]:
    """Return names of classes with commas between, in quotes where they have one: an argparse type."""
    names = tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), ()))
    if len(set(names)) < len(names) or len(names) < 2 or not all(names):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not two classes or more, with commas between"
        )
    return names


def as_flag_value(names: Sequence[str]) -> str:
    """Return names as one word of a shell, as :func:`class_names` reads them: the other way round."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return shlex.quote(line.getvalue())


def length_flag(what: str) -> Any:
    """Return the field of ``--max_seq_length``, whose help begins with ``what`` it is."""
    return flag(
        None,
        f"{what} (default: as in the model's own training, or {LONGEST_INPUT})",
        type=Number(int, SHORTEST_INPUT),
        metavar="N",
    )


def truncation_flag() -> Any:
    """Return the field of ``--truncation``."""
    return flag(
        None,
        "what stays of longer texts: the first tokens, the last, or a quarter of them from the head and "
        "the rest from the tail (default: as in the model's training, or head)",
        choices=TRUNCATIONS,
    )


def inputs_of(
    config: AlbertConfig, max_seq_length: int | None, truncation: str | None
) -> tuple[int, str]:
    """Return how many tokens an input has at most, and what stays of a longer one.

    Args:
        max_seq_length: what the flag says; without it the model's own training does.
        truncation: the same.
    """
    longest = config.max_seq_length or min(LONGEST_INPUT, config.max_position_embeddings)
    return max_seq_length or longest, truncation or config.truncation or TRUNCATIONS[0]


def other_inputs(config: AlbertConfig, max_seq_length: int, truncation: str) -> list[str]:
    """Return a remark on each in which inputs differ from those that the model was trained with."""
    remarks = []
    if config.max_seq_length not in (None, max_seq_length):
        remarks.append(
            f"--max_seq_length {max_seq_length}: the model was trained with {config.max_seq_length}, and "
            "may be right less often"
        )
    if config.truncation not in (None, truncation):
        remarks.append(
            f"--truncation {truncation}: the model was trained with {config.truncation}, and may be right "
            "less often"
        )
    return remarks


@dataclass(frozen=True)
class ShareFlags:
    """Which of the examples are trained with, and which are scored."""

    dev_share: float | None = flag(
        None,
        "of --train_file, set aside as the dev set, the same share of each class, in place of --dev_file",
        type=Number(float, 0, 0.9, above=True),
        metavar="X",
    )
    max_train_examples: int | None = flag(
        None, "train on so many, drawn at random", type=Number(int, 1), metavar="N"
    )
    split_seed: int | None = flag(
        None,
        "draws both, whatever --seed is (default: 42)",
        type=Number(int, 0, 2**63 - 1),
        metavar="N",
    )

    @property
    def seed(self) -> int:
        """What both are drawn by."""
        return 42 if self.split_seed is None else self.split_seed

    def check(self, trains: bool) -> None:
        """See that the flags go together, and with whether the run ``trains``.

        Raises:
            UsageError: they do not.
        """
        if self.max_train_examples and not trains:
            raise UsageError("--max_train_examples needs --do_train, whose examples it counts")
        if self.split_seed is not None and not (self.dev_share or self.max_train_examples):
            raise UsageError(
                "--split_seed needs --dev_share or --max_train_examples, which draw by it"
            )
