"""Turn a TensorFlow checkpoint of Google's ALBERT into an ALBERT folder of this project:

python -m tools.convert_tf_checkpoint --checkpoint albert_base --output_dir prev_trained_model/mine

Needs TensorFlow: python3 -m pip install -r requirements-tensorflow.txt -c constraints.txt
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tools.cli.require_packages  # noqa: F401 (first: says in one line what is not installed)

# isort: split
import numpy as np

from callback.checkpointing import MODEL_FILES
from model.checkpoint import WEIGHTS_NAMES, save_model
from model.file_kinds import is_zip, read_head, what_it_is
from model.file_names import VOCABULARY_NAMES
from model.files import move_files, temporary_folder
from model.google_albert import (
    CLASSIFIER,
    GOOGLE_CONFIG_NAME,
    build_from_variables,
    is_used,
    read_google_config,
)
from model.tokenizer_export import save_tokenizer
from model.vocabulary import Sources, check_vocabulary, load_tokenizer
from tools.cli.errors import UsageError, first_line
from tools.cli.groups import flag, parser_of
from tools.cli.program import run_command
from tools.cli.streams import say


@dataclass(frozen=True)
class ConvertFlags:
    """What to convert, and the folder to write."""

    checkpoint: Path = flag(
        None,
        "the folder of the checkpoint, or its path up to .index",
        type=Path,
        required=True,
    )
    config: Path | None = flag(
        None, f"default: {GOOGLE_CONFIG_NAME} beside the checkpoint", type=Path
    )
    vocabulary: Path | None = flag(
        None, f"default: {' or '.join(VOCABULARY_NAMES)} beside the checkpoint", type=Path
    )
    output_dir: Path = flag(None, "the folder to write", type=Path, required=True)


def find_checkpoint(path: Path) -> Path:
    """Return what TensorFlow calls a checkpoint: the path of its files without their endings.

    ``path`` is that, or a folder with one checkpoint in it, or in its ``variables/`` (as in a module of
    TensorFlow Hub).

    Raises:
        UsageError: the folder has several.
        FileNotFoundError: there is none.
    """
    if Path(f"{path}.index").is_file():
        return path
    found = sorted(path.glob("*.index")) or sorted(path.glob("variables/*.index"))
    if len(found) > 1:
        names = ", ".join(file.stem for file in found)
        raise UsageError(f"--checkpoint {path} holds {names}: name one, as {path / found[-1].stem}")
    if not found:
        there = [name for name in WEIGHTS_NAMES if (path / name).is_file()]
        of_pytorch = f" ({there[0]} is PyTorch's: use the folder as it is)" if there else ""
        raise FileNotFoundError(
            f"--checkpoint {path}: no TensorFlow checkpoint there{of_pytorch}; give a folder with a "
            "*.index file, or the path of that file without .index"
        )
    return found[0].with_suffix("")


def check_files(checkpoint: Path) -> None:
    """See that the files of a checkpoint are there and are not what a failed download leaves.

    Raises:
        FileNotFoundError: one is missing, or a link that leads nowhere.
        ValueError: one is something else; says what.
    """
    folder = checkpoint.parent
    for file in sorted(folder.glob(f"{glob.escape(checkpoint.name)}.*")):
        if file.suffix == ".index" or ".data-" in file.name:
            head = read_head(file)
            if found := "is a zip archive: unpack it" if is_zip(head) else what_it_is(head):
                raise ValueError(f"{file} {found}")


def find_beside(checkpoint: Path, names: Sequence[str], flag: str) -> Path:
    """Return the first of ``names`` beside the checkpoint, or among a TensorFlow Hub module's assets.

    Raises:
        FileNotFoundError: there is none; says that ``flag`` names one.
    """
    folders = [checkpoint.parent]
    if checkpoint.parent.name == "variables":
        folders.append(checkpoint.parent.parent / "assets")
    for file in (folder / name for folder in folders for name in names):
        if file.is_file():
            return file
    where = " or ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"no {' or '.join(names)} in {where}: name one with {flag}")


def read_variables(checkpoint: Path) -> dict[str, np.ndarray]:
    """Read what a model needs of a checkpoint: arrays by name, without a module's ``module/``.

    Raises:
        ModuleNotFoundError: TensorFlow is not installed.
        ValueError: the checkpoint cannot be read.
    """
    # TensorFlow greets on standard error; that of its oneDNN kernels obeys no log level.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        import tensorflow as tf
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise ModuleNotFoundError(
            f"TensorFlow is not installed in {sys.executable}: python3 -m pip install -r "
            "requirements-tensorflow.txt -c constraints.txt (that file says what is for which machine)"
        ) from error
    try:
        reader = tf.train.load_checkpoint(str(checkpoint))
        full_names = {n.removeprefix("module/"): n for n in reader.get_variable_to_shape_map()}
        return {n: reader.get_tensor(full) for n, full in full_names.items() if is_used(n)}
    # Damaged data raise errors of several types, and TensorFlow's begin with several lines of its own.
    except Exception as error:
        raise ValueError(
            f"{checkpoint} cannot be read as a checkpoint: {first_line(error)}"
        ) from error


def convert(flags: ConvertFlags) -> None:
    """Read the checkpoint and write the folder, whole or not at all."""
    folder = flags.output_dir
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output_dir {folder} is no folder: name another")
    if there := [name for name in MODEL_FILES if (folder / name).exists()]:
        raise UsageError(f"--output_dir {folder} already holds {', '.join(there)}: name another")
    checkpoint = find_checkpoint(flags.checkpoint)
    check_files(checkpoint)
    config_path = flags.config or find_beside(checkpoint, [GOOGLE_CONFIG_NAME], "--config")
    config = read_google_config(config_path)
    tokenizer = load_tokenizer(
        flags.vocabulary or find_beside(checkpoint, VOCABULARY_NAMES, "--vocabulary")
    )
    check_vocabulary(config, tokenizer, Sources(config_path))
    variables = read_variables(checkpoint)
    model = build_from_variables(variables, config, checkpoint, config_path)
    with_classifier = CLASSIFIER["classifier.weight"] in variables
    config.set_vocabulary(tokenizer.digest, tokenizer.json_digest)
    with temporary_folder(folder) as scratch:
        save_model(model, scratch, with_classifier=with_classifier)
        save_tokenizer(tokenizer, scratch, config.max_position_embeddings)
        move_files(scratch, folder)
    head = "no classifier (a pretrained model)"
    if with_classifier:
        head = f"a classifier with {config.num_labels} outputs, input shift 0 as in Google's code"
    say(
        f"{checkpoint}: ALBERT, {config.num_hidden_layers} layers, hidden size {config.hidden_size}, "
        f"{head}; written to {folder}"
    )


def main(words: Sequence[str]) -> int:
    """Parse the flags and convert; returns the exit status."""
    return run_command(parser_of(ConvertFlags, "convert_tf_checkpoint", __doc__), convert, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
