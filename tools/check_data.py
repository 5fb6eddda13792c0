"""Check a task's files before an hour is spent on them:

python -m tools.check_data --task_name sst-2 --data_dir dataset/SST-2
python -m tools.check_data --task_name custom --train_file t.csv --dev_file d.csv --text_columns text
python -m tools.check_data --task_name custom --train_file t.csv --text_columns text --suspects

Of each file that is there it prints how many rows it has and of which classes, texts that repeat an
earlier one's or stand in train, too (whatever the case and the spaces), and those of them with another
label; empty texts, labels that a training would not know, and how long the texts are: in tokens where
there is a vocabulary, else in characters.

With --suspects it names the rows of train whose labels are probably wrong: a plain model that learned
from the other rows finds another label likelier. The least probable come first; --output writes all of
them. They are hints where to look, not mistakes for sure.

The exit status is 0 whatever is found; 1 where a file cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
from callback.heartbeat import still
from model.configuration_albert import AlbertConfig
from model.file_names import CONFIG_NAME
from model.tokenizer import Tokenizer
from model.vocabulary import load_tokenizer
from processors.custom import CUSTOM
from processors.glue import SPLITS, Task
from processors.predictions import write_table
from processors.splits import Split, read_splits
from processors.suspects import FOLDS, suspect_columns, suspects_of
from tools.cli.errors import UsageError
from tools.cli.groups import add_flags, fill, flag
from tools.cli.parser import Parser
from tools.cli.paths import DEFAULT_MODEL
from tools.cli.program import run_command
from tools.cli.streams import say
from tools.machine.hub import VOCABULARY_FILES, local_model
from tools.run.custom_flags import CustomFlags, task_name_flag
from tools.run.data_flags import (
    ENCODING_HELP,
    LONGEST_INPUT,
    inputs_of,
    length_flag,
    text_encoding,
)
from tools.run.data_report import report_lines, shown, split_facts
from tools.run.inputs import missing_data, remedies_for, vocabulary_file
from tools.run.new_table import check_new_table

_SUSPECTS_SHOWN = 20


@dataclass(frozen=True)
class CheckDataFlags:
    """Whose data, and what to do with what is found."""

    task_name: str = task_name_flag()
    data_dir: Path | None = flag(
        None, "folder of the task's files (default: ./dataset/<TASK>)", type=Path, metavar="DIR"
    )
    encoding: str = flag("utf-8", ENCODING_HELP, type=text_encoding, metavar="NAME")
    model_name_or_path: Path | None = flag(
        None,
        f"the model whose vocabulary counts tokens (default: {DEFAULT_MODEL}, if it is there)",
        type=Path,
        metavar="DIR",
    )
    tokenizer_name: str | None = flag(None, "folder of another vocabulary", metavar="DIR")
    spm_model_file: str | None = flag(None, "a SentencePiece vocabulary itself", metavar="FILE")
    vocab_file: str | None = flag(None, "the same, or a WordPiece vocabulary", metavar="FILE")
    do_lower_case: bool | None = flag(
        None,
        "lower-case the text; is on, unless the vocabulary's folder says otherwise",
        action="store_true",
    )
    no_do_lower_case: bool = flag(False, "keep capitals")
    max_seq_length: int | None = length_flag("longest input, in tokens")
    suspects: bool = flag(False, "rank the rows of train whose labels are probably wrong")
    output: Path | None = flag(
        None, "write the suspects there: .csv or .jsonl", type=Path, metavar="FILE"
    )
    json: bool = flag(False, "print all that is found as JSON")

    def __post_init__(self) -> None:
        if self.do_lower_case and self.no_do_lower_case:
            raise UsageError("--do_lower_case and --no_do_lower_case contradict each other")
        if self.output and not self.suspects:
            raise UsageError("--output is where the suspects go: give --suspects as well")
        if self.output:
            check_new_table(self.output)


@dataclass(frozen=True)
class Asked:
    """The flags, and the task that they name."""

    flags: CheckDataFlags
    task: Task
    data_dir: Path


def build_parser() -> Parser:
    """Return the parser of the command."""
    parser = Parser("check_data", _asked, description=__doc__)
    add_flags(parser, CheckDataFlags)
    own = parser.add_argument_group(f"a task of one's own (--task_name {CUSTOM})")
    add_flags(own, CustomFlags)
    return parser


def _asked(namespace: argparse.Namespace) -> Asked:
    flags, custom = fill(CheckDataFlags, namespace), fill(CustomFlags, namespace)
    task = custom.task(flags.task_name, (), None)
    if task.name == CUSTOM and not any(task.files.values()):
        raise UsageError(f"--task_name {CUSTOM} needs --train_file, --dev_file or --test_file")
    data_dir = flags.data_dir or Path("." if task.name == CUSTOM else f"dataset/{task.folder}")
    return Asked(flags, replace(task, encoding=flags.encoding), data_dir)


def check_data(asked: Asked) -> None:
    """Read the files, print what they are like, and rank the suspects where they are asked for.

    Raises:
        UsageError: there are no files, or no vocabulary where a flag says.
        ValueError: a file cannot be read, or nothing can be learned from the training file's rows.
    """
    flags, task = asked.flags, asked.task
    _check_files(task, asked.data_dir)
    if named := flags.model_name_or_path:
        flags = replace(
            flags, model_name_or_path=local_model(named, "--model_name_or_path", VOCABULARY_FILES)
        )
    tokenizer = _find_tokenizer(flags)
    max_seq_length = _longest_input(flags)
    splits = read_splits(task, asked.data_dir)
    if flags.suspects and splits.train is None:
        raise UsageError("--suspects ranks the rows of the training file, and there is none")
    facts = split_facts(splits, tokenizer, max_seq_length)
    if not flags.json:
        for line in report_lines(splits.task, facts, max_seq_length):
            say(line)
        if splits.refused:
            say(f"a training would end with: {splits.refused}")
        if tokenizer is None:
            say(
                f"no vocabulary in {DEFAULT_MODEL}: what is cut or unknown is not told; name a model's "
                "with --model_name_or_path or --spm_model_file"
            )
        if flags.suspects:  # It takes a while.
            say(f"suspects: learning from the {len(splits.train)} rows of train, {FOLDS} times")
    suspects = _rank(splits.task, splits.train) if flags.suspects else None
    if flags.output:
        rows = ((list(row.values()), {}) for row in suspects)
        write_table(flags.output, suspect_columns(splits.task), rows, (), ())
    if flags.json:
        vocabulary = str(tokenizer.vocabulary) if tokenizer else None
        found = {"task": task.name, "vocabulary": vocabulary, "max_seq_length": max_seq_length}
        found |= {"refused": splits.refused, "splits": facts, "suspects": suspects}
        say(json.dumps(found, ensure_ascii=False, indent=1))
    elif flags.suspects:
        for line in _suspect_lines(suspects, flags.output):
            say(line)


def _check_files(task: Task, data_dir: Path) -> None:
    """See that the files that flags name are there, or of one of GLUE's tasks any."""
    splits = [split for split in SPLITS if task.files[split]]
    missing = missing_data(task, data_dir, splits)
    files = sum(len(task.files[split]) for split in splits)
    if missing and (task.own_files or len(missing) == files):
        raise UsageError("; ".join([*missing, *remedies_for(task, data_dir, None)]))


def _find_tokenizer(flags: CheckDataFlags) -> Tokenizer | None:
    """Return the vocabulary that the flags name, or the default model's, if it is there."""
    named = (flags.spm_model_file, flags.vocab_file, flags.tokenizer_name, flags.model_name_or_path)
    folder = flags.tokenizer_name or flags.model_name_or_path or DEFAULT_MODEL
    try:
        vocabulary = vocabulary_file(flags, folder)
    except FileNotFoundError as error:
        if any(named):
            raise UsageError(f"{error}: name another, or leave the flag out") from error
        return None
    return load_tokenizer(vocabulary, False if flags.no_do_lower_case else flags.do_lower_case)


def _longest_input(flags: CheckDataFlags) -> int:
    """Return how many tokens an input has at most: as the flag, or the model's own training, says."""
    config = (flags.model_name_or_path or Path(DEFAULT_MODEL)) / CONFIG_NAME
    if flags.max_seq_length or not config.is_file():
        return flags.max_seq_length or LONGEST_INPUT
    return inputs_of(AlbertConfig.from_file(config), None, None)[0]


def _rank(task: Task, train: Split) -> list[dict[str, Any]]:
    try:
        with still("learning from the rows of train", is_logged=False):
            return suspects_of(task, train)
    except ValueError as error:
        raise ValueError(f"{train.path}: {error}: add rows, or leave --suspects out") from error


def _suspect_lines(suspects: Sequence[Mapping[str, Any]], output: Path | None) -> Iterator[str]:
    """Yield the first of the suspects, and where the others are."""
    yield f"suspects of train: {len(suspects)} rows, the most suspicious first"
    for row in suspects[:_SUSPECTS_SHOWN]:
        text = shown("\t".join(row[name] for name in ("text", "text_a", "text_b") if name in row))
        if "residual" in row:
            told = f"{row['label']:g}, rather {row['suggested']:.3g}"
        else:
            told = f"{row['label']} ({row['probability']:.3f}), rather {row['suggested']}"
        yield f"  line {row['line']}: {told}: {text}"
    if output:
        yield f"{output}: {len(suspects)} rows"
    elif len(suspects) > _SUSPECTS_SHOWN:
        yield f"  and {len(suspects) - _SUSPECTS_SHOWN} more, which --output FILE writes"


def main(words: Sequence[str]) -> int:
    """Parse the flags and check; returns the exit status."""
    sys.stdout.reconfigure(encoding="utf-8")  # JSON is UTF-8, whatever the locale says.
    return run_command(build_parser(), check_data, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
