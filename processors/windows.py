"""Texts that are longer than a model's inputs, as windows that overlap: all of a text is seen."""

from __future__ import annotations

import numpy as np

from model.tokenizer import Tokenizer
from processors.features import Features


def build_windows(
    texts: list[str], tokenizer: Tokenizer, max_seq_length: int, stride: int
) -> tuple[Features, np.ndarray]:
    """Tokenize N texts to windows of ``max_seq_length`` tokens at most, special ones among them.

    Args:
        stride: by how many tokens a window begins after the one before, from 1 to ``max_seq_length`` - 2.
            The last one ends with its text, and so may come sooner.

    Returns:
        the windows, text by text; and [N] how many each text has, 1 or more.
    """
    ids, lengths = tokenizer.encode_flat(texts)
    size = max_seq_length - 2
    excess = np.maximum(lengths - size, 0)
    counts = 1 + -(-excess // stride)
    texts_of = np.repeat(np.arange(len(lengths)), counts)
    numbers = np.arange(len(texts_of)) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = np.minimum(numbers * stride, excess[texts_of])
    begins += (np.cumsum(lengths) - lengths)[texts_of]
    kept = np.minimum(lengths, size)[texts_of]
    cls, sep = [tokenizer.cls_id], [tokenizer.sep_id]
    parts = [
        np.concatenate([cls, ids[begin : begin + count], sep])
        for begin, count in zip(begins, kept, strict=True)
    ]
    features = Features(
        input_ids=np.concatenate(parts).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(kept + 2)]).astype(np.int64),
        first_lengths=(kept + 2).astype(np.int32),
        labels=np.zeros(0, np.int64),
    )
    return features, counts


def mean_of_windows(logits: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the mean over each text's windows: [W, C] logits of them → [N, C] in the same type.

    Args:
        counts: [N] windows of each text; they sum up to W.
    """
    starts = np.cumsum(counts) - counts
    sums = np.add.reduceat(logits.astype(np.float64), starts)
    return (sums / counts[:, None]).astype(logits.dtype)
