"""The shape of an ALBERT model, read from and written to ``config.json`` in Hugging Face's keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

CONFIG_NAME = "config.json"
_PAIRS_KEY = "sentence_pairs"  # This project's own in config.json; other tools leave it alone.
HIDDEN_ACTS = ("gelu", "gelu_new", "relu", "silu", "swish", "tanh")


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
        problem_type: ``single_label_classification`` or ``regression``.
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
        for name in (
            "vocab_size",
            "embedding_size",
            "hidden_size",
            "num_hidden_layers",
            "num_hidden_groups",
            "inner_group_num",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
            "type_vocab_size",
            "num_labels",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} is {value!r}, not a whole number above 0")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < 1:
                raise ValueError(f"{name} is {value!r}, not a number in [0, 1)")
        for name in ("layer_norm_eps", "initializer_range", "classifier_input_shift"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value >= 0:
                raise ValueError(f"{name} is {value!r}, not a number from 0")
        if not isinstance(self.pad_token_id, int) or not 0 <= self.pad_token_id < self.vocab_size:
            raise ValueError(f"pad_token_id is {self.pad_token_id!r}, not an id of the vocabulary")
        if self.hidden_act not in HIDDEN_ACTS:
            raise ValueError(
                f"hidden_act is {self.hidden_act!r}, not one of {', '.join(HIDDEN_ACTS)}"
            )
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}"
            )
        if self.num_hidden_layers < self.num_hidden_groups:
            raise ValueError(
                f"num_hidden_groups {self.num_hidden_groups} is more than "
                f"num_hidden_layers {self.num_hidden_layers}"
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
    def has_pairs(self) -> bool | None:
        """Whether the classifier was trained on pairs of texts; None where nothing says so."""
        value = self.extra.get(_PAIRS_KEY)
        return value if isinstance(value, bool) else None

    def set_task(self, labels: Sequence[str] | None, has_pairs: bool | None = None) -> None:
        """Make this a classifier into ``labels``, or a regression (one output) if that is None.

        Args:
            labels: the classes in the order of the outputs.
            has_pairs: whether its inputs are pairs of texts, if that is known.
        """
        self.extra.pop(_PAIRS_KEY, None)
        if has_pairs is not None:
            self.extra[_PAIRS_KEY] = has_pairs
        self.num_labels = 1 if labels is None else len(labels)
        self.id2label = None if labels is None else dict(enumerate(labels))
        self.problem_type = "regression" if labels is None else "single_label_classification"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> AlbertConfig:
        """Build a configuration from the keys of a ``config.json``."""
        names = {f.name for f in fields(cls)} - {"extra"}
        known = {key: value for key, value in values.items() if key in names}
        extra = {key: value for key, value in values.items() if key not in names}
        if known.get("id2label"):
            known["id2label"] = {int(index): str(name) for index, name in known["id2label"].items()}
            known.setdefault("num_labels", len(known["id2label"]))
        extra.pop("label2id", None)  # It is derived from id2label when written.
        return cls(**known, extra=extra)

    @classmethod
    def from_file(cls, path: str | Path) -> AlbertConfig:
        """Read ``path``, a ``config.json`` or the folder that holds one.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not JSON, not an object, or not ALBERT's.
        """
        path = Path(path)
        if path.is_dir():
            path = path / CONFIG_NAME
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError("it holds no JSON object")
            if values.get("model_type", "albert") != "albert":
                raise ValueError(f"its model_type is {values['model_type']!r}, not 'albert'")
            return cls.from_dict(values)
        except FileNotFoundError:
            raise FileNotFoundError(f"{path} is missing") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is no ALBERT configuration: {error}") from error

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
