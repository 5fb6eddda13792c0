"""The shape of an ALBERT model, read from and written to ``config.json`` in Hugging Face's keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from model.configuration_checks import check_numbers
from model.configuration_keys import (
    COLUMNS_KEY,
    JSON_KEY,
    LONGEST_KEY,
    PAIRS_KEY,
    SEPARATOR_KEY,
    SIZE_KEY,
    TRUNCATION_KEY,
    VOCABULARY_KEY,
    check_own_keys,
)
from model.file_kinds import AGAIN
from model.file_names import CONFIG_NAME
from model.json_files import read_json_object, shown
from model.machine_memory import machine_memory

MULTI_LABEL = "multi_label_classification"
PROBLEM_TYPES = ("single_label_classification", "regression", MULTI_LABEL)
# These have a classifier under the same name that is none of sequences.
_OTHER_CLASSIFIERS = {
    "AlbertForTokenClassification": "of tokens",
    "AlbertForMultipleChoice": "of the choices in a multiple choice",
}

# What is to stand in a file: other tools have other defaults, and some of these no weight's shape tells.
_ESSENTIAL = (
    *("vocab_size", "embedding_size", "hidden_size"),
    *("num_hidden_layers", "num_attention_heads", "intermediate_size"),
)


@dataclass
class AlbertConfig:
    """Hyper-parameters of ALBERT (Lan et al. 2020, arXiv:1909.11942) and its classifier.

    The defaults are albert_base_v2's. Keys of ``config.json`` that are not fields here (``architectures``,
    ``bos_token_id`` …) are kept in ``extra`` and written back unchanged.

    Attributes:
        classifier_dropout_prob: dropout before the classifier. None means the reference's rule:
            ``hidden_dropout_prob``, or 0.1 where that is 0.
        classifier_input_shift: added to the pooled vector before that dropout. albert_pytorch adds
            0.1, Hugging Face nothing. See docs/differences.md.
        pad_token_id: None stands for 0.
        problem_type: one of :data:`PROBLEM_TYPES`; another's only until :meth:`set_task` makes this the
            model of a task.
        id2label: label names by output index.

    Raises:
        ValueError: a field has a value no ALBERT can have.
    """

    vocab_size: int = 30000
    embedding_size: int = 128
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_hidden_groups: int = 1
    inner_group_num: int = 1
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout_prob: float | None = None
    classifier_input_shift: float = 0.0
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    num_labels: int = 2
    id2label: dict[int, str] | None = None
    problem_type: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_numbers(vars(self))
        if self.pad_token_id is None:  # So does another tool write what nothing was said of.
            self.pad_token_id = 0
        pad = self.pad_token_id
        if not isinstance(pad, int) or isinstance(pad, bool) or not 0 <= pad < self.vocab_size:
            raise ValueError(f"pad_token_id is {shown(pad)}, not an id of the vocabulary")
        check_own_keys(self.extra, self.max_position_embeddings)
        if self.id2label and self.id2label.keys() != set(range(self.num_labels)):
            numbers = shown(sorted(self.id2label))
            raise ValueError(
                f"num_labels is {self.num_labels}, but id2label names the classes {numbers}: one of the "
                "two is wrong"
            )

    @property
    def classifier_dropout(self) -> float:
        """Dropout probability before the classifier (the reference's rule where none is given)."""
        if self.classifier_dropout_prob is not None:
            return self.classifier_dropout_prob
        return self.hidden_dropout_prob or 0.1

    @property
    def labels(self) -> list[str]:
        """Class names by output index; the index itself where ``id2label`` has none."""
        names = self.id2label or {}
        return [names.get(index, str(index)) for index in range(self.num_labels)]

    @property
    def is_multi_label(self) -> bool:
        """Whether an input has any number of the classes."""
        return self.problem_type == MULTI_LABEL

    @property
    def label_separator(self) -> str | None:
        """What stood between the labels of an example in the training; None where nothing says so."""
        value = self.extra.get(SEPARATOR_KEY)
        return value if self.is_multi_label and isinstance(value, str) and value else None

    @property
    def is_of_huggingface(self) -> bool:
        """Whether transformers or a tool of its kind wrote it: albert_pytorch says no ``model_type``."""
        own = {VOCABULARY_KEY, JSON_KEY} & self.extra.keys()
        return "model_type" in self.extra and not own

    @property
    def has_pairs(self) -> bool | None:
        """Whether the classifier was trained on pairs of texts; None where nothing says so."""
        value = self.extra.get(PAIRS_KEY)
        return value if isinstance(value, bool) else None

    @property
    def text_columns(self) -> tuple[str, ...] | None:
        """The columns of the texts that the classifier was trained on; None where nothing says so."""
        names = self.extra.get(COLUMNS_KEY)
        is_list = isinstance(names, list) and len(names) in (1, 2)
        return tuple(names) if is_list and all(isinstance(name, str) for name in names) else None

    def set_text_columns(self, names: Sequence[str]) -> None:
        """Say in which columns of a table the texts are that this is trained on."""
        self.extra[COLUMNS_KEY] = list(names)

    @property
    def other_classifier(self) -> str | None:
        """What the classifier is of, where ``architectures`` says that it is of no sequence."""
        names = self.extra.get("architectures")
        names = names if isinstance(names, list) else [names]
        known = (name for name in names if isinstance(name, str) and name in _OTHER_CLASSIFIERS)
        return next(map(_OTHER_CLASSIFIERS.get, known), None)

    @property
    def vocabulary_sha256(self) -> str | None:
        """The digest of the vocabulary that the model was saved with; None if that is not said.

        It is :func:`model.sentencepiece_file.vocabulary_digest`'s, not that of the file's bytes. It says
        nothing any more where ``vocab_size`` is another than then: other tools extend a vocabulary, and
        write back what they do not know.
        """
        return self._digest(VOCABULARY_KEY)

    @property
    def tokenizer_json_sha256(self) -> str | None:
        """The same of the ``tokenizer.json`` that it was saved with, for a folder that has nothing else.

        It is :func:`model.tokenizer_json.model_digest`'s.
        """
        return self._digest(JSON_KEY)

    def _digest(self, key: str) -> str | None:
        value = self.extra.get(key)
        return value.lower() if value and self.extra.get(SIZE_KEY) == self.vocab_size else None

    def set_vocabulary(self, sha256: str | None, json_sha256: str | None = None) -> None:
        """Say with which vocabulary the model works; None: with any, as before it is trained.

        Args:
            sha256: as :attr:`vocabulary_sha256`.
            json_sha256: as :attr:`tokenizer_json_sha256`.
        """
        for key in (VOCABULARY_KEY, JSON_KEY, SIZE_KEY):
            self.extra.pop(key, None)
        said = {VOCABULARY_KEY: sha256, JSON_KEY: json_sha256}
        if said := {key: value for key, value in said.items() if value is not None}:
            self.extra |= {**said, SIZE_KEY: self.vocab_size}

    @property
    def max_seq_length(self) -> int | None:
        """The most tokens that an input had in the classifier's training; None if nothing says so."""
        return self.extra.get(LONGEST_KEY)

    @property
    def truncation(self) -> str | None:
        """What longer inputs got in its training, of :data:`model.configuration_keys.TRUNCATIONS`.

        None if nothing says so.
        """
        return self.extra.get(TRUNCATION_KEY)

    def set_inputs(self, max_seq_length: int, truncation: str) -> None:
        """Say how long the inputs of the classifier are, and what stays of longer ones."""
        self.extra |= {LONGEST_KEY: max_seq_length, TRUNCATION_KEY: truncation}

    def set_task(
        self,
        labels: Sequence[str] | None,
        has_pairs: bool | None = None,
        label_separator: str | None = None,
    ) -> None:
        """Make this a classifier into ``labels``, or a regression (one output) if that is None.

        Args:
            labels: the classes in the order of the outputs.
            has_pairs: whether its inputs are pairs of texts, if that is known.
            label_separator: what stands between the labels of an input, which has any number of them;
                None: it has one.
        """
        for key in (PAIRS_KEY, SEPARATOR_KEY):
            self.extra.pop(key, None)
        if has_pairs is not None:
            self.extra[PAIRS_KEY] = has_pairs
        self.num_labels = 1 if labels is None else len(labels)
        self.id2label = None if labels is None else dict(enumerate(labels))
        single, number, _ = PROBLEM_TYPES
        self.problem_type = number if labels is None else single
        if label_separator is not None:
            self.problem_type = MULTI_LABEL
            self.extra[SEPARATOR_KEY] = label_separator

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> AlbertConfig:
        """Build a configuration from the keys of a ``config.json``."""
        names = {f.name for f in fields(cls)} - {"extra"}
        known = {key: value for key, value in values.items() if key in names}
        extra = {key: value for key, value in values.items() if key not in names}
        if not known:
            raise ValueError("it has none of ALBERT's keys (hidden_size, vocab_size …)")
        if known.get("id2label") is not None:
            known["id2label"] = _class_names(known["id2label"])
            if known["id2label"] and "num_labels" not in known:
                known["num_labels"] = count = len(known["id2label"])
                if known["id2label"].keys() != set(range(count)):
                    numbers = shown(sorted(known["id2label"]))
                    raise ValueError(f"id2label names the classes {numbers}, not 0 to {count - 1}")
        extra.pop("label2id", None)  # It is derived from id2label when written.
        return cls(**known, extra=extra)

    @classmethod
    def from_file(cls, path: str | Path, is_scored: bool = False) -> AlbertConfig:
        """Read ``path``, a ``config.json`` or the folder that holds one.

        Args:
            is_scored: whether the model is scored as it is, and not trained for a task before.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not JSON, not an object, or not ALBERT's; or the model is larger than this
                machine's memory, or is scored and of a ``problem_type`` that has no scores here.
        """
        path = Path(path)
        if path.is_dir():
            path = path / CONFIG_NAME
        values = read_json_object(path, "ALBERT configuration")
        try:
            if values.get("model_type", "albert") != "albert":
                raise ValueError(f"its model_type is {shown(values['model_type'])}, not 'albert'")
            lacking = [name for name in _ESSENTIAL if name not in values]
            if lacking and any(field.name in values for field in fields(cls)):
                raise ValueError(f"it has no {', '.join(lacking)}: {AGAIN}")
            config = cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{path} is no ALBERT configuration: {error}") from error
        if is_scored and config.problem_type not in (None, *PROBLEM_TYPES):
            raise ValueError(
                f"{path}: problem_type is {shown(config.problem_type)}, and only "
                f"{', '.join(PROBLEM_TYPES)} are scored here: train the model with --do_train, or "
                "correct that line if it is wrong"
            )
        if is_scored and config.other_classifier:
            raise ValueError(
                f"{path}: by its architectures the model's classifier is {config.other_classifier}, not "
                "of whole texts: train the model with --do_train, or correct that line if it is wrong"
            )
        needed, there = 4 * config.weight_count, machine_memory()
        if there is not None and needed > there:
            raise ValueError(
                f"{path} describes a model whose weights take {needed / 2**30:,.0f} GiB, and this machine "
                f"has {there / 2**30:,.0f} GiB of memory: {config.sizes}"
            )
        return config

    @property
    def weight_count(self) -> int:
        """How many numbers the classifier's weights are."""
        narrow, wide, inner = self.embedding_size, self.hidden_size, self.intermediate_size
        rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size
        layer = 4 * wide * (wide + 1) + 2 * wide * inner + inner + wide + 4 * wide
        layers = self.num_hidden_groups * self.inner_group_num * layer
        embeddings = (rows + 2) * narrow + (narrow + 1) * wide
        return embeddings + layers + (wide + 1) * (wide + self.num_labels)

    @property
    def sizes(self) -> str:
        """The fields that :attr:`weight_count` grows with, in words."""
        names = ("vocab_size", "max_position_embeddings", "embedding_size", "hidden_size")
        names += ("intermediate_size", "num_hidden_groups")
        return ", ".join(f"{name} {getattr(self, name)}" for name in names)

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of a ``config.json`` that Hugging Face's AlbertConfig reads too."""
        given = {key: value for key, value in asdict(self).items() if value is not None}
        values = {**given.pop("extra"), **given, "model_type": "albert"}
        # Hugging Face would take its own default otherwise, and the two must agree on the head's dropout.
        values["classifier_dropout_prob"] = self.classifier_dropout
        if self.id2label:
            values["id2label"] = {str(index): name for index, name in self.id2label.items()}
            values["label2id"] = {name: index for index, name in self.id2label.items()}
        return values

    def to_json(self) -> str:
        """Return the text of ``config.json``."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _class_names(value: object) -> dict[int, str]:
    """Return ``id2label`` as ``config.json`` has it, with whole numbers for its keys.

    Raises:
        ValueError: it is no map from 0, 1 … to names, or two classes have one name.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f'id2label is {shown(value)}, not a map as {{"0": "no", "1": "yes"}}')
    names: dict[int, str] = {}
    for key, name in value.items():
        if not isinstance(key, int) and not (key.isascii() and key.isdigit() and len(key) < 10):
            raise ValueError(f"id2label has the key {shown(key)}, not the number of a class")
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise ValueError(f"id2label calls the class {key} {shown(name)}, which is no name")
        if int(key) in names or str(name) in names.values():
            raise ValueError(f"id2label has the class {key}, {shown(name)}, twice")
        names[int(key)] = str(name)
    return names
