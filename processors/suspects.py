"""Rows whose label is probably wrong: what a plain model, trained on the other rows, makes of each.

The rows are cut into :data:`FOLDS` parts, rows of the same text in one, and a linear model of TF-IDF of
words and pieces of words learns from all parts but the one that it is asked about. A row ranks by the
probability that it gives the row's own label: the self-confidence of confident learning (Northcutt, Jiang
and Chuang 2021, JAIR 70, arXiv:1911.00068), the least first. A number ranks by how far the model's is from
it. It is a hint where to look: what is rare or said with irony ranks high, too.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from processors.data_check import either_order, first_rows, text_keys
from processors.glue import Task
from processors.splits import Split

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.base import BaseEstimator

FOLDS = 5
_SEED = 0
# Of more rows a sign that stands in one alone says nothing about another.
_MANY_ROWS = 1000
_WORDS = {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}
_PIECES = {"ngram_range": (2, 4), "analyzer": "char_wb"}
# The inverse of the weight of L2, tried on SST-2 with flipped labels (docs/models.md).
_C, _MOST_ITERATIONS = 2.0, 200


@dataclass(frozen=True)
class Suspect:
    """A row and its label, the label that is likelier, and how likely the row's own is.

    Attributes:
        row: its position from 0.
        label, suggested: class names; of several labels ``name`` or ``not name``; or numbers.
        probability: of ``label``, from 0 to 1; None for numbers.
    """

    row: int
    label: str | float
    suggested: str | float
    probability: float | None


def suspects_of(task: Task, train: Split) -> list[dict[str, Any]]:
    """Return the suspects of a training file as records, the most suspicious first.

    Each has the ``line`` (or the record) of its row, the ``text`` or ``text_a`` and ``text_b``, the
    ``label``, the one ``suggested``, and the ``probability`` of the label; or, of a number, the
    ``residual``: how far it is above the suggested one. Rows whose number is none are left out.

    Raises:
        ValueError: as :func:`find_suspects`.
    """
    rows, labels = range(len(train)), train.cells
    if task.is_regression:
        rows = np.flatnonzero(~np.isnan(train.labels)).tolist()
        labels = train.labels[rows]
    elif task.is_multi_label:
        labels = [task.labels_in(cell) for cell in train.cells]
    columns = [[column[row] for row in rows] for column in train.texts]
    records = []
    for found in find_suspects(task, columns, labels):
        score = found.probability
        if score is None:
            score = found.label - found.suggested
        texts = [column[found.row] for column in columns]
        line = train.numbers[rows[found.row]]
        values = (line, *texts, found.label, found.suggested, score)
        records.append(dict(zip(suspect_columns(task), values, strict=True)))
    return records


def suspect_columns(task: Task) -> tuple[str, ...]:
    """Return what the parts of :func:`suspects_of`'s records are called."""
    texts = ("text_a", "text_b") if task.has_pairs else ("text",)
    return (
        "line",
        *texts,
        "label",
        "suggested",
        "residual" if task.is_regression else "probability",
    )


def find_suspects(
    task: Task, columns: Sequence[Sequence[str]], labels: Sequence[Any]
) -> list[Suspect]:
    """Return the rows for which another label is likelier than their own, the most suspicious first.

    Of numbers all rows are returned. Classes and labels that fewer than :data:`FOLDS` texts have are left
    out, for which nothing can be learned.

    Args:
        columns: one or two columns of N texts.
        labels: [N] class names, lists of them in a multi-label task, or numbers.

    Raises:
        ValueError: too few rows are left to learn from.
    """
    texts = first_rows(text_keys(columns, either_order(task)))
    if task.is_regression:
        return _of_numbers(columns, np.asarray(labels, dtype=np.float64), texts)
    if task.is_multi_label:
        return _of_sets(columns, labels, texts)
    return _of_classes(columns, np.asarray(labels), texts)


def _of_classes(
    columns: Sequence[Sequence[str]], labels: np.ndarray, texts: np.ndarray
) -> list[Suspect]:
    found = [name for name in np.unique(labels) if len(np.unique(texts[labels == name])) >= FOLDS]
    if len(found) < 2:
        raise ValueError(f"fewer than two classes have {FOLDS} texts or more, to learn from")
    rows = np.flatnonzero(np.isin(labels, found))
    names, classes = np.unique(labels[rows], return_inverse=True)
    matrix = _tf_idf([[column[row] for row in rows] for column in columns])
    probabilities = _probabilities(matrix, classes, texts[rows])
    return _ranked(rows, classes, probabilities, names.tolist())


def _of_sets(
    columns: Sequence[Sequence[str]], labels: Sequence[Sequence[str]], texts: np.ndarray
) -> list[Suspect]:
    matrix, suspects = None, []
    for name in sorted({name for row in labels for name in row}):
        has = np.array([name in row for row in labels])
        if min(len(np.unique(texts[has])), len(np.unique(texts[~has]))) < FOLDS:
            continue
        matrix = _tf_idf(columns) if matrix is None else matrix
        classes = has.astype(np.int64)
        probabilities = _probabilities(matrix, classes, texts)
        suspects += _ranked(np.arange(len(has)), classes, probabilities, [f"not {name}", name])
    if matrix is None:
        raise ValueError(f"no label has {FOLDS} texts or more, and as many without, to learn from")
    return sorted(suspects, key=lambda suspect: suspect.probability)


def _of_numbers(
    columns: Sequence[Sequence[str]], numbers: np.ndarray, texts: np.ndarray
) -> list[Suspect]:
    from sklearn.linear_model import Ridge

    if len(np.unique(texts)) < 2 * FOLDS:
        raise ValueError(f"fewer than {2 * FOLDS} texts, to learn from")
    found = _out_of_fold(Ridge(), _tf_idf(columns), numbers, texts, None, "predict")
    order = np.argsort(-np.abs(numbers - found), kind="stable")
    return [Suspect(int(row), float(numbers[row]), float(found[row]), None) for row in order]


def _ranked(
    rows: np.ndarray, classes: np.ndarray, probabilities: np.ndarray, names: Sequence[str]
) -> list[Suspect]:
    """Return those of [N] rows that are likelier of another class: [N] classes, [N, C] probabilities."""
    own = probabilities[np.arange(len(classes)), classes]
    likeliest = probabilities.argmax(axis=1)
    order = np.argsort(own, kind="stable")
    return [
        Suspect(int(rows[i]), names[classes[i]], names[likeliest[i]], float(own[i]))
        for i in order[(likeliest != classes)[order]]
    ]


def _probabilities(matrix: csr_matrix, classes: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Return the probability of each class for [N] rows, by a model that did not see them: [N, C]."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=_C, max_iter=_MOST_ITERATIONS)
    return _out_of_fold(model, matrix, classes, texts, classes, "predict_proba")


def _out_of_fold(
    model: BaseEstimator,
    matrix: csr_matrix,
    targets: np.ndarray,
    texts: np.ndarray,
    strata: np.ndarray | None,
    method: str,
) -> np.ndarray:
    """Return what ``method`` of a model says of N rows after a training without their part.

    Args:
        texts: [N] the same for rows of the same text, which stay in one part: a label that is wrong
            twice would speak for itself.
        strata: [N] classes that each part has its share of; None for parts at random.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import (
        KFold,
        PredefinedSplit,
        StratifiedKFold,
        cross_val_predict,
    )

    kind = KFold if strata is None else StratifiedKFold
    _, first, text_of = np.unique(texts, return_index=True, return_inverse=True)
    part_of_text = np.zeros(len(first), dtype=np.int64)
    parts = kind(FOLDS, shuffle=True, random_state=_SEED)
    with warnings.catch_warnings():
        # A rare class whose texts others share may be short of one for each part, which does no harm.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        for number, (_, part) in enumerate(
            parts.split(first, None if strata is None else strata[first])
        ):
            part_of_text[part] = number
        split = PredefinedSplit(part_of_text[text_of.reshape(-1)])
        return cross_val_predict(model, matrix, targets, cv=split, method=method)


def _tf_idf(columns: Sequence[Sequence[str]]) -> csr_matrix:
    """Return TF-IDF of N rows' words and pieces of words: [N, F] float32.

    Of pairs it is how much the two texts differ in each, what both have, and the cosine of the whole.
    """
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    everything = [text for column in columns for text in column]
    rarest = 2 if len(everything) > _MANY_ROWS else 1
    blocks = []
    for kind in (_WORDS, _PIECES):
        vectorizer = TfidfVectorizer(min_df=rarest, sublinear_tf=True, dtype=np.float32, **kind)
        try:
            whole = vectorizer.fit_transform(everything)
        except ValueError:  # There is no word in any text.
            continue
        if len(columns) == 1:
            blocks.append(whole)
            continue
        first, second = whole[: len(columns[0])], whole[len(columns[0]) :]
        common = first.multiply(second)
        blocks += [abs(first - second), common, csr_matrix(common.sum(axis=1))]
    if not blocks:
        raise ValueError("the texts have no words, to learn from")
    return hstack(blocks, format="csr", dtype=np.float32)
