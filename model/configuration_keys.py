"""This project's own keys in ``config.json``, which other tools leave alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from model.json_files import shown

PAIRS_KEY = "sentence_pairs"
COLUMNS_KEY = "text_columns"
SEPARATOR_KEY = "label_separator"
# The digests of a vocabulary hold for the vocab_size that stands under SIZE_KEY.
VOCABULARY_KEY = "vocabulary_sha256"
JSON_KEY = "tokenizer_json_sha256"
SIZE_KEY = "vocabulary_size"
LONGEST_KEY = "max_seq_length"
TRUNCATION_KEY = "truncation"
# What stays of a text that is too long. The last one is a quarter from its head and the rest from its
# tail, as Sun et al. 2019 (arXiv:1905.05583) have it.
TRUNCATIONS = ("head", "tail", "head+tail")
SHORTEST_INPUT = 5  # It is what a pair takes with a token of each text.
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


def check_own_keys(extra: Mapping[str, Any], positions: int) -> None:
    """See that what is said of the vocabulary and of the inputs, if anything is, can be so.

    Args:
        positions: the model's ``max_position_embeddings``.

    Raises:
        ValueError: it cannot.
    """
    _check_vocabulary_keys(extra)
    longest, truncation = extra.get(LONGEST_KEY), extra.get(TRUNCATION_KEY)
    is_whole = isinstance(longest, int) and not isinstance(longest, bool)
    if longest is not None and not (is_whole and SHORTEST_INPUT <= longest <= positions):
        raise ValueError(
            f"{LONGEST_KEY} is {shown(longest)}, not a whole number from {SHORTEST_INPUT} to "
            f"max_position_embeddings, {positions}: correct it, or take it out"
        )
    if truncation is not None and truncation not in TRUNCATIONS:
        raise ValueError(
            f"{TRUNCATION_KEY} is {shown(truncation)}, not one of {', '.join(TRUNCATIONS)}: correct it, "
            "or take it out"
        )


def _check_vocabulary_keys(extra: Mapping[str, Any]) -> None:
    size, keys = extra.get(SIZE_KEY), (VOCABULARY_KEY, JSON_KEY)
    there = ", ".join(key for key in (*keys, SIZE_KEY) if key in extra)
    remedy = f"correct it, or take out {there}"
    for key in keys:
        sha256 = extra.get(key)
        if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
            raise ValueError(f"{key} is {shown(sha256)}, not 64 hexadecimal digits: {remedy}")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise ValueError(f"{SIZE_KEY} is {shown(size)}, not a whole number above 0: {remedy}")
