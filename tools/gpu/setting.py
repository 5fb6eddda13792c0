"""What the parts of a check of a GPU are made with: sizes, folders, the device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.checkpoint import find_weights
from model.configuration_albert import AlbertConfig
from tools.machine.device import Device

SIZES = ("full", "tiny")


@dataclass(frozen=True)
class Comparison:
    """One run of the benchmark; ``flags`` are its own beside those that all have."""

    batch_size: int
    contenders: tuple[str, ...]
    flags: tuple[object, ...]


@dataclass(frozen=True)
class Sizes:
    """How large the numbers are.

    Attributes:
        small, large: what is compared at a batch that waits for the host, and at one that does not.
        max_seq_length: of all parts but the profile.
        launcher_batch: of the launchers' run.
        shapes: examples and tokens of the steps whose kernels are listed.
        steps: of the profile: those timed, those looked into.
        seeds: with each of which the short training is done.
        short_training: its flags.
    """

    small: Comparison
    large: Comparison
    max_seq_length: int
    launcher_batch: int
    shapes: tuple[tuple[int, int], ...]
    steps: tuple[int, int]
    seeds: tuple[int, ...]
    short_training: tuple[object, ...]


# Of the network that is trained for a moment, where there is no other.
MADE_SHAPE = AlbertConfig(
    vocab_size=200,
    embedding_size=32,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=128,
    initializer_range=0.1,
)
_SIZES = {
    "full": Sizes(
        small=Comparison(
            32, ("ours-bucket", "hf-grouped", "ours-eval", "hf-eval"), ("--sample", 40)
        ),
        # A turn of static batches has a sixteenth of these.
        large=Comparison(
            440,
            ("ours-bucket", "hf-grouped", "ours-static-128", "hf-sdpa-static-128"),
            ("--sample", 80),
        ),
        max_seq_length=128,
        launcher_batch=440,
        shapes=((32, 14), (440, 128)),
        steps=(20, 5),
        seeds=(1, 2, 3),
        # As test/train_demo_1p.sh has them.
        short_training=("--batch_size", 32, "--learning_rate", 5e-3, "--num_train_epochs", 4),
    ),
    "tiny": Sizes(
        small=Comparison(8, ("ours-bucket",), ("--rounds", 1, "--sample", 2, "--threads", 1)),
        large=Comparison(8, ("ours-static-16",), ("--rounds", 1, "--sample", 2, "--threads", 1)),
        max_seq_length=32,
        launcher_batch=64,
        shapes=((8, 14),),
        steps=(2, 1),
        seeds=(1, 2),
        short_training=("--batch_size", 32, "--learning_rate", 1e-2, "--max_steps", 20),
    ),
}


@dataclass(frozen=True)
class Setting:
    """One check.

    Attributes:
        folder: where all results go.
        size: one of :data:`SIZES`.
        device: what is asked.
        data: holds SST-2's files; None where there are none.
        model: holds config.json and the vocabulary; None where there are none.
    """

    folder: Path
    size: str
    device: Device
    data: Path | None
    model: Path | None

    @property
    def sizes(self) -> Sizes:
        """How large the numbers are."""
        return _SIZES[self.size]

    @property
    def of_device(self) -> tuple[object, ...]:
        """The flags that name the device, those of all programs here."""
        return "--device", self.device.type, "--device_id", self.device.index

    @property
    def has_weights(self) -> bool:
        """Whether the model's folder has weights to start from, too."""
        try:
            find_weights(self.model)
        except FileNotFoundError:
            return False
        return True
