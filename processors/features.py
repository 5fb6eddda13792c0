"""Examples → token ids, kept as flat arrays and cached on disk by content."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from model.file_kinds import why_missing
from model.files import digest, remove_temporary_files, write_whole
from model.tokenizer import Tokenizer
from processors.glue import Task
from processors.reading import Examples, read_examples

logger = logging.getLogger(__name__)

_FORMAT = 4  # Raise this part of the cache's key when the arrays below change their meaning.
_CHECKSUM = "sha256"  # The header of a file has it under this name.


@dataclass(frozen=True)
class Features:
    """N tokenized examples without padding.

    Attributes:
        input_ids: [T] int32, all examples one after the other, each ``[CLS] a [SEP]`` or
            ``[CLS] a [SEP] b [SEP]``.
        offsets: [N + 1] int64; example i is ``input_ids[offsets[i]:offsets[i + 1]]``.
        first_lengths: [N] int32, how many tokens of the example have token type 0.
        labels: [N] int64 classes or float32 targets, or [N, C] float32, 0 and 1 for each of C labels;
            empty for a test file without.
        cut: [N] whether the example was longer, and lost tokens; empty where that is not known.
    """

    input_ids: np.ndarray
    offsets: np.ndarray
    first_lengths: np.ndarray
    labels: np.ndarray
    cut: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def __len__(self) -> int:
        return len(self.first_lengths)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example: [N] int64."""
        return np.diff(self.offsets)

    def checksum(self) -> str:
        """Return the SHA-256 of the arrays, their names, types and shapes."""
        total = hashlib.sha256()
        for item in fields(self):
            array = getattr(self, item.name)
            total.update(f"{item.name} {array.dtype} {array.shape}".encode())
            total.update(array)
        return total.hexdigest()

    def save(self, path: Path) -> None:
        """Write them to ``path``, whole or not at all.

        Raises:
            OSError: the file cannot be written; a :class:`model.files.DiskError` where the disk is full.
        """
        write_whole(path, save(vars(self), {_CHECKSUM: self.checksum()}))

    @classmethod
    def load(cls, path: Path) -> Features:
        """Return what :meth:`save` wrote to ``path``.

        Raises:
            ValueError: the file is damaged, or holds something else.
        """
        try:
            # Torch's reader maps the file, where NumPy's copies it: processes of one machine share the
            # pages. The mapping is private, so the arrays may be written to; and a file that is written
            # anew gets its name by a rename, which leaves the mapped one as it is.
            with safe_open(path, framework="pt") as file:
                names = [item.name for item in fields(cls)]
                features = cls(**{name: file.get_tensor(name).numpy() for name in names})
                checksum = (file.metadata() or {}).get(_CHECKSUM)
        except (SafetensorError, TypeError, OSError) as error:
            raise ValueError(str(error)) from error
        if checksum != features.checksum():
            raise ValueError("its checksum is another")
        return features


def truncate(
    lengths_a: np.ndarray, lengths_b: np.ndarray, budget: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many tokens of each text stay when the two of a pair may have ``budget`` together.

    Tokens go one at a time from the longer text, from the second on a tie (BERT's rule): of [N] pairs
    10 and 4 tokens long, 5 and 4 stay with a budget of 9.
    """
    excess = np.maximum(lengths_a + lengths_b - budget, 0)
    # First the longer text comes down to the other's length, then they take turns, second first.
    from_longer = np.minimum(excess, np.abs(lengths_a - lengths_b))
    rest = excess - from_longer
    from_a = np.where(lengths_a > lengths_b, from_longer, 0)
    return (
        lengths_a - from_a - rest // 2,
        lengths_b - (from_longer - from_a) - (rest + 1) // 2,
    )


def build_features(
    examples: Examples,
    tokenizer: Tokenizer,
    max_seq_length: int,
    is_regression: bool,
    truncation: str = "head",
) -> Features:
    """Tokenize ``examples``, with special tokens, to ``max_seq_length`` tokens at most.

    Args:
        is_regression: whether their labels are no numbers of classes.
        truncation: which tokens of a text stay, one of :data:`model.configuration_keys.TRUNCATIONS`;
            how many of each text of a pair is :func:`truncate`'s.
    """
    pairs = examples.texts_b is not None
    ids_a, lengths_a = tokenizer.encode_flat(examples.texts_a)
    if pairs:
        ids_b, lengths_b = tokenizer.encode_flat(examples.texts_b)
    else:
        ids_b, lengths_b = ids_a[:0], np.zeros_like(lengths_a)
    kept_a, kept_b = truncate(lengths_a, lengths_b, max_seq_length - (3 if pairs else 2))
    first_lengths = kept_a + 2
    offsets = np.zeros(len(first_lengths) + 1, dtype=np.int64)
    np.cumsum(first_lengths + kept_b + pairs, out=offsets[1:])
    starts = offsets[:-1]
    flat = np.full(offsets[-1], tokenizer.sep_id, dtype=np.int32)  # The rest is written over.
    flat[starts] = tokenizer.cls_id
    flat[_places(starts + 1, kept_a)] = ids_a[_kept_places(lengths_a, kept_a, truncation)]
    flat[_places(starts + first_lengths, kept_b)] = ids_b[
        _kept_places(lengths_b, kept_b, truncation)
    ]
    return Features(
        input_ids=flat,
        offsets=offsets,
        first_lengths=first_lengths.astype(np.int32),
        labels=np.array(examples.labels or [], dtype=np.float32 if is_regression else np.int64),
        cut=kept_a + kept_b < lengths_a + lengths_b,
    )


def _kept_places(lengths: np.ndarray, kept: np.ndarray, truncation: str) -> np.ndarray:
    """Return where the tokens that stay are, when [N] texts of such lengths stand one after the other.

    Args:
        kept: [N] how many stay of each.
    """
    places = _places(_starts(lengths), kept)
    if truncation == "head":
        return places
    from_head = kept // 4 if truncation == "head+tail" else np.zeros_like(kept)
    # What comes after those moves to the end of its text; where all stays, by nothing.
    after = places - np.repeat(_starts(lengths), kept) >= np.repeat(from_head, kept)
    return places + after * np.repeat(lengths - kept, kept)


def _starts(lengths: np.ndarray) -> np.ndarray:
    """Return where each of the texts begins when they stand one after the other."""
    return np.cumsum(lengths) - lengths


def _places(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return ``counts[i]`` indices from ``starts[i]`` on, for each i after the one before."""
    return np.repeat(starts - _starts(counts), counts) + np.arange(counts.sum())


def load_features(
    task: Task,
    path: Path,
    split: str,
    tokenizer: Tokenizer,
    max_seq_length: int,
    overwrite_cache: bool = False,
    truncation: str = "head",
    writes_cache: bool = True,
) -> Features:
    """Return the features of one file of a split, from the cache beside it where there is one.

    The cache's name is a digest of all that the features depend on, so a change of data, vocabulary or
    flags makes another file. It is written to a temporary name and renamed: a reader never sees half
    of it. One that changed since is built again. Where the folder cannot be written to, the features are
    built each time.

    Raises:
        FileNotFoundError, ValueError: as :func:`processors.reading.read_examples`.
    """
    if not path.is_file():
        raise FileNotFoundError(why_missing(path) or f"{path} is missing")
    if writes_cache:
        remove_temporary_files(path.parent)  # A run that was killed leaves half a cache.
    key = json.dumps(
        {
            "format": _FORMAT,
            "task": repr(task),
            "data": digest(path),
            "vocabulary": digest(tokenizer.vocabulary_bytes),
            **tokenizer.settings,
            "max_seq_length": max_seq_length,
            "truncation": truncation,
        },
        sort_keys=True,
    )
    name = digest(key.encode())[:16]
    cache = path.with_name(f"cached_{split}_{name}.safetensors")
    if not overwrite_cache and (features := _read_cache(cache)) is not None:
        logger.info("%s: %d examples (from %s)", path, len(features), cache.name)
        return features
    examples = read_examples(task, path, split)
    of_numbers = task.is_regression or task.is_multi_label
    features = build_features(examples, tokenizer, max_seq_length, of_numbers, truncation)
    if writes_cache:
        _write_cache(cache, features)
    logger.info("%s: %d examples, %d tokens", path, len(features), len(features.input_ids))
    return features


def _read_cache(cache: Path) -> Features | None:
    if not cache.is_file():
        return None
    try:
        return Features.load(cache)
    except ValueError as error:
        logger.warning("%s is damaged and is built again: %s", cache, error)
        return None


def _write_cache(cache: Path, features: Features) -> None:
    try:
        features.save(cache)
    except OSError as error:
        logger.warning("features are not cached: %s", error)
