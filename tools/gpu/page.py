"""The page of a check: what goes into docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model.files import write_whole
from tools.check.outcome import FAIL
from tools.check.versions import describe_computer, describe_packages, output_of
from tools.cli.paths import ROOT
from tools.gpu.answer import Answer, table
from tools.gpu.parts import Part

_PACKAGES = ("torch", "triton", "transformers", "numpy")
_SMI = ("nvidia-smi", "--format=csv,noheader", "--query-gpu=name,driver_version,memory.total")


@dataclass(frozen=True)
class Asked:
    """A part that was asked; ``tail`` are the last words of its programs, where it failed."""

    part: Part
    answer: Answer
    seconds: float
    tail: Sequence[str] = ()

    @property
    def line(self) -> str:
        """All of it in one line."""
        words = " ".join(self.answer.words.split())
        return f"{self.answer.verdict:>16}  {self.part.name}: {words} ({self.seconds:.0f} s)"


def describe_gpu_machine(device_index: int) -> dict[str, str]:
    """Return what the machine and its GPU are, and the versions that count, by what they are of."""
    found = [words.strip() for words in output_of(*_SMI, f"--id={device_index}").split(",")]
    names = ("GPU", "driver", "GPU memory")
    gpu = dict(zip(names, found, strict=True)) if len(found) == len(names) else {"GPU": found[0]}
    commit = output_of("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*")
    return {
        **gpu,
        "CUDA": torch.version.cuda or "none in this torch",
        **describe_packages(*_PACKAGES),
        **describe_computer(),
        "commit": commit,
    }


def write_page(
    file: Path, command: str, facts: Mapping[str, str], asked: Sequence[Asked], left: Sequence[str]
) -> None:
    """Write the page.

    Args:
        facts: of the machine.
        left: names of the parts that have not been asked yet.
    """
    blocks = [
        "## Check of a GPU",
        f"`{command}`",
        table(["machine", ""], [[name, _cell(value)] for name, value in facts.items()]),
    ]
    rows = [
        [one.part.name, one.answer.verdict, _cell(one.answer.words), f"{one.seconds:.0f}"]
        for one in asked
    ]
    blocks.append(table(["part", "verdict", "in words", "seconds"], rows))
    if left:
        blocks.append(f"Not asked: {', '.join(left)}.")
    for one in asked:
        blocks += [f"### {one.part.title}", one.answer.page or f"{one.answer.words}."]
        if one.answer.verdict == FAIL:
            blocks.append("\n".join(["What it printed at last:", "", "```", *one.tail, "```"]))
    write_whole(file, "\n\n".join(blocks) + "\n")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")
