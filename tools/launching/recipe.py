"""A launcher's recipe and its user's words: what they come to. Needs nothing but Python."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from tools.cli.errors import UsageError
from tools.cli.groups import add_flags, fill, flag
from tools.cli.parser import Number, Parser
from tools.cli.paths import ROOT
from tools.launching.report import KINDS
from tools.machine.cores import check_workers
from tools.machine.process_flags import ProcessFlags
from tools.run.launcher_inputs import check_inputs

_MODEL = Path("prev_trained_model", "albert_base_v2")
_EPILOG = """\
  -- FLAGS                        passed on to run_classifier.py

With --nnodes=N there is one launcher on each of N machines, numbered from 0 by --node_rank.
The variable ASCEND_DEVICE_ID, where it is set, is the default of --device_id.
Exit status: that of the training; 2 for wrong usage.
"""


# Flags of run_classifier.py: those of all recipes, and those of all recipes that train.
_OF_ALL = ("--do_eval", "--do_lower_case")
_OF_TRAINING = (
    *("--do_train", "--drop_last", "--seed", "42", "--warmup_proportion", "0.1"),
    *("--max_seq_length", "128"),  # What is scored has the length of its training.
    *("--max_grad_norm", "1.0", "--adam_epsilon", "1e-6", "--weight_decay", "0.0"),
    *("--keep", "last"),
)
# Those that a launcher's user gives to the launcher itself, for its report names them.
_OF_THE_REPORT = (
    *("--batch_size", "--per_gpu_train_batch_size", "--per_device_train_batch_size"),
    "--device_id",
)


def _folder(text: str) -> Path:
    return Path.cwd() / text


@dataclass(frozen=True)
class LauncherFlags(ProcessFlags):
    """What the user of a launcher says; a recipe has the defaults."""

    data_path: Path = flag(
        ROOT / "dataset",
        "holds SST-2/ and STS-B/, and may hold prev_trained_model/",
        type=_folder,
        metavar="DIR",
    )
    model_path: Path | None = flag(
        None, "the ALBERT folder to start from", type=_folder, metavar="DIR"
    )
    output_dir: Path | None = flag(
        None,
        "where the trained model goes, or is; training moves an earlier one to its previous/<n>",
        type=_folder,
        metavar="DIR",
    )
    device_id: int = flag(
        0,
        "which of several devices; names the log folder, test/output/N",
        type=Number(int, 0),
        metavar="N",
    )
    batch_size: int = flag(8, "examples per process", type=Number(int, 1), metavar="N")
    workers: int = flag(0, "processes that build batches", type=Number(int, 0), metavar="N")


@dataclass(frozen=True)
class Recipe:
    """What a launcher's script says; ``words`` are flags of run_classifier.py, for its user to add to."""

    words: tuple[str, ...]
    defaults: LauncherFlags
    script: Path = flag(None, "the launcher", type=Path, required=True, metavar="FILE")
    task: str = flag(None, "GLUE task, in small letters", required=True, metavar="NAME")
    kind: str = flag("acc", "what the run is for", choices=KINDS)
    scores: str | None = flag(None, "the launcher that trains what this one scores", metavar="NAME")
    makes_data: bool = flag(False, "the launcher makes the data itself")
    only_check: bool = flag(False, "check the user's words and print what bash needs to know")


@dataclass(frozen=True)
class Launch:
    """One use of a launcher: its recipe, and its flags with every folder settled."""

    recipe: Recipe
    flags: LauncherFlags
    passed_on: tuple[str, ...]

    @property
    def data_dir(self) -> Path:
        """The folder of the task's data, by GLUE's name: sst-2 → SST-2."""
        return self.flags.data_path / self.recipe.task.upper()

    @property
    def log(self) -> Path:
        """The file that gets everything the run prints."""
        number = self.flags.device_id
        return ROOT / "test" / "output" / str(number) / f"train_{number}.log"

    @property
    def results(self) -> Path:
        """The folder that the run writes its records to; what is passed on may name another."""
        folder = self.flags.output_dir
        for index, word in enumerate(self.passed_on):
            if _flag_of(word) == "--output_dir":
                following = "".join(self.passed_on[index + 1 : index + 2])
                folder = ROOT / (word.partition("=")[2] or following)
        return folder

    @property
    def processes(self) -> int:
        """How many train together, over all machines."""
        return self.flags.nproc * self.flags.nnodes

    def check_inputs(self) -> None:
        """See that what the run reads is there, or is made by the launcher.

        Raises:
            UsageError: as :func:`tools.run.launcher_inputs.check_inputs`.
        """
        recipe, flags = self.recipe, self.flags
        if not recipe.makes_data:
            model = flags.output_dir if recipe.scores else flags.model_path
            passed_on = {_flag_of(word) for word in self.passed_on}
            check_inputs(recipe.task, flags.data_path, model, recipe.scores, passed_on)

    @property
    def command(self) -> list[str]:
        """What to start: run_classifier.py, by way of torchrun where there are several processes."""
        flags, python = self.flags, (sys.executable, "-u")
        words = ["run_classifier.py", "--task_name", self.recipe.task, "--data_dir", self.data_dir]
        words += ["--model_name_or_path", flags.model_path, "--output_dir", flags.output_dir]
        keeps_capitals = "--no_do_lower_case" in map(_flag_of, self.passed_on)
        words += [word for word in _OF_ALL if not (keeps_capitals and word == "--do_lower_case")]
        words += ["--batch_size", flags.batch_size, "--device", flags.device]
        words += ["--workers", flags.workers, *self.recipe.words]
        if self.recipe.kind != "eval":
            words += _OF_TRAINING
            if "--resume" not in map(_flag_of, self.passed_on):
                words += ["--overwrite_output_dir"]
        if self.processes > 1:
            start = ["-m", "tools.launch", "--log_dir", self.log.parent]
            for item in fields(ProcessFlags):
                value = getattr(flags, item.name)
                if value is True:
                    start += [f"--{item.name}"]
                elif value not in (None, False):
                    start += [f"--{item.name}", value]
            words = [*start, "--", *words, "--bind_cores"]
        else:
            words += ["--device_id", flags.device_id]
        return [str(word) for word in (*python, *words, *self.passed_on)]

    @property
    def shell_settings(self) -> str:
        """What common.sh and a launcher's own preparation need to know, as assignments of bash."""
        values = {
            "device": self.flags.device,
            "data_dir": self.data_dir,
            "model_path": self.flags.model_path,
            "output_dir": self.flags.output_dir,
        }
        return " ".join(f"{name}={shlex.quote(str(value))}" for name, value in values.items())


def parse_recipe(words: Sequence[str]) -> tuple[Recipe, list[str]]:
    """Return a launcher's recipe, and its user's words.

    Args:
        words: the recipe's own flags, ``--``, its flags of run_classifier.py, ``--``, the user's words.
    """
    words_of_recipe, rest = _split(words)
    flags, words_of_user = _split(rest)
    parser = Parser(
        "launch recipe",
        lambda found: fill(Recipe, found, words=tuple(flags), defaults=fill(LauncherFlags, found)),
        description="Run a launcher's recipe: its flags -- those of run_classifier.py -- the user's words",
    )
    add_flags(parser.add_argument_group("the recipe"), Recipe)
    add_flags(parser.add_argument_group("defaults of the launcher's flags"), LauncherFlags)
    return parser.parse(words_of_recipe)[0], words_of_user


def launcher_parser(recipe: Recipe) -> Parser:
    """Return the parser of a launcher's user's words; what it makes of them is a :class:`Launch`."""
    return _LauncherParser(recipe)


class _LauncherParser(Parser):
    """Its messages name a flag and its value as the user wrote them; what comes after -- is passed on."""

    advice = ""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(
            recipe.script.name,
            self._settle,
            usage=f"bash test/{recipe.script.name} [flags] [-- flags of run_classifier.py]",
            description=_header(recipe.script),
            epilog=_EPILOG,
        )
        self._recipe = recipe
        add_flags(self, LauncherFlags, inherited=False)
        add_flags(self, ProcessFlags)
        self.set_defaults(**asdict(recipe.defaults))
        self._passed_on: tuple[str, ...] = ()

    def parse(self, words: Sequence[str]) -> tuple[Launch, bool]:
        """Return the launch, and whether ``--debug`` is given; wrong usage is one line and status 2."""
        self.check_text(words)
        flags, passed_on = _split(words)
        self._passed_on = tuple(passed_on)
        try:
            flags = list(self._checked(flags))
            if "--device_id" not in map(_flag_of, flags):
                flags = [*_device_id_of_environment(), *flags]
            _check_rank_size()
        except UsageError as error:
            self.error(str(error))
        return super().parse(flags)

    def _checked(self, words: Sequence[str]) -> Iterator[str]:
        """Yield each flag as ``--flag=value``, up to --help.

        Raises:
            UsageError: a word is no flag, or its value is none or not what it wants.
        """
        rest = iter(words)
        for word in rest:
            name, equals, value = word.partition("=")
            action = self._option_string_actions.get(_flag_of(word))
            if action is None:
                advice = (
                    "flags of run_classifier.py go after --" if word[:2] == "--" else "see --help"
                )
                raise UsageError(f"{name} is no flag of this launcher; {advice}")
            if action.nargs == 0:
                yield word
                if action.dest == "help":
                    return
                continue
            if not equals:
                value = next(rest, None)
            if not value:
                raise UsageError(f"{name} needs a value: {name}=…")
            _check_value(action, name, value)
            yield f"{_flag_of(word)}={value}"

    def _settle(self, found: argparse.Namespace) -> Launch:
        """Check what the flags come to, and settle the folders that follow from others."""
        for word in self._passed_on:
            if _flag_of(word) in _OF_THE_REPORT:
                name = word.partition("=")[0]
                raise UsageError(f"give {name} before the --: the report names it")
            if _flag_of(word) == "--seeds":
                raise UsageError(
                    "--seeds is none of a launcher, which reports one training: give it to "
                    "run_classifier.py itself"
                )
        recipe, flags = self._recipe, fill(LauncherFlags, found)
        check_workers(flags.workers)
        if recipe.scores and flags.model_path is not None:
            raise UsageError("--model_path is to train from: --output_dir names the model to score")
        model = flags.data_path / _MODEL
        settled = replace(
            flags,
            model_path=flags.model_path or (model if model.is_dir() else ROOT / _MODEL),
            output_dir=flags.output_dir or ROOT / "outputs" / recipe.task.upper(),
        )
        return Launch(recipe, settled, self._passed_on)

    def format_help(self) -> str:
        """Return the help, with flags as launchers' users write them: ``--flag=VALUE``."""
        return re.sub(r"^(  --\w+) (?=[A-Z{])", r"\1=", super().format_help(), flags=re.MULTILINE)


def _device_id_of_environment() -> list[str]:
    """Return the flag that ASCEND_DEVICE_ID stands for, if it is set.

    Raises:
        UsageError: it is no number.
    """
    number = os.environ.get("ASCEND_DEVICE_ID", "")
    if number and not number.isdecimal():
        raise UsageError(
            f"ASCEND_DEVICE_ID={number}: not a whole number; correct it or give --device_id"
        )
    return [f"--device_id={number}"] if number else []


def _check_rank_size() -> None:
    """See that RANK_SIZE, which the references' launchers read, is a number; here --nproc says how many.

    Raises:
        UsageError: it is none.
    """
    size = os.environ.get("RANK_SIZE", "")
    if size and not size.isdecimal():
        raise UsageError(
            f"RANK_SIZE={size}: not a whole number; correct or unset it: here --nproc says how many "
            "processes there are"
        )


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words before the first ``--`` and those after it."""
    words = list(words)
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place + 1 :]


def _flag_of(word: str) -> str:
    """Return the flag in a word, with underscores: ``--batch-size=8`` → ``--batch_size``."""
    name = word.partition("=")[0]
    return "--" + name[2:].replace("-", "_") if name.startswith("--") else name


def _check_value(action: argparse.Action, name: str, value: str) -> None:
    if isinstance(action.type, Number):
        try:
            action.type(value)
        except argparse.ArgumentTypeError:
            raise UsageError(f"{name}={value}: not a {_wanted(action.type)}") from None
    if action.choices and value not in action.choices:
        raise UsageError(f"{name}={value}: not one of {', '.join(action.choices)}")


def _wanted(kind: Number) -> str:
    if kind.high != float("inf"):
        return f"whole number from {kind.low} to {kind.high}"
    return f"whole number above {kind.low - 1}" if kind.low else "whole number"


def _header(script: Path) -> str:
    """Return the comment at the top of a launcher: what it does."""
    lines = []
    for line in script.read_text(encoding="utf-8").splitlines()[1:]:
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)
