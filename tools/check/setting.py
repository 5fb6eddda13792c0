"""What a check is made with: sizes, folders, the device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.configuration_albert import AlbertConfig

SIZES = ("full", "tiny")


@dataclass(frozen=True)
class Sizes:
    """How large the numbers are.

    Attributes:
        network: of the comparison with the CPU and of the memory that a step takes.
        trained: of the short trainings; without dropout, so that they can be compared.
        product: rows and columns of a matrix.
        attention: examples, heads, tokens, size of a head.
        memory: examples and tokens of the step whose memory is measured.
        learning_rate: at which the short trainings learn.
        batch_size, steps: theirs.
        patience: seconds after which a process counts as hung.
        of_launcher: flags of the launchers whose speed is published.
    """

    network: AlbertConfig
    trained: AlbertConfig
    product: int
    attention: tuple[int, int, int, int]
    memory: tuple[int, int]
    learning_rate: float
    batch_size: int
    steps: int
    patience: int
    of_launcher: tuple[str, ...]


def _without_dropout(**options: float) -> AlbertConfig:
    return AlbertConfig(
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout_prob=0.0,
        **options,
    )


def _small(hidden_size: int, initializer_range: float) -> dict[str, float]:
    return {
        "vocab_size": 200,
        "embedding_size": 32,
        "hidden_size": hidden_size,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 2 * hidden_size,
        "max_position_embeddings": 128,
        "initializer_range": initializer_range,
    }


_SIZES = {
    "full": Sizes(
        network=_without_dropout(),
        trained=_without_dropout(**_small(256, 0.05)),
        product=1024,
        attention=(16, 12, 128, 64),
        memory=(440, 128),
        learning_rate=5e-3,
        batch_size=32,
        steps=50,
        patience=60,
        of_launcher=("--", "--padding=max_length"),
    ),
    "tiny": Sizes(
        network=_without_dropout(**_small(32, 0.1)),
        trained=_without_dropout(**_small(32, 0.1)),
        product=64,
        attention=(2, 2, 9, 8),
        memory=(8, 16),
        learning_rate=1e-2,
        batch_size=8,
        steps=20,
        patience=10,
        of_launcher=(
            *("--batch_size=8", "--", "--padding=max_length", "--max_seq_length=32"),
            "--max_steps=8",
        ),
    ),
}


@dataclass(frozen=True)
class Setting:
    """One check.

    Attributes:
        folder: where the steps keep what they make; later ones read it.
        size: one of :data:`SIZES`.
        device_id: the NPU that the steps of one process use.
        data_path: holds ``SST-2/``, for the launchers.
    """

    folder: Path
    size: str
    device_id: int
    data_path: Path

    @property
    def sizes(self) -> Sizes:
        """How large the numbers are."""
        return _SIZES[self.size]

    @property
    def data(self) -> Path:
        """The folder of the sentences that the short trainings learn."""
        return self.folder / "SST-2"

    @property
    def model(self) -> Path:
        """The folder of the network that they start from."""
        return self.folder / "model"
