"""Examples → token ids, kept as flat arrays and cached on disk by content."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from model.files import digest, write_whole
from model.tokenization_albert import AlbertTokenizer
from processors.glue import Task
from processors.reading import Example, read_examples

logger = logging.getLogger(__name__)

_FORMAT = 1  # part of the cache's key: raise it when the arrays below change their meaning


@dataclass(frozen=True)
class Features:
    """N tokenized examples without padding.

    Attributes:
        input_ids: [T] int32, all examples one after the other, each ``[CLS] a [SEP]`` or
            ``[CLS] a [SEP] b [SEP]``.
        offsets: [N + 1] int64; example i is ``input_ids[offsets[i]:offsets[i + 1]]``.
        first_lengths: [N] int32, how many tokens of the example have token type 0.
        labels: [N] int64 classes or float32 targets; empty for a test file.
    """

    input_ids: np.ndarray
    offsets: np.ndarray
    first_lengths: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.first_lengths)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example: [N] int64."""
        return np.diff(self.offsets)


def truncate(length_a: int, length_b: int, budget: int) -> tuple[int, int]:
    """Return how many tokens of each text stay when both may have ``budget`` together.

    Tokens go one at a time from the longer text, from the second on a tie (BERT's rule).

    >>> truncate(10, 4, 9)
    (5, 4)
    """
    excess = max(0, length_a + length_b - budget)
    # First the longer text comes down to the other's length, then they take turns, second first.
    from_longer = min(excess, abs(length_a - length_b))
    rest = excess - from_longer
    if length_a > length_b:
        length_a -= from_longer
    else:
        length_b -= from_longer
    return length_a - rest // 2, length_b - (rest + 1) // 2


def build_features(
    examples: list[Example], tokenizer: AlbertTokenizer, max_seq_length: int, is_regression: bool
) -> Features:
    """Tokenize ``examples``, with special tokens, to ``max_seq_length`` tokens at most."""
    first = tokenizer.encode([example.text_a for example in examples])
    pairs = examples[0].text_b is not None
    second = tokenizer.encode([example.text_b or "" for example in examples]) if pairs else None
    flat: list[int] = []
    offsets, first_lengths = [0], []
    for row, ids_a in enumerate(first):
        ids_b = second[row] if second is not None else []
        keep_a, keep_b = truncate(len(ids_a), len(ids_b), max_seq_length - (3 if pairs else 2))
        flat += [tokenizer.cls_id, *ids_a[:keep_a], tokenizer.sep_id]
        first_lengths.append(keep_a + 2)
        if pairs:
            flat += [*ids_b[:keep_b], tokenizer.sep_id]
        offsets.append(len(flat))
    labels = [example.label for example in examples if example.label is not None]
    return Features(
        input_ids=np.array(flat, dtype=np.int32),
        offsets=np.array(offsets, dtype=np.int64),
        first_lengths=np.array(first_lengths, dtype=np.int32),
        labels=np.array(labels, dtype=np.float32 if is_regression else np.int64),
    )


def load_features(
    task: Task,
    path: Path,
    split: str,
    tokenizer: AlbertTokenizer,
    max_seq_length: int,
    overwrite_cache: bool = False,
) -> Features:
    """Return the features of one file of a split, from the cache beside it where there is one.

    The cache's name is a digest of all that the features depend on, so a change of data, vocabulary or
    flags makes another file. It is written to a temporary name and renamed: a reader never sees half
    of it. Where the folder cannot be written to, the features are built each time.

    Raises:
        FileNotFoundError, ValueError: as :func:`processors.reading.read_examples`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    key = json.dumps(
        {
            "format": _FORMAT,
            "task": repr(task),
            "data": digest(path),
            "vocabulary": digest(tokenizer.vocabulary_bytes),
            "do_lower_case": tokenizer.do_lower_case,
            "max_seq_length": max_seq_length,
        },
        sort_keys=True,
    )
    name = digest(key.encode())[:16]
    cache = path.with_name(f"cached_{split}_{name}.safetensors")
    if not overwrite_cache and (features := _read_cache(cache)) is not None:
        logger.info("%s: %d examples (from %s)", path, len(features), cache.name)
        return features
    examples = read_examples(task, path, split)
    features = build_features(examples, tokenizer, max_seq_length, task.is_regression)
    _write_cache(cache, features)
    logger.info("%s: %d examples, %d tokens", path, len(features), len(features.input_ids))
    return features


def _read_cache(cache: Path) -> Features | None:
    if not cache.is_file():
        return None
    try:
        return Features(**load_file(cache))
    except (SafetensorError, TypeError, OSError) as error:
        logger.warning("%s is damaged and is built again: %s", cache, error)
        return None


def _write_cache(cache: Path, features: Features) -> None:
    arrays = {field.name: getattr(features, field.name) for field in fields(features)}
    try:
        write_whole(cache, save(arrays))
    except OSError as error:
        logger.warning("features are not cached: %s", error)
