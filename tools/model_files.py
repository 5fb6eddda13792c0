"""Which files a run reads: found before anything is computed, or one line on what is missing."""

from __future__ import annotations

import logging
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path

from model.checkpoint import WEIGHTS_NAMES, find_weights, has_classifier
from model.configuration_albert import CONFIG_NAME, AlbertConfig
from model.tokenization_albert import VOCABULARY_NAMES, AlbertTokenizer, find_vocabulary
from processors.custom import CUSTOM, NOT_READ_YET, as_regression, with_labels
from processors.glue import Task
from tools.arguments import DEFAULT_MODEL
from tools.errors import UsageError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelFiles:
    """Where a model's parts are; ``weights`` is a folder, or None for random weights."""

    config: Path
    vocabulary: Path
    weights: Path | None


def find_inputs(args: Namespace) -> ModelFiles:
    """Return the files of the model to start from, after a look at all files the flags call for.

    Without --do_train that is the model an earlier run left in --output_dir (as in the references),
    or --model_name_or_path if that one is trained and --output_dir has none or was not named.

    Raises:
        UsageError: --do_eval or --do_predict without a trained model.
        FileNotFoundError: files are missing; names them and the command that gets them.
    """
    folder = args.model_name_or_path if args.do_train else _trained_folder(args)
    missing, assets = _missing_data(args.task, args), []
    if missing and args.task.archive:
        assets.append(args.task.name)
    elif missing and args.task.name != CUSTOM:
        missing.append(f"dataset/README.md says where {args.task.folder} is to be had")
    try:
        config = _config_file(args.config_name or folder)
        vocabulary = _vocabulary_file(args, folder)
        weights = None if args.random_init and args.do_train else find_weights(folder).parent
    except FileNotFoundError as error:
        missing.append(str(error))
        if folder == Path(DEFAULT_MODEL):
            assets.append(folder.name)
    if missing:
        raise FileNotFoundError("; ".join(missing) + _remedy(assets, args))
    return ModelFiles(config, vocabulary, weights)


def settle_task(args: Namespace, config: AlbertConfig) -> Task:
    """Return the task with its classes: a trained model has its own order, a custom task its own names.

    Raises:
        UsageError: the flags ask a classifier for a number.
        FileNotFoundError, ValueError: as :func:`processors.custom.with_labels`.
    """
    task, known = args.task, tuple(config.labels)
    if args.do_train:
        return with_labels(task, args.data_dir) if task.labels == NOT_READ_YET else task
    if task.name == CUSTOM and (config.num_labels == 1) != task.is_regression:
        if task.is_regression:
            raise UsageError(f"--regression, but the model tells {len(known)} classes apart")
        return as_regression(task)
    if task.labels == NOT_READ_YET or set(task.labels or ()) == set(known):
        return replace(task, labels=known)
    if task.labels and len(task.labels) == len(known) and config.id2label:
        logger.warning(
            "the model's classes are called %s; they are taken for the task's %s, in this order",
            ", ".join(known),
            ", ".join(task.labels),
        )
    return task


def check_sizes(config: AlbertConfig, task: Task, max_seq_length: int) -> None:
    """See that the model can take the task's inputs.

    Raises:
        ValueError: the task has pairs, the model only one token type.
        UsageError: the inputs are longer than the model allows.
    """
    if task.has_pairs and config.type_vocab_size < 2:
        raise ValueError(f"{task.folder} has pairs, but the model's type_vocab_size is 1")
    if max_seq_length > config.max_position_embeddings:
        raise UsageError(
            f"--max_seq_length {max_seq_length} is more than the model's "
            f"{config.max_position_embeddings} positions"
        )


def check_vocabulary(config: AlbertConfig, tokenizer: AlbertTokenizer) -> None:
    """See that the model knows every piece of the vocabulary; a warning tells of a smaller one.

    Raises:
        ValueError: the vocabulary has more pieces than the model.
    """
    if tokenizer.vocab_size < config.vocab_size:
        logger.warning(
            "%s has %d pieces, fewer than the model's vocab_size %d: is it the model's own?",
            tokenizer.vocabulary,
            tokenizer.vocab_size,
            config.vocab_size,
        )
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"{tokenizer.vocabulary} has {tokenizer.vocab_size} pieces, "
            f"but the model's vocab_size is {config.vocab_size}"
        )


def _missing_data(task: Task, args: Namespace) -> list[str]:
    files = [path for split in args.splits for path in task.paths(args.data_dir, split)]
    return [f"{file} is missing" for file in files if not file.is_file()]


def _config_file(path: str | Path) -> Path:
    named = Path(path).suffix == ".json"
    file = Path(path) if named else Path(path) / CONFIG_NAME
    if file.is_file():
        return file
    if named:
        raise FileNotFoundError(f"{file} is missing (--config_name)")
    raise FileNotFoundError(
        f"no model in {file.parent}: looked for {CONFIG_NAME}, {' or '.join(VOCABULARY_NAMES)}, "
        f"{' or '.join(WEIGHTS_NAMES)}"
    )


def _vocabulary_file(args: Namespace, folder: Path) -> Path:
    if args.spm_model_file:
        return Path(args.spm_model_file)
    return find_vocabulary(args.tokenizer_name or folder)


def _remedy(assets: list[str], args: Namespace) -> str:
    if not assets:
        return ""
    command = f"python -m tools.download {' '.join(assets)}"
    default_data = Path("dataset") / args.task.folder
    if args.task.name in assets and args.data_dir != default_data:
        return f"; give --data_dir the folder that has them, or get them: {command}"
    return f"; get them with: {command}"


def _trained_folder(args: Namespace) -> Path:
    own, given = args.output_dir, args.model_name_or_path
    candidates = [given, own] if args.model_given and not args.output_dir_given else [own, given]
    for folder in candidates:
        if has_classifier(folder):
            return folder
    raise UsageError(
        f"there is no trained model in {own} or {given}: add --do_train, or name its folder with "
        "--model_name_or_path"
    )
