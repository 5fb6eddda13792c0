"""The command line of run_classifier.py: flags, defaults and what they mean.

Names, defaults and meanings are albert_pytorch's and its Ascend adaptation's, where they have the flag.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from callback.lr_scheduler import SCHEDULES
from callback.optimization import OPTIMIZERS
from model.checkpoint import LAYOUTS
from processors.batching import PADDING_POLICIES
from processors.custom import CUSTOM, custom_task
from processors.glue import SPLITS, TASKS, Task
from tools.command_line import Parser, number
from tools.device import DEVICES
from tools.errors import UsageError
from tools.precision import AMP_BACKENDS, OPT_LEVELS

DEFAULT_MODEL = "./prev_trained_model/albert_base_v2"
_TASK_NAMES = (*TASKS, CUSTOM)
_DEFAULT_TEXT, _DEFAULT_LABEL = "sentence", "label"

_DESCRIPTION = "Fine-tune ALBERT on a GLUE task, evaluate it, and predict with it."
_EPILOG = """\
examples:
  train and evaluate SST-2 with the defaults
      python run_classifier.py --task_name sst-2 --do_train --do_eval
  the reference's recipe on one device
      python run_classifier.py --task_name sst-2 --do_train --do_eval --fp16 --fp16_opt_level O2 \\
          --batch_size 440 --learning_rate 28e-5 --num_train_epochs 2 --drop_last
  evaluate and predict with what an earlier run left in ./outputs/SST-2
      python run_classifier.py --task_name sst-2 --do_eval --do_predict
  two processes on this machine
      torchrun --nproc_per_node 2 run_classifier.py --task_name sst-2 --do_train --do_eval

Every flag may be written with - or _ between its words. Missing data or weights:
  python -m tools.download --help
"""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Wide enough for these flags; shows the default of each that has one."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=100)

    def _get_help_string(self, action: argparse.Action) -> str:
        shown = not isinstance(action.default, bool | None) and action.default != argparse.SUPPRESS
        return f"{action.help} (default: %(default)s)" if shown else action.help


def _loss_scale(text: str) -> str | float:
    return text if text == "dynamic" else number(float, 0, above=True)(text)


def _task(text: str) -> str:
    if text.lower() not in _TASK_NAMES:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(_TASK_NAMES)}")
    return text.lower()


def _columns(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if len(names) > 2 or len(set(names)) < len(names) or not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not one column, or two with a comma between")
    return names


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; :func:`parse_arguments` is what a program calls."""
    parser = Parser(
        "run_classifier.py",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_HelpFormatter,
    )
    _add_what(parser.add_argument_group("what to do"))
    _add_custom(parser.add_argument_group(f"a task of one's own (--task_name {CUSTOM})"))
    _add_files(parser.add_argument_group("data and model"))
    _add_training(parser.add_argument_group("training"))
    _add_records(parser.add_argument_group("records and checkpoints"))
    _add_machine(parser.add_argument_group("device, precision and processes"))
    return parser


def _add_what(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--task_name", type=_task, default="sst-2", metavar="TASK",
        help=f"{', '.join(TASKS)}; or {CUSTOM}: see below")  # fmt: skip
    add("--do_train", action="store_true", help="train on train.tsv")
    add("--do_eval", action="store_true", help="score all of dev.tsv, each epoch and at the end")
    add("--do_predict", action="store_true", help="write GLUE's submission file for test.tsv")
    add(
        "--eval_all_checkpoints",
        action="store_true",
        help="with --do_eval: score every checkpoint in the output folder too",
    )


def _add_custom(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    for split in SPLITS:
        add(f"--{split}_file", metavar="FILE",
            help=f"{split} data with a header line: .csv, or else tab-separated")  # fmt: skip
    add("--text_columns", type=_columns, metavar="A[,B]",
        help=f"column of the text, or of both texts of a pair (default: {_DEFAULT_TEXT})")  # fmt: skip
    add("--label_column", metavar="NAME",
        help=f"column of the class, or of the number (default: {_DEFAULT_LABEL})")  # fmt: skip
    add("--regression", action="store_true", help="predict a number, not a class")


def _add_files(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--data_dir", metavar="DIR", help="train.tsv, dev.tsv, test.tsv (default: ./dataset/<TASK>)"
    )
    add("--model_type", default="albert", choices=["albert"], help="the only type there is")
    add(
        "--model_name_or_path",
        metavar="DIR",
        help=f"the ALBERT folder to start from (default: {DEFAULT_MODEL})",
    )
    add("--output_dir", metavar="DIR", help="where results go (default: ./outputs/<TASK>)")
    add("--config_name", metavar="PATH", help="config.json or its folder, if not the model's")
    add("--tokenizer_name", metavar="DIR", help="folder of the vocabulary, if not the model's")
    add("--spm_model_file", metavar="FILE", help="the SentencePiece vocabulary itself")
    add("--random_init", action="store_true", help="start from random weights: only config needed")
    add("--max_seq_length", type=number(int, 5), default=128, metavar="N", help="longest input")
    add(
        "--do_lower_case",
        action="store_true",
        default=None,
        help="lower-case the text; is on, unless the vocabulary's folder says otherwise",
    )
    add(
        "--no_do_lower_case",
        dest="do_lower_case",
        action="store_false",
        help="keep capitals (for a vocabulary of one's own)",
    )
    add("--overwrite_cache", action="store_true", help="tokenize anew, whatever is cached")


def _add_training(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--batch_size", type=number(int, 1), default=8, metavar="N", help="examples a process")
    add(
        "--padding",
        choices=PADDING_POLICIES,
        default="bucket",
        help="pad a batch to --max_seq_length as the references do, to its longest example, or to a "
        "few fixed widths with examples of like length together",
    )
    add("--drop_last", action="store_true",
        help="leave out of an epoch what does not fill a last batch, as the references do")  # fmt: skip
    add("--gradient_accumulation_steps", type=number(int, 1), default=1, metavar="N",
        help="batches per optimizer step")  # fmt: skip
    add("--optimizer", choices=OPTIMIZERS, default="lamb", metavar="NAME",
        help=f"{', '.join(OPTIMIZERS)}; see requirements-optional.txt for some")  # fmt: skip
    add("--lr_schedule", choices=SCHEDULES, default="linear", metavar="NAME",
        help=f"what follows the warm-up: {', '.join(SCHEDULES)}")  # fmt: skip
    add("--learning_rate", type=number(float, 0), default=5e-5, metavar="X", help="its peak")
    add("--weight_decay", type=number(float, 0), default=0.0, metavar="X",
        help="on weight matrices")  # fmt: skip
    add("--adam_epsilon", type=number(float, 0, above=True), default=1e-6, metavar="X",
        help="LAMB's and Adam's epsilon")  # fmt: skip
    add("--max_grad_norm", type=number(float, 0), default=1.0, metavar="X",
        help="clip the gradient's norm to this; 0 = never")  # fmt: skip
    add("--num_train_epochs", type=number(float, 0, above=True), default=3.0, metavar="X",
        help="passes over the training data")  # fmt: skip
    add("--max_steps", type=number(int, -1), default=-1, metavar="N",
        help="if above 0: this many optimizer steps instead")  # fmt: skip
    add("--warmup_proportion", type=number(float, 0, 1), default=0.1, metavar="X",
        help="share of the steps in which the rate rises")  # fmt: skip
    add("--stop_point", type=number(float, 0, 1), default=1.0, metavar="X",
        help="with --do_eval: end once the metric reaches this; 1.0 = never")  # fmt: skip
    add("--seed", type=number(int, 0, 2**32 - 1), default=42, metavar="N", help="for all chance")


def _add_records(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--logging_steps", type=number(int, 1), default=10, metavar="N",
        help="log the loss every N optimizer steps")  # fmt: skip
    add("--eval_steps", type=number(int, 0), default=0, metavar="N",
        help="with --do_eval: score every N optimizer steps; 0 = after each epoch")  # fmt: skip
    add("--save_steps", type=number(int, -1), default=1000, metavar="N",
        help="write a checkpoint every N optimizer steps; 0 or less = never")  # fmt: skip
    add(
        "--overwrite_output_dir",
        action="store_true",
        help="where the output folder holds an earlier run: move that to its previous/<n> and start",
    )
    add("--save_format", choices=LAYOUTS, default=LAYOUTS[0],
        help="whose names and file the trained model gets")  # fmt: skip
    add("--log_dir", type=Path, metavar="DIR",
        help="write rank_<n>.log there (default with several processes: OUTPUT_DIR/logs)")  # fmt: skip
    add("--resume", action="store_true", help="go on from the output folder's last checkpoint")
    add("--debug", action="store_true", help="on an error, show where in the code it happened")


def _add_machine(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--device", choices=DEVICES, default="auto", help="auto: an NPU, else a GPU, else the CPU")
    add("--device_id", type=number(int, 0), default=0, metavar="N",
        help="which of several; with several processes their local rank says it")  # fmt: skip
    add("--no_cuda", action="store_true", help="do not choose a GPU")
    add("--fp16", action="store_true",
        help="mixed precision; on a CPU bf16, or fp32 where that is faster")  # fmt: skip
    add("--fp16_opt_level", choices=OPT_LEVELS, default="O1",
        help="O0 fp32, O1 casts operations, O2 fp16 weights with fp32 copies, O3 fp16 only")  # fmt: skip
    add("--amp_backend", choices=AMP_BACKENDS, default="auto",
        help="whose mixed precision: apex's where it is installed, else torch's own")  # fmt: skip
    add("--bf16", action="store_true", help="bf16 arithmetic where torch deems it safe")
    add("--gradient_checkpointing", action="store_true",
        help="compute each layer again in the backward pass: a third slower, far less memory")  # fmt: skip
    add("--torch_compile", action="store_true",
        help="let torch compile the network, which takes minutes; no gain on a CPU")  # fmt: skip
    add("--loss_scale", type=_loss_scale, default="dynamic", metavar="X",
        help="dynamic, or a fixed number")  # fmt: skip
    add("--local_rank", type=number(int, -1), default=-1, metavar="N",
        help="from a launcher that passes it as a flag; torchrun need not")  # fmt: skip
    add("--ddp_timeout", type=number(float, 0, above=True), default=1800.0, metavar="SECONDS",
        help="how long a process may not answer the others before the run ends")  # fmt: skip
    add("--bind_cores", action="store_true",
        help="share this machine's CPU cores out over its processes")  # fmt: skip
    add("--workers", type=number(int, 0), default=0, metavar="N",
        help="processes that build batches; the training process itself is fast enough")  # fmt: skip


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the flags and fill in the defaults that follow from others.

    Beside the flags the result has ``task`` (a :class:`Task`), ``splits`` (the files they call for), and
    ``model_given`` and ``output_dir_given`` (whether the user named those folders). Wrong usage ends the
    program with one line and exit status 2.
    """
    parser = build_parser()
    args = parser.parse_args([_with_underscores(word) for word in argv])
    try:
        _complete(args)
    except UsageError as error:
        parser.error(str(error))
    return args


def _with_underscores(word: str) -> str:
    """Spell ``--batch-size=8`` as ``--batch_size=8``; leave values alone."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value


def _complete(args: argparse.Namespace) -> None:
    if not (args.do_train or args.do_eval or args.do_predict):
        raise UsageError("nothing to do: give --do_train, --do_eval or --do_predict")
    if args.overwrite_output_dir and args.resume:
        raise UsageError("--overwrite_output_dir and --resume contradict each other")
    if args.fp16 and args.bf16:
        raise UsageError("--fp16 and --bf16 contradict each other")
    if args.resume and not args.do_train:
        raise UsageError("--resume goes on with training: it needs --do_train")
    if args.stop_point < 1 and not args.do_eval:
        raise UsageError("--stop_point needs --do_eval, which measures it")
    wanted = {"train": args.do_train, "dev": args.do_eval, "test": args.do_predict}
    args.splits = [split for split, needed in wanted.items() if needed]
    args.task = task = _task_of(args)
    args.output_dir_given = args.output_dir is not None
    args.model_given = args.model_name_or_path is not None
    default_data = "." if task.name == CUSTOM else f"./dataset/{task.folder}"
    args.data_dir = Path(args.data_dir or default_data)
    args.output_dir = Path(args.output_dir or f"./outputs/{task.folder}")
    args.model_name_or_path = Path(args.model_name_or_path or DEFAULT_MODEL)


def _task_of(args: argparse.Namespace) -> Task:
    files = {split: getattr(args, f"{split}_file") for split in SPLITS}
    if args.task_name != CUSTOM:
        own = [f"{split}_file" for split in SPLITS] + ["text_columns", "label_column", "regression"]
        given = [f"--{name}" for name in own if getattr(args, name)]
        if given:
            raise UsageError(f"{given[0]} goes with --task_name {CUSTOM}")
        return TASKS[args.task_name]
    for split, action in (("train", "--do_train"), ("dev", "--do_eval"), ("test", "--do_predict")):
        if split in args.splits and not files[split]:
            raise UsageError(f"--task_name {CUSTOM} with {action} needs --{split}_file")
    texts, label = args.text_columns or (_DEFAULT_TEXT,), args.label_column or _DEFAULT_LABEL
    if label in texts:
        raise UsageError(f"--label_column {label} is among --text_columns {','.join(texts)}")
    return custom_task(files, texts, label, args.regression)
