"""The command line of run_classifier.py: flags, defaults and what they mean, in groups.

Names, defaults and meanings are albert_pytorch's and its Ascend adaptation's, where they have the flag.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from callback.trackers.registry import TRACKER_NAMES
from model.checkpoint import LAYOUTS
from processors.custom import CUSTOM
from processors.glue import Task
from tools.cli.errors import UsageError
from tools.cli.groups import add_flags, fill, flag
from tools.cli.parser import Number, Parser
from tools.cli.paths import DEFAULT_MODEL
from tools.machine.runtime import MachineFlags
from tools.precision.choice import PrecisionFlags
from tools.run.custom_flags import CustomFlags, task_name_flag
from tools.run.data_flags import (
    ENCODING_HELP,
    ShareFlags,
    class_names,
    length_flag,
    text_encoding,
    truncation_flag,
)
from tools.run.ignored_flags import IgnoredFlags
from tools.run.recorded_flags import flags_of_config
from tools.run.run_glue_names import RUN_GLUE
from tools.run.trackers import tracker_names
from tools.run.training_flags import TrainingFlags

_CHECKPOINTS_KEPT = 2

_DESCRIPTION = "Fine-tune ALBERT on a GLUE task, evaluate it, and predict with it."
_EPILOG = """\
examples:
  train and evaluate SST-2 with the defaults
      python run_classifier.py --task_name sst-2 --do_train --do_eval
  the reference's recipe on one device
      python run_classifier.py --task_name sst-2 --do_train --do_eval --fp16 --fp16_opt_level O2 \\
          --batch_size 440 --learning_rate 28e-5 --num_train_epochs 2 --drop_last --keep last
  evaluate and predict with what an earlier run left in ./outputs/SST-2
      python run_classifier.py --task_name sst-2 --do_eval --do_predict
  two processes on this machine
      torchrun --nproc_per_node 2 run_classifier.py --task_name sst-2 --do_train --do_eval

Every flag may be written with - or _ between its words, and as transformers' run_glue.py has it
(docs/command-line.md). Missing data or weights: python -m tools.download --help
"""


@dataclass(frozen=True)
class GoalFlags:
    """What a run is to do; ``eval_batch_given`` tells whether the user named the size of its batches."""

    eval_batch_given: bool
    task_name: str = task_name_flag()
    do_train: bool = flag(False, "train on train.tsv")
    do_eval: bool = flag(False, "score all of dev.tsv, each epoch and at the end")
    do_predict: bool = flag(
        False, "write GLUE's submission file for test.tsv, and score it where it has labels"
    )
    seeds: int = flag(
        0,
        "with --do_train and --do_eval: train N times, with --seed and the numbers after it, into "
        "OUTPUT_DIR/seed_<s>, and tell how far the scores scatter; 0 = once, into OUTPUT_DIR itself",
        type=Number(int, 0),
        metavar="N",
    )
    dry_run: bool = flag(
        False, "check all, measure a few steps, tell what the run would take, and write nothing"
    )
    eval_all_checkpoints: bool = flag(
        False, "with --do_eval: score every checkpoint in the output folder too"
    )
    eval_batch_size: int = flag(
        None,
        "examples a process scores or predicts together (default: --batch_size; on a GPU as many as "
        "it takes to be busy)",
        aliases=("per_gpu_eval_batch_size",),
        type=Number(int, 1),
        metavar="N",
    )

    eval_bf16: bool = flag(
        False,
        "score and predict in bf16 where torch deems it safe, not in fp32: faster where there "
        "are units for it, and to within its rounding",
    )

    @property
    def splits(self) -> list[str]:
        """The splits of the data that the run reads."""
        wanted = {"train": self.do_train, "dev": self.do_eval, "test": self.do_predict}
        return [split for split, needed in wanted.items() if needed]


@dataclass(frozen=True)
class InputFlags:
    """The data and the model to start from; ``model_given`` tells whether the user named the latter."""

    model_given: bool
    data_dir: Path = flag(
        None,
        "train.tsv, dev.tsv, test.tsv (default: ./dataset/<TASK>)",
        type=Path,
        metavar="DIR",
    )
    encoding: str = flag("utf-8", ENCODING_HELP, type=text_encoding, metavar="NAME")
    model_name_or_path: Path = flag(
        None,
        f"the ALBERT to start from: folder, or name on the Hugging Face hub (default: {DEFAULT_MODEL})",
        type=Path,
        metavar="DIR|NAME",
    )
    model_revision: str | None = flag(
        None, "of a model of the hub: a branch, a tag or a commit", metavar="NAME"
    )
    config_name: str | None = flag(
        None, "config.json, its folder or its model on the hub, if not the model's", metavar="PATH"
    )
    tokenizer_name: str | None = flag(
        None, "folder of the vocabulary, or its model on the hub, if not the model's", metavar="DIR"
    )
    spm_model_file: str | None = flag(None, "the SentencePiece vocabulary itself", metavar="FILE")
    vocab_file: str | None = flag(
        None,
        "the same, or a WordPiece vocabulary (vocab.txt); of no account beside --spm_model_file",
        metavar="FILE",
    )
    random_init: bool = flag(False, "start from random weights: only config needed")
    keep_head: bool = flag(
        False,
        "with --do_train: insist on the model's own classifier, and take its classes for the task's in "
        "their order, whatever they are called",
    )
    max_seq_length: int | None = length_flag("longest input, in tokens")
    truncation: str | None = truncation_flag()
    label_order: tuple[str, ...] | None = flag(
        None,
        "the task's classes in the order of the outputs of the model to score, where its own names do not "
        "tell; quotes keep a comma in a name",
        type=class_names,
        metavar="A,B,…",
    )
    do_lower_case: bool | None = flag(
        None,
        "lower-case the text; is on, unless the vocabulary's folder says otherwise",
        action="store_true",
    )
    no_do_lower_case: bool = flag(False, "keep capitals (for a vocabulary of one's own)")
    overwrite_cache: bool = flag(False, "tokenize anew, whatever is cached")


@dataclass(frozen=True)
class RecordFlags:
    """What a run writes, where and when; ``output_dir_given`` tells whether the user named the folder."""

    output_dir_given: bool
    output_dir: Path = flag(
        None, "where results go (default: ./outputs/<TASK>)", type=Path, metavar="DIR"
    )
    logging_steps: int = flag(
        10, "log the loss every N optimizer steps", type=Number(int, 1), metavar="N"
    )
    eval_steps: int = flag(
        0,
        "with --do_eval: score every N optimizer steps; 0 = after each epoch",
        type=Number(int, 0),
        metavar="N",
    )
    keep: str = flag(
        None,
        "which model is saved in the end: that of the best evaluation, by the task's first metric, or as "
        "in the references the last one (default: best with --do_eval)",
        choices=("best", "last"),
    )
    patience: int = flag(
        0,
        "with --do_eval: end the training after N evaluations in a row that are no better; 0 = never",
        type=Number(int, 0),
        metavar="N",
    )
    save_steps: int = flag(
        1000,
        "write a checkpoint every N optimizer steps; 0 or less = never",
        type=Number(int, -1),
        metavar="N",
    )
    save_epochs: bool = flag(False, "write a checkpoint at the end of each epoch, too")
    save_total_limit: int = flag(
        None,
        "keep the last N checkpoints, and the one with the best evaluation; 0 = all (default: "
        f"{_CHECKPOINTS_KEPT}, and 0 with --eval_all_checkpoints)",
        type=Number(int, 0),
        metavar="N",
    )
    overwrite_output_dir: bool = flag(
        False,
        "where the output folder holds an earlier run: move that to its previous/<n> and start",
    )
    save_format: str = flag(
        LAYOUTS[0], "whose names and file the trained model gets", choices=LAYOUTS
    )
    log_dir: Path | None = flag(
        None,
        "write rank_<n>.log there (default with several processes: OUTPUT_DIR/logs)",
        type=Path,
        metavar="DIR",
    )
    resume: bool = flag(False, "go on from the output folder's last checkpoint")
    report_to: tuple[str, ...] = flag(
        (),
        f"send the records of metrics.jsonl there, too: {', '.join(TRACKER_NAMES)}, of which several may "
        "be named; all that are installed; or none, the default (requirements-trackers.txt)",
        type=tracker_names,
        metavar="NAME,…",
    )


@dataclass(frozen=True)
class Flags:
    """All flags of a run, each in its group; ``task`` is what they say of the task."""

    goals: GoalFlags
    custom: CustomFlags
    shares: ShareFlags
    task: Task
    inputs: InputFlags
    training: TrainingFlags
    records: RecordFlags
    machine: MachineFlags
    ignored: IgnoredFlags

    @property
    def splits_read(self) -> list[str]:
        """The splits whose files the run reads: with --dev_share the dev set is of the training's."""
        splits = self.goals.splits
        if self.shares.dev_share:
            splits = ["train" if split == "dev" else split for split in splits]
        return list(dict.fromkeys(splits))

    def as_dict(self) -> dict[str, Any]:
        """Return the value of every flag of the groups by its name, for the record of the run."""
        groups = (
            *(self.goals, self.custom, self.shares, self.inputs),
            *(self.training, self.records, self.machine, self.ignored),
        )
        values = {name: value for group in groups for name, value in asdict(group).items()}
        del values["noted"]
        return {**values, "splits": self.goals.splits}


def build_parser() -> Parser:
    """Return the parser of run_classifier.py."""
    parser = Parser(
        "run_classifier.py",
        _make_flags,
        others=RUN_GLUE,
        from_config=flags_of_config,
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    for title, group in (
        ("what to do", GoalFlags),
        (f"a task of one's own (--task_name {CUSTOM})", CustomFlags),
        ("which of the examples", ShareFlags),
        ("data and model", InputFlags),
        ("training", TrainingFlags),
        ("precision", PrecisionFlags),
        ("records and checkpoints", RecordFlags),
        ("device and processes", MachineFlags),
        ("accepted from the references' command lines, and of no effect", IgnoredFlags),
    ):
        titled = parser.add_argument_group(title)
        add_flags(titled, group, inherited=False)
    return parser


def parse_flags(words: Sequence[str]) -> Flags:
    """Parse the flags; wrong usage ends the program with one line and exit status 2."""
    return build_parser().parse(words)[0]


def _make_flags(namespace: argparse.Namespace) -> Flags:
    """Return the flags in their groups, with the defaults that follow from others."""
    goals = fill(GoalFlags, namespace, eval_batch_given=namespace.eval_batch_size is not None)
    inputs = fill(InputFlags, namespace, model_given=namespace.model_name_or_path is not None)
    records = fill(RecordFlags, namespace, output_dir_given=namespace.output_dir is not None)
    training = fill(TrainingFlags, namespace)
    _check(goals, inputs, training, records)
    custom, shares = fill(CustomFlags, namespace), fill(ShareFlags, namespace)
    shares.check(goals.do_train)
    task = custom.task(goals.task_name, goals.splits, shares.dev_share)
    task = replace(task, encoding=inputs.encoding)
    for name in ("class_weights", "label_smoothing"):
        if task.is_regression and getattr(training, name):
            raise UsageError(
                f"--{name} is about classes, and the task predicts a number: leave it out"
            )
        if task.is_multi_label and getattr(training, name):
            raise UsageError(
                f"--{name} is about classes of which a text has one, and with --multi_label it has any "
                "number of labels: leave it out"
            )
    default_data = "." if task.name == CUSTOM else f"./dataset/{task.folder}"
    eval_batch_size = goals.eval_batch_size or training.batch_size
    limit = records.save_total_limit
    if limit is None:
        limit = 0 if goals.eval_all_checkpoints else _CHECKPOINTS_KEPT
    keep = records.keep
    if goals.do_train and keep is None:
        keep = "best" if goals.do_eval else "last"
    output_dir = records.output_dir or Path(f"./outputs/{task.folder}")
    return Flags(
        goals=replace(goals, eval_batch_size=eval_batch_size),
        custom=custom,
        shares=shares,
        task=task,
        inputs=replace(
            inputs,
            do_lower_case=False if inputs.no_do_lower_case else inputs.do_lower_case,
            data_dir=inputs.data_dir or Path(default_data),
            model_name_or_path=inputs.model_name_or_path or Path(DEFAULT_MODEL),
        ),
        training=training if task.name == CUSTOM else training.with_defaults(),
        records=replace(records, output_dir=output_dir, save_total_limit=limit, keep=keep),
        machine=fill(MachineFlags, namespace),
        ignored=fill(IgnoredFlags, namespace, noted=namespace.remarks),
    )


def _check(
    goals: GoalFlags, inputs: InputFlags, training: TrainingFlags, records: RecordFlags
) -> None:
    if not goals.splits:
        raise UsageError("nothing to do: give --do_train, --do_eval or --do_predict")
    if records.overwrite_output_dir and records.resume:
        raise UsageError("--overwrite_output_dir and --resume contradict each other")
    if inputs.label_order and goals.do_train:
        raise UsageError(
            "--label_order is about a trained model's outputs, and --do_train makes new ones: leave it out"
        )
    if inputs.do_lower_case and inputs.no_do_lower_case:
        raise UsageError("--do_lower_case and --no_do_lower_case contradict each other")
    if inputs.keep_head and inputs.random_init:
        raise UsageError("--keep_head and --random_init contradict each other")
    if inputs.tokenizer_name and (inputs.spm_model_file or inputs.vocab_file):
        other = "--spm_model_file" if inputs.spm_model_file else "--vocab_file"
        raise UsageError(f"--tokenizer_name and {other} both name the vocabulary: leave one out")
    if goals.eval_bf16 and not (goals.do_eval or goals.do_predict):
        raise UsageError("--eval_bf16 needs --do_eval or --do_predict, which compute in it")
    saves = records.save_steps > 0 or records.save_epochs
    if records.keep == "best" and not goals.do_eval:
        raise UsageError("--keep best needs --do_eval, by whose scores a model is the best")
    if records.save_total_limit is not None and not saves:
        raise UsageError(
            f"--save_total_limit counts checkpoints, and --save_steps {records.save_steps} writes none: "
            "give --save_steps=N as well, or leave it out"
        )
    needs = (
        ("stop_point", training, "do_eval", "which measures it"),
        ("eval_steps", records, "do_eval", "which it says when to do"),
        ("patience", records, "do_train", "which it ends"),
        ("patience", records, "do_eval", "whose scores it goes by"),
        ("keep", records, "do_train", "of whose models it keeps one"),
        ("eval_all_checkpoints", goals, "do_eval", "which scores them"),
        ("seeds", goals, "do_train", "which it repeats"),
        ("seeds", goals, "do_eval", "whose scores it is about"),
        ("resume", records, "do_train", "with which it goes on"),
        ("random_init", inputs, "do_train", "which starts from those weights"),
        ("keep_head", inputs, "do_train", "which starts from that classifier"),
        ("save_format", records, "do_train", "whose model it is about"),
        ("save_total_limit", records, "do_train", "whose checkpoints it counts"),
        ("save_epochs", records, "do_train", "which makes them"),
        ("gradient_checkpointing", training, "do_train", "whose steps it is about"),
        ("torch_compile", training, "do_train", "whose network it compiles"),
        ("class_weights", training, "do_train", "whose loss it is about"),
        ("label_smoothing", training, "do_train", "whose loss it is about"),
        ("drop_last", training, "do_train", "whose epochs it is about"),
    )
    for name, group, needed, reason in needs:
        if getattr(group, name) != getattr(type(group), name) and not getattr(goals, needed):
            raise UsageError(f"--{name} needs --{needed}, {reason}")
