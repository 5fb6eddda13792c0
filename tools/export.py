"""Make of a trained model a folder that others can use:

python -m tools.export --model outputs/SST-2 --output shipped/sst-2
python -m tools.export --model outputs/SST-2 --output shipped/sst-2 --onnx --int8 --speed

The folder has the weights, the configuration and the tokenizer as transformers' pipeline and Trainer take
them, and a model card, README.md, with the metadata that the Hugging Face hub reads. With --onnx it has
the network as ONNX, model.onnx, which python -m tools.predict --onnx answers from, or onnxruntime alone.

The network is compared with torch on the dev set of the model's training, or on --dev_file: its logits may
differ by 1e-4, and with --int8 the first metric in int8 must lie within the 95 % interval of that in fp32.
Else nothing is written. The folder is there whole or not at all, and takes the place of nothing but an
earlier export that nobody has changed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
from tools.cli.errors import UsageError
from tools.cli.groups import flag, parser_of
from tools.cli.program import run_command
from tools.exporting.names import MAKERS, NETWORK, NETWORK_INT8, check_packages

_LICENSE, _LANGUAGE = re.compile(r"[a-z0-9][a-z0-9.-]*"), re.compile(r"[a-z]{2,3}(-[A-Za-z]+)?")


@dataclass(frozen=True)
class ExportFlags:
    """What is exported, where to, and what with it."""

    model: Path = flag(
        None, "the output folder of a training run", type=Path, required=True, metavar="DIR"
    )
    output: Path = flag(None, "the folder to make", type=Path, required=True, metavar="DIR")
    onnx: bool = flag(False, "also write the network as ONNX (model.onnx)")
    int8: bool = flag(False, "with --onnx: also in int8 (model_int8.onnx), a quarter of the size")
    speed: bool = flag(False, "with --onnx: print how fast it answers beside torch")
    dev_file: Path | None = flag(
        None,
        "labelled examples to check it on, in the format of the training's (default: the dev set of the "
        "training, where it is still there)",
        type=Path,
        metavar="FILE",
    )
    license: str | None = flag(
        None, "for the card, by the hub's name: apache-2.0, mit, cc-by-4.0 …", metavar="NAME"
    )
    language: str | None = flag(
        None,
        "of the texts, for the card: en, zh, de … (default: none is said)",
        metavar="CODE",
    )

    def __post_init__(self) -> None:
        for name in ("int8", "speed"):
            if getattr(self, name) and not self.onnx:
                raise UsageError(f"--{name} is about the network that --onnx writes: give that too")
        for name, pattern in (("license", _LICENSE), ("language", _LANGUAGE)):
            value = getattr(self, name)
            if value and not pattern.fullmatch(value):
                raise UsageError(f"--{name} {value!r} is no name that the hub has for one")
        if self.onnx:
            check_packages("--onnx", MAKERS)


def export(flags: ExportFlags) -> None:
    """Check that the folder may be written, and write it."""
    # It imports torch, which takes seconds, and the flags' errors need not wait for that.
    from tools.exporting.folder import check_output
    from tools.exporting.shipping import Wanted, ship

    asked = {NETWORK: flags.onnx, NETWORK_INT8: flags.int8}
    check_output(flags.output, flags.model, [name for name, is_asked in asked.items() if is_asked])
    wanted = Wanted(flags.onnx, flags.int8, flags.speed, flags.license, flags.language)
    ship(flags.model, flags.output, wanted, flags.dev_file)


def main(words: Sequence[str]) -> int:
    """Parse the flags and export; returns the exit status."""
    sys.stdout.reconfigure(errors="replace")  # A terminal without × or – is no reason to fail.
    return run_command(parser_of(ExportFlags, "export", __doc__), export, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
