"""Which files a run reads: found before anything is computed, or one line on what is missing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from model.checkpoint import find_weights, has_classifier
from model.configuration_albert import AlbertConfig
from model.file_kinds import why_missing, why_no_folder
from model.file_names import CONFIG_NAME, SENTENCEPIECE_NAMES, VOCABULARY_NAMES, WEIGHTS_NAMES
from model.vocabulary import find_vocabulary
from processors.class_names import match_classes, names_nothing
from processors.custom import (
    CUSTOM,
    NOT_READ_YET,
    NOT_SAID,
    as_multi_label,
    as_regression,
    with_labels,
)
from processors.glue import Task
from processors.multi_label import LABEL_SEPARATOR
from processors.reading import read_columns
from tools.cli.errors import UsageError
from tools.cli.paths import DEFAULT_MODEL
from tools.run.data_flags import as_flag_value
from tools.run.flags import Flags, InputFlags
from tools.run.launcher_inputs import missing_of_model
from tools.run.remedies import PUBLISHED_MODEL, download_command, listed
from tools.run.trained import NEEDS_VOCABULARY, why_untrained

logger = logging.getLogger(__name__)

# So ends SentencePiece's own list of its pieces, which the references' command lines name, too.
_LIST_OF_PIECES = ".vocab"
# These flags name the vocabulary, the first of them that is given.
_OF_WORDS = ("spm_model_file", "vocab_file", "tokenizer_name")


@dataclass(frozen=True)
class ModelFiles:
    """Where a model's parts are; ``weights`` is a folder, or None for random weights.

    The flags are those that name the configuration, and the vocabulary, where they are not the folder's.
    """

    config: Path
    vocabulary: Path
    weights: Path | None
    config_flag: str | None = None
    vocabulary_flag: str | None = None


def find_inputs(flags: Flags) -> ModelFiles:
    """Return the files of the model to start from, after a look at all files the flags call for.

    Without --do_train that is the model an earlier run left in --output_dir (as in the references),
    or --model_name_or_path if that one is trained and --output_dir has none or was not named.

    Raises:
        UsageError: --do_eval or --do_predict without a trained model; or files are missing: names them
            and the command that gets them.
    """
    goals, inputs, task = flags.goals, flags.inputs, flags.task
    folder = inputs.model_name_or_path
    if not goals.do_train:
        output_dir, given = flags.records.output_dir, flags.records.output_dir_given
        folder = _trained_folder(folder, output_dir, start_first=inputs.model_given and not given)
    no_data = missing_data(task, inputs.data_dir, flags.splits_read)
    random = inputs.random_init and goals.do_train
    files, no_model = _find_model(inputs, folder, random)
    if no_data or no_model:
        # What a trained model lacks is not to be had; nor is a file that a flag of its own names.
        lacks_model = no_model and goals.do_train and missing_of_model(folder)
        remedies = remedies_for(
            task, inputs.data_dir if no_data else None, folder if lacks_model else None
        )
        named = any(getattr(inputs, name) for name in _OF_WORDS)
        if no_model and not (goals.do_train or named):
            lacks_words = VOCABULARY_NAMES[0] in missing_of_model(folder)
            remedies += [NEEDS_VOCABULARY] if lacks_words else []
        raise UsageError("; ".join([*no_data, *no_model, *remedies]))
    return files


def resolve_task(
    task: Task,
    config: AlbertConfig,
    trains: bool,
    data_dir: Path,
    label_order: tuple[str, ...] | None = None,
) -> Task:
    """Return the task with its classes: a trained model has its own order, a custom task its own names.

    The model's names are matched with the task's by what they mean.

    Args:
        task: as the flags describe it.
        config: of the model to start from or to score.
        trains: whether the task's training file says what the classes are.
        label_order: the classes of the outputs, where the user names them.

    Raises:
        UsageError: the flags ask a classifier for a number, or a model of single texts for pairs; or
            nothing tells which output is which class.
        FileNotFoundError, ValueError: as :func:`processors.custom.with_labels`.
    """
    if trains:
        if task.label_separator == NOT_SAID:
            task = as_multi_label(task, LABEL_SEPARATOR)
        return with_labels(task, data_dir) if task.labels == NOT_READ_YET else task
    if config.has_pairs not in (None, task.has_pairs):
        kinds = ("single texts", "pairs of texts")
        raise UsageError(
            f"the model was trained on {kinds[config.has_pairs]}, and {task.folder} has "
            f"{kinds[task.has_pairs]}: name the model's own task (--task_name, --text_columns)"
        )
    known = tuple(config.labels)
    task = _with_labels_of(task, config)
    if label_order:
        _check_order(task, len(known), label_order)
    is_number = config.num_labels == 1 and not config.is_multi_label
    if task.name == CUSTOM and is_number != task.is_regression:
        if task.is_regression:
            raise UsageError(f"--regression, but the model tells {len(known)} classes apart")
        return as_regression(task)
    if label_order:
        meant = match_classes(task.name, known, label_order)
        if meant not in (None, label_order) and not names_nothing(known):
            logger.warning(
                "--label_order %s: the model itself calls its outputs %s, in this order: leave the flag "
                "out if that is right",
                as_flag_value(label_order),
                _listed(known),
            )
        return replace(task, labels=label_order)
    if task.labels == NOT_READ_YET:
        return replace(task, labels=_names_of_file(task, known, data_dir))
    if task.is_regression or len(task.labels) != len(known):
        return task  # It is said of the weights, which tell it for sure.
    if labels := match_classes(task.name, known, task.labels):
        if labels != known and config.id2label:
            pairs = zip(known, labels, strict=True)
            logger.info("classes: %s", ", ".join(f"{a!r} is {b!r}" for a, b in pairs))
        return replace(task, labels=labels)
    if names_nothing(known) and not config.is_of_huggingface:
        # In albert_pytorch's folders, and this project's first ones, the order is the task's.
        logger.warning(
            "the model does not name its classes; they are taken for the task's %s, in this order",
            _listed(task.labels),
        )
        return task
    raise _unknown_order(known, task.labels)


def _with_labels_of(task: Task, config: AlbertConfig) -> Task:
    """Return the task with any number of labels for an example where the model gives that.

    Raises:
        UsageError: one of the two does, and the other cannot.
    """
    if config.is_multi_label and (task.name != CUSTOM or task.is_regression):
        asked = "--regression" if task.is_regression else f"--task_name {task.name}"
        raise UsageError(
            f"{asked}, but the model gives a text any number of {config.num_labels} labels: score it with "
            f"--task_name {CUSTOM} --multi_label"
        )
    if config.is_multi_label:
        separator = task.label_separator or config.label_separator or LABEL_SEPARATOR
        return as_multi_label(task, separator)
    if task.is_multi_label:
        raise UsageError(
            "--multi_label, but the model gives a text one class or number: leave it out, or train it "
            "with --do_train"
        )
    return task


def _check_order(task: Task, outputs: int, label_order: tuple[str, ...]) -> None:
    given = f"--label_order {as_flag_value(label_order)}"
    if task.is_regression or (outputs == 1 and not task.is_multi_label):
        raise UsageError(f"{given}: the task or the model predicts a number, and has no classes")
    if len(label_order) != outputs:
        raise UsageError(f"{given}: {len(label_order)} classes for a model with {outputs} outputs")
    if task.labels != NOT_READ_YET and set(label_order) != set(task.labels):
        raise UsageError(
            f"{given}: the classes of --task_name {task.name} are {_listed(task.labels)}"
        )


def _names_of_file(task: Task, known: tuple[str, ...], data_dir: Path) -> tuple[str, ...]:
    """Return a model's classes as the dev file of a custom task calls them, if there is one.

    Raises:
        UsageError: the model names none of its classes.
        FileNotFoundError, ValueError: as :func:`processors.reading.read_columns`.
    """
    files = [path for path in task.paths(data_dir, "dev") if path.is_file()]
    found: set[str] = set()
    for path in files:
        cells = read_columns(task, path, "dev", (task.label,))[1][0]
        found.update(name for cell in cells for name in task.labels_in(cell))
    if found <= set(known):
        return known
    matched = match_classes(task.name, known, sorted(found))
    if matched is None and names_nothing(known) and len(found) <= len(known):
        raise _unknown_order(known, sorted(found))
    return matched or known  # What is no class of the model's is said with its line.


def _unknown_order(known: Sequence[str], labels: Sequence[str]) -> UsageError:
    return UsageError(
        f"the model calls its classes {_listed(known)}, and the task {_listed(labels)}: say with "
        "--label_order, in the order of the model's outputs, which of the task's each is, as "
        f"--label_order {as_flag_value(labels)}"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


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


def _find_model(
    inputs: InputFlags, folder: Path, random: bool
) -> tuple[ModelFiles | None, list[str]]:
    """Return a model's files, and what is said of each that is missing; None where one is."""
    missing: list[str] = []

    def find(finder: Callable[..., Path], *where: Any, flag: str | None = None) -> Path | None:
        try:
            return finder(*where)
        except FileNotFoundError as error:
            remedy = f" ({flag}): correct that, or leave it out and take the model's own"
            missing.append(f"{error}{remedy if flag else ''}")
            return None

    if reason := why_no_folder(folder):
        return None, [f"{reason} (--model_name_or_path)"]
    of_config = "--config_name" if inputs.config_name else None
    of_words = next((f"--{name}" for name in _OF_WORDS if getattr(inputs, name)), None)
    config = find(_config_file, inputs.config_name or folder, flag=of_config)
    vocabulary = find(vocabulary_file, inputs, inputs.tokenizer_name or folder, flag=of_words)
    weights = None if random else find(find_weights, folder)
    all_of_folder = not (of_config or of_words)
    if all_of_folder and len(missing) == len(missing_of_model(folder)) == 3:
        missing = [
            f"no model in {folder}: looked for {CONFIG_NAME}, {' or '.join(VOCABULARY_NAMES)}, "
            f"{' or '.join(WEIGHTS_NAMES)}"
        ]
    if missing:
        return None, missing
    folder = None if random else weights.parent
    return ModelFiles(config, vocabulary, folder, of_config, of_words), []


def missing_data(task: Task, data_dir: Path, splits: Sequence[str]) -> list[str]:
    """Return what is said of each file of the splits that is not there."""
    missing = []
    for split in splits:
        # A custom task's files have a flag each.
        flag = f" (--{split}_file): name a file" if task.own_files else " (--data_dir)"
        for file in task.paths(data_dir, split):
            if not file.is_file():
                reason = why_missing(file)
                missing.append(f"{reason}{flag}" if reason else f"{file} is missing")
    return list(dict.fromkeys(missing))


def _config_file(path: str | Path) -> Path:
    """Return ``path`` or what it holds."""
    named = Path(path).is_file() or (Path(path).suffix == ".json" and not Path(path).is_dir())
    file = Path(path) if named else Path(path) / CONFIG_NAME
    if file.is_file():
        return file
    missing = f"{file} is missing" if named else f"no {CONFIG_NAME} in {file.parent}"
    raise FileNotFoundError(why_missing(file) or missing)


class VocabularyFlags(Protocol):
    """What names a vocabulary other than that of the model's folder."""

    spm_model_file: str | None
    vocab_file: str | None
    tokenizer_name: str | None


def vocabulary_file(inputs: VocabularyFlags, folder: str | Path) -> Path:
    """Return the vocabulary that the flags name, or that of ``folder``.

    The references' command lines say 30k-clean.model, and the hub has the same file as spiece.model: where
    the one is not there, the other is taken.
    """
    named = inputs.spm_model_file
    if not named and inputs.vocab_file:
        named = inputs.vocab_file
        if Path(named).suffix == _LIST_OF_PIECES:
            raise UsageError(
                f"--vocab_file {named} lists the pieces of a SentencePiece model, which is needed itself: "
                f"give --spm_model_file the model's {' or '.join(SENTENCEPIECE_NAMES)}"
            )
    if not named:
        if inputs.tokenizer_name and (reason := why_no_folder(Path(folder))):
            raise FileNotFoundError(f"{reason}, which --spm_model_file would take")
        return find_vocabulary(folder)
    file = Path(named)
    if not file.is_file() and file.name in SENTENCEPIECE_NAMES:
        found = find_vocabulary(file.parent)
        logger.info("%s is not there: %s is taken for it", file, found)
        return found
    if file.is_dir():
        raise FileNotFoundError(
            f"{file} is a folder, not a file, which --tokenizer_name would take"
        )
    if not file.is_file():
        raise FileNotFoundError(why_missing(file) or f"{file} is missing")
    return file


def remedies_for(task: Task, data_dir: Path | None, model: Path | None) -> list[str]:
    """Return what can be done about data that ``data_dir`` lacks, and a model that ``model`` lacks."""
    assets, remedies, elsewhere = [], [], []
    data_path = model_path = None
    if data_dir is not None and task.archive:
        assets.append(task.name)
        data_path = data_dir.parent if data_dir.name == task.folder else Path("dataset")
        if data_dir != Path("dataset") / task.folder:
            elsewhere.append("--data_dir")
    elif data_dir is not None and task.name != CUSTOM:
        remedies.append(f"dataset/README.md says where {task.folder} is to be had")
    if model is not None:
        assets.append(PUBLISHED_MODEL)
        is_published = model.name == PUBLISHED_MODEL
        model_path = model.parent if is_published else Path("prev_trained_model")
        if model != Path(DEFAULT_MODEL):
            elsewhere.append("--model_name_or_path")
    if assets:
        command = f"get {listed(assets)} with: {download_command(assets, data_path, model_path)}"
        if elsewhere:
            flags = listed(elsewhere)
            command = f"give {flags} the folder that has the files, or drop {flags} and {command}"
        remedies.append(command)
    return remedies


def _trained_folder(start: Path, output_dir: Path, start_first: bool) -> Path:
    for folder in (start, output_dir) if start_first else (output_dir, start):
        if has_classifier(folder):
            return folder
    reasons = [
        why_untrained(folder) for folder in dict.fromkeys((output_dir, start)) if folder.exists()
    ]
    raise UsageError(
        "; ".join(
            [
                f"there is no trained model in {output_dir} or {start}",
                *reasons,
                "add --do_train, or name its folder with --model_name_or_path",
            ]
        )
    )
