"""What a table of examples is like before anybody trains on it: repeated texts, empty ones, lengths.

A row repeats another where it has the same text, whatever the case and however wide the spaces; the two
texts of a pair may have changed places where the task does not tell them apart (:func:`either_order`).
The first row of a text is none that repeats. A row that repeats one contradicts it where its label is not
that of the text's *first* row. So counted, GLUE's SST-2 has 371 rows that repeat another, 5 of which
contradict it, and STS-B 60 and 16, beside 7 of the 1,500 pairs of dev that stand in train; Elangovan et
al. 2021 (arXiv:2102.01818) say what such overlaps do to scores.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from processors.features import Features
from processors.glue import Task

# Of two texts that say the same, or are alike to some degree, none comes first.
_SYMMETRIC = ("mrpc", "qqp", "lcqmc")
_ID_BYTES = 4
MOST_BARS = 12


def either_order(task: Task) -> bool:
    """Return whether a pair stays the same when its two texts change places.

    A number is taken to say how alike they are.
    """
    return task.has_pairs and (task.is_regression or task.name in _SYMMETRIC)


def text_keys(columns: Sequence[Sequence[str]], symmetric: bool) -> list[Hashable]:
    """Return what is the same for rows of the same text: [N] of one or two columns of N texts.

    Args:
        symmetric: whether the two texts of a pair may change places.
    """
    plain = [[" ".join(text.casefold().split()) for text in column] for column in columns]
    if len(plain) == 1:
        return list(plain[0])
    pairs = zip(*plain, strict=True)
    return [tuple(sorted(pair)) for pair in pairs] if symmetric else list(pairs)


def token_keys(features: Features, symmetric: bool) -> list[Hashable]:
    """Return what is the same for rows of the same tokens, as the model sees them, [N]; as above."""
    data = features.input_ids.astype(np.int32, copy=False).tobytes()
    bounds = (_ID_BYTES * features.offsets).tolist()
    if not symmetric:
        return [data[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    middles = (_ID_BYTES * (features.offsets[:-1] + features.first_lengths)).tolist()
    special = _ID_BYTES  # [CLS] a [SEP] b [SEP]
    return [
        tuple(sorted((data[a + special : m - special], data[m : b - special])))
        for a, m, b in zip(bounds[:-1], middles, bounds[1:], strict=True)
    ]


def first_rows(keys: Sequence[Hashable]) -> np.ndarray:
    """Return for each of N rows the first one with the same key, which may be itself: [N] from 0."""
    seen: dict[Hashable, int] = {}
    rows = (seen.setdefault(key, row) for row, key in enumerate(keys))
    return np.fromiter(rows, np.int64, len(keys))


def rows_among(keys: Sequence[Hashable], others: Sequence[Hashable]) -> np.ndarray:
    """Return for each of N rows the first of the other rows with the same key: [N], -1 where none has."""
    places = {key: row for row, key in reversed(list(enumerate(others)))}
    return np.fromiter((places.get(key, -1) for key in keys), np.int64, len(keys))


def differ(labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which of N labels are not the same: [N] bool of two times [N], or [N, C] 0 and 1."""
    unlike = labels != others
    return unlike.any(axis=1) if unlike.ndim == 2 else unlike


@dataclass(frozen=True)
class Repeats:
    """Rows that repeat an earlier one of their split, and those that stand in train, too.

    Attributes:
        first: [N] the first row of the same text, which may be the row itself.
        contradicts: [N] whether its label is another than that row's.
        in_train: [N] the first row of train with the text, -1 where none has; None for train itself, and
            where there is none.
        contradicts_train: [N] whether its label is another than that row's.
    """

    first: np.ndarray
    contradicts: np.ndarray
    in_train: np.ndarray | None
    contradicts_train: np.ndarray

    @classmethod
    def of(
        cls,
        keys: Sequence[Hashable],
        labels: np.ndarray | None,
        train: tuple[Sequence[Hashable], np.ndarray] | None = None,
    ) -> Repeats:
        """Compare the N rows of a split with each other, and with those of train.

        Args:
            keys: :func:`text_keys` or :func:`token_keys` of the split.
            labels: [N] or [N, C]; None, or of length 0, for a test file without.
            train: the keys and labels of train; None for train itself.
        """
        first = first_rows(keys)
        none = np.zeros(len(keys), dtype=bool)
        has_labels = labels is not None and len(labels) == len(keys)
        contradicts = none
        if has_labels:  # What is no number is unlike itself, too.
            contradicts = (first != np.arange(len(first))) & differ(labels, labels[first])
        if train is None:
            return cls(first, contradicts, None, none)
        found = rows_among(keys, train[0])
        contradicts_train = none
        if has_labels:
            contradicts_train = (found >= 0) & differ(labels, train[1][found])
        return cls(first, contradicts, found, contradicts_train)

    @property
    def repeated(self) -> np.ndarray:
        """Whether each of the N rows repeats an earlier one."""
        return self.first != np.arange(len(self.first))


def without_tokens(features: Features) -> np.ndarray:
    """Return which of the N examples have a text without a token: [N] bool; of a pair either."""
    empty = features.first_lengths <= 2
    second = (
        features.lengths - features.first_lengths
    )  # Of single texts it is 0, of pairs 1 or more.
    return empty | (second == 1)


def length_bars(lengths: np.ndarray) -> list[tuple[int, int | None, int]]:
    """Return a histogram of [N] lengths: the least and greatest of each bar, and how many are in it.

    The bars are :data:`MOST_BARS` at most and of one width, for 99 of 100 lengths. One more has the rest,
    if there is a rest: its greatest is None.
    """
    usual = int(np.percentile(lengths, 99)) + 1
    widths = (base * 10**power for power in range(10) for base in (1, 2, 5))
    width = next(width for width in widths if width * MOST_BARS >= usual)
    bars = -(-usual // width)
    places = np.minimum(lengths // width, bars)
    counts = np.bincount(places, minlength=bars).tolist()
    found: list[tuple[int, int | None, int]] = [
        (place * width, (place + 1) * width - 1, count) for place, count in enumerate(counts[:bars])
    ]
    return found + [(bars * width, None, count) for count in counts[bars:]]
