"""Fetch data sets and published weights: python -m tools.download sst-2 sts-b albert_base_v2

Data come from GLUE's own download site, weights from the Hugging Face hub (HF_ENDPOINT names a mirror of
the hub, as it does for Hugging Face's own programs). Files that are there stay as they are; a file
appears under its name only when it is whole, and what was cut off goes on with the next call.
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.cli.errors import UsageError  # tools comes first in every command (tools/tools.py).
from tools.cli.groups import flag, parser_of
from tools.cli.paths import HOME
from tools.cli.program import run_command
from tools.cli.streams import say

# isort: split
from model.files import digest, make_folder, remove_temporary_files, sync, write_whole, writing
from processors.glue import SPLITS, TASKS
from tools.machine.fetching import fetched

GLUE = "https://dl.fbaipublicfiles.com/glue/data"
HUB = "https://huggingface.co"
ARCHIVED = [name for name, task in TASKS.items() if task.archive]
MODELS = {"albert_base_v2": "albert/albert-base-v2"}
MODEL_FILES = ("config.json", "spiece.model", "model.safetensors")
_PART = ".fetching-"  # So begins the name of what is not whole yet.
# This file must be byte for byte the published one: all ids depend on it.
SHA256 = {"spiece.model": "fefb02b667a6c5c2fe27602d28e5fb3428f66ab89c7d6f388e7c8d44a02d0336"}


@dataclass(frozen=True)
class DownloadFlags:
    """What to fetch, where from and where to."""

    assets: Sequence[str] = flag(
        (),
        ", ".join([*ARCHIVED, *MODELS]),
        positional=True,
        nargs="+",
        choices=[*ARCHIVED, *MODELS],
        metavar="ASSET",
    )
    data_path: Path = flag(HOME / "dataset", "where data sets go", type=Path, metavar="DIR")
    model_path: Path = flag(
        HOME / "prev_trained_model", "where models go", type=Path, metavar="DIR"
    )
    glue_url: str = flag(GLUE, "where GLUE's archives are", metavar="URL")

    def __post_init__(self) -> None:
        """See that each flag is about something that is to be fetched.

        Raises:
            UsageError: one is not.
        """
        for name, others, what in (
            ("data_path", ARCHIVED, "data sets"),
            ("glue_url", ARCHIVED, "data sets"),
            ("model_path", MODELS, "models"),
        ):
            given = getattr(self, name) != getattr(DownloadFlags, name)
            if given and not set(self.assets) & set(others):
                raise UsageError(
                    f"--{name} is about {what}, and none is to be fetched: name one ({', '.join(others)}) "
                    "or leave it out"
                )


def write(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whose folder is made if need be, and say so."""
    with writing(path.parent):
        make_folder(path.parent)
    remove_temporary_files(path.parent)  # A download that was killed leaves half a file.
    write_whole(path, data)
    say(f"{path} ({len(data):,} bytes)")


def download_task(name: str, data_path: Path, glue: str) -> None:
    """Fetch GLUE's archive of a task and take its TSV files out of it."""
    task = TASKS[name]
    folder = data_path / task.folder
    paths = [path for split in SPLITS for path in task.paths(folder, split)]
    wanted = [path for path in paths if not path.exists()]
    if not wanted:
        say(f"{folder} is there")
        return
    url = f"{glue}/{task.archive}.zip"
    try:
        with fetched(url, data_path / f"{_PART}{task.archive}.zip") as part:
            archive = zipfile.ZipFile(part)
            for path in wanted:
                write(path, archive.read(f"{task.folder}/{path.name}"))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{url} is not GLUE's archive of {task.folder}: {error}") from error


def download_model(name: str, model_path: Path, hub: str) -> None:
    """Fetch a published ALBERT folder from the hub."""
    for file in MODEL_FILES:
        path = model_path / name / file
        if path.exists():
            say(f"{path} is there")
            continue
        url = f"{hub}/{MODELS[name]}/resolve/main/{file}"
        with fetched(url, path.with_name(f"{_PART}{file}")) as part:
            if file in SHA256 and digest(part) != SHA256[file]:
                raise ValueError(
                    f"{hub}'s {file} of {MODELS[name]} is not the published one (its digest)"
                )
            with writing(path.parent):
                sync(part)
                part.replace(path)
                sync(path.parent)
        say(f"{path} ({path.stat().st_size:,} bytes)")


def download(flags: DownloadFlags) -> None:
    """Fetch what the flags name."""
    for asset in flags.assets:
        if asset in TASKS:
            download_task(asset, flags.data_path, flags.glue_url)
        else:
            download_model(asset, flags.model_path, os.environ.get("HF_ENDPOINT", HUB))


def main(words: Sequence[str]) -> int:
    """Parse the flags and fetch; returns the exit status."""
    return run_command(parser_of(DownloadFlags, "download", __doc__), download, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
