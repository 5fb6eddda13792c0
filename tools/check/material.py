"""Sentences that a small network learns in seconds, and that network; nothing is fetched for them."""

from __future__ import annotations

import random
from pathlib import Path

import torch

from model.checkpoint import build_model, save_model
from model.configuration_albert import AlbertConfig
from model.file_names import VOCABULARY_NAMES
from model.vocabulary_training import train_vocabulary

_OPINIONS = (
    ("a dull film", "we hated it", "the acting is terrible", "a tired story", "too long by half"),
    ("a fine film", "we loved it", "the acting is wonderful", "a warm story", "much too short"),
)
_FILLERS = ("in the city", "by the sea", "from start to end", "as they say", "with many scenes")
_EXAMPLES = {"train": 1600, "dev": 100}
_SEED = 5


def _sentences(count: int, seed: int) -> list[tuple[str, int]]:
    generator = random.Random(seed)
    rows = []
    for _ in range(count):
        label = generator.randrange(2)
        fillers = generator.choices(_FILLERS, k=generator.randrange(4))
        words = [generator.choice(_OPINIONS[label]), *fillers]
        generator.shuffle(words)
        rows.append((" ".join(words), label))
    return rows


def make_material(data: Path, model: Path, config: AlbertConfig) -> None:
    """Write sentences as SST-2's files, and the folder of a network with random weights.

    Args:
        data, model: the folders.
        config: the network's shape.
    """
    data.mkdir(parents=True, exist_ok=True)
    model.mkdir(parents=True, exist_ok=True)
    texts: list[str] = []
    for seed, (split, count) in enumerate(_EXAMPLES.items(), start=_SEED):
        rows = _sentences(count, seed)
        lines = "".join(f"{text}\t{label}\n" for text, label in rows)
        (data / f"{split}.tsv").write_text(f"sentence\tlabel\n{lines}", encoding="utf-8")
        texts += [text for text, _ in rows]
    # A text of so few words makes fewer pieces than may be.
    vocabulary = train_vocabulary(texts, config.vocab_size, hard_vocab_limit=False)
    (model / VOCABULARY_NAMES[0]).write_bytes(vocabulary)
    torch.manual_seed(_SEED)
    save_model(build_model(config), model, with_classifier=False)
