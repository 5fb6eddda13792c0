"""Ask a machine with an NVIDIA GPU how fast and how right everything is, in less than 8 minutes:

python -m tools.check_gpu --data_path DIR     (or bash test/check_gpu.sh, which finds the Python for it)

DIR holds SST-2/. Each part is processes of its own with a limit of time, so that one that fails or hangs
does not end the others. All results go into one folder, with a page, report.md, for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
import torch

from model.configuration_albert import CONFIG_NAME
from model.torch_releases import CAN_COMPILE
from model.vocabulary import find_vocabulary
from tools.check.material import make_material
from tools.check.outcome import FAIL, StepEnd
from tools.cli.errors import UsageError, error_line
from tools.cli.groups import flag, parser_of
from tools.cli.parser import Number
from tools.cli.paths import DEFAULT_MODEL, ROOT
from tools.cli.program import run_command
from tools.cli.streams import say
from tools.gpu.answer import Answer
from tools.gpu.page import Asked, describe_gpu_machine, write_page
from tools.gpu.parts import PARTS, Part
from tools.gpu.profiles import measure
from tools.gpu.programs import Programs
from tools.gpu.setting import MADE_SHAPE, SIZES, Setting
from tools.machine.device import Device, select_device
from tools.machine.folders import make_named_folder

_NAMES = [part.name for part in PARTS]
_PAGE = "report.md"
_TINY = "--size tiny --device cpu tries the check itself"
# So ends the line on a device that is not there, of select_device().
_ELSEWHERE = "; --device cpu works everywhere"
# What is left of the minutes is for the start, for what ends a part, and for the page.
_FOR_PARTS = 0.95
_TAIL = 40


def _parts(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _shape(text: str) -> tuple[int, int]:
    if not re.fullmatch("[0-9]+x[0-9]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 32x128")
    examples, width = map(int, text.split("x"))
    return examples, width


@dataclass(frozen=True)
class CheckFlags:
    """What to ask, on what, and where the answers go."""

    data_path: Path | None = flag(
        None,
        "holds SST-2/ (default: dataset/, if that does; else the speeds are of generated examples)",
        type=Path,
        metavar="DIR",
    )
    model_path: Path | None = flag(
        None,
        f"config.json and the vocabulary, with weights or without (default: {DEFAULT_MODEL}, or "
        "[prev_trained_model/]albert_base_v2 in --data_path)",
        type=Path,
        metavar="DIR",
    )
    folder: Path | None = flag(
        None,
        "where all results go (default: test/output/check_gpu-<date>)",
        type=Path,
        metavar="DIR",
    )
    parts: tuple[str, ...] = flag(
        None, f"only these of {', '.join(_NAMES)}", type=_parts, metavar="A,B,…"
    )
    minutes: float = flag(
        8.0, "for all parts together", type=Number(float, 0, above=True), metavar="X"
    )
    size: str = flag("full", "tiny tries the check itself", choices=SIZES)
    device: str = flag("cuda", "cpu goes with --size tiny", choices=("cuda", "cpu"))
    device_id: int = flag(0, "which of several GPUs", type=Number(int, 0), metavar="N")
    # One shape, to be measured in this process.
    profile_of: tuple[int, int] | None = flag(None, argparse.SUPPRESS, type=_shape)

    def __post_init__(self) -> None:
        """See that what is named is there.

        Raises:
            UsageError: it is not.
        """
        for name in self.parts or ():
            if name not in _NAMES:
                raise UsageError(f"--parts {name}: there are {', '.join(_NAMES)}")
        if self.data_path and (missing := _missing_of_data(self.data_path)):
            raise UsageError(
                f"--data_path {self.data_path}: there is no {missing}: name the folder with SST-2/ in it "
                "(python -m tools.download sst-2 gets it), or leave it out"
            )
        if self.model_path and not _has_model(self.model_path):
            raise UsageError(
                f"--model_path {self.model_path}: it has no {CONFIG_NAME}, or no vocabulary beside it: "
                "name another folder (python -m tools.download albert_base_v2 gets one), or leave it out"
            )


def _missing_of_data(folder: Path) -> Path | None:
    files = [folder / "SST-2" / f"{split}.tsv" for split in ("train", "dev")]
    return next((file for file in files if not file.is_file()), None)


def _has_model(folder: Path) -> bool:
    try:
        find_vocabulary(folder)
    except FileNotFoundError:
        return False
    return (folder / CONFIG_NAME).is_file()


def check(flags: CheckFlags) -> int:
    """Ask all parts and write the page; returns 1 where one failed."""
    if not CAN_COMPILE:
        raise UsageError(f"this check needs torch 2.4 or later, and this is {torch.__version__}")
    device = _select(flags)
    if device.is_shared and flags.size != "tiny":
        raise UsageError(f"--device cpu is no GPU: {_TINY}")
    if flags.profile_of:
        measure(
            Setting(flags.folder, flags.size, device, None, flags.model_path), *flags.profile_of
        )
        return 0
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = (flags.folder or ROOT / "test" / "output" / f"check_gpu-{stamp}").resolve()
    page = folder / _PAGE
    if page.exists():
        raise UsageError(f"--folder {folder} has a {_PAGE} already: name another folder")
    make_named_folder("--folder", folder)
    began = time.monotonic()
    setting = make_setting(flags, folder, device)
    facts = describe_gpu_machine(device.index)
    command = shlex.join(["bash", "test/check_gpu.sh", *sys.argv[1:]])
    parts = [part for part in PARTS if part.name in (flags.parts or _NAMES)]
    until = began + 60 * flags.minutes * _FOR_PARTS
    asked: list[Asked] = []
    for index, part in enumerate(parts):
        left = parts[index:]
        share = part.share / sum(other.share for other in left)
        asked.append(ask(part, setting, share * max(0.0, until - time.monotonic())))
        write_page(page, command, facts, asked, [other.name for other in left[1:]])
        say(asked[-1].line)
    say(f"{time.monotonic() - began:.0f} s in all; the page is {page}")
    return int(any(one.answer.verdict == FAIL for one in asked))


def ask(part: Part, setting: Setting, seconds: float) -> Asked:
    """Ask one part, whose programs are ended after so many seconds."""
    programs = Programs(setting.folder / "printed", seconds)
    began = time.monotonic()
    try:
        answer = part.run(setting, programs)
    except StepEnd as end:
        answer = Answer(str(end), verdict=end.verdict)
    except Exception as error:  # Whatever happens is the answer.
        traceback.print_exc()
        answer = Answer(error_line(error), verdict=FAIL)
    tail = list(programs.last_words(_TAIL)) if answer.verdict == FAIL else []
    return Asked(part, answer, time.monotonic() - began, tail)


def _select(flags: CheckFlags) -> Device:
    """Return the device.

    Raises:
        UsageError: it is not there.
    """
    try:
        return select_device(flags.device, flags.device_id)
    except UsageError as error:
        words, is_missing, _ = str(error).partition(_ELSEWHERE)
        if not is_missing:
            raise
        raise UsageError(f"{words}: it takes a GPU and a torch with CUDA; {_TINY}") from error


def make_setting(flags: CheckFlags, folder: Path, device: Device) -> Setting:
    """Return the setting, with the data and the model that are to be had."""
    if flags.size == "tiny":
        data, model = folder / "made" / "SST-2", folder / "made" / "model"
        make_material(data, model, MADE_SHAPE)
        return Setting(folder, flags.size, device, data, model)
    data_path = (flags.data_path or ROOT / "dataset").resolve()
    data = None if _missing_of_data(data_path) else data_path / "SST-2"
    name = Path(DEFAULT_MODEL)
    others = (ROOT / name, data_path / name, data_path / name.name)
    found = (path for path in (flags.model_path, *others) if path and _has_model(path))
    model = next(found, None)
    return Setting(folder, flags.size, device, data, model and model.resolve())


def main(words: Sequence[str]) -> int:
    """Parse the flags and check; returns the exit status."""
    sys.stdout.reconfigure(errors="replace")  # A terminal without × is no reason to fail.
    return run_command(parser_of(CheckFlags, "check_gpu", __doc__), check, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
