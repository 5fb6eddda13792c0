"""The intervals of metrics: their samples are scored as the metrics score them, and they cover."""

import numpy as np
import pytest
from scipy.stats import binomtest

from processors.intervals import difference_interval, interval, intervals, wilson
from processors.metrics import METRICS, compute_metrics
from processors.resampling import statistic_of

OF_CLASSES, OF_NUMBERS = ("macro_f1", "mcc"), ("pearson", "spearmanr", "corr", "mae", "rmse")
OF_TWO, OF_SETS = ("acc", "f1", "acc_and_f1"), ("micro_f1", "macro_f1")


def draw(kind, examples, seed=0):
    """Return predictions and labels that agree in part."""
    random = np.random.default_rng(seed)
    if kind == "numbers":  # with ties
        labels = random.integers(0, 6, examples).astype(np.float32)
        return (labels + random.normal(size=examples)).round(1).astype(np.float32), labels
    shape, classes = ((examples, 3), 2) if kind == "sets" else (examples, int(kind))
    labels = random.integers(0, classes, shape)
    return np.where(random.random(shape) < 0.7, labels, random.integers(0, classes, shape)), labels


KINDS = {"2": OF_TWO, "4": OF_CLASSES, "sets": OF_SETS, "numbers": OF_NUMBERS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_is_scored_as_its_examples_are(kind):
    predictions, labels = draw(kind, 30)
    rows = np.random.default_rng(1).integers(0, 30, (20, 30))
    rows[0], rows[1] = 3, np.repeat([3, 4, 5], 10)  # a correlation is 0 where one side is constant
    counts = np.stack([np.bincount(row, minlength=30) for row in rows]).astype(float)
    for name in KINDS[kind]:
        expected = [METRICS[name](predictions[row], labels[row]) for row in rows]
        found = statistic_of(name, predictions, labels)(counts)
        assert found == pytest.approx(expected, abs=1e-6), name


def test_every_metric_has_an_interval_around_it():
    assert {name for names in KINDS.values() for name in names} == METRICS.keys()
    for kind, of_kind in KINDS.items():
        for examples, names in ((60, of_kind), (1200, of_kind[:1])):  # by either kind of bootstrap
            predictions, labels = draw(kind, examples)
            found = intervals(names, predictions, labels)
            assert found == intervals(names, predictions, labels)
            for name, value in compute_metrics(names, predictions, labels).items():
                low, high = found[name]
                assert low < value < high, name
                assert high - low < 4 * value / examples**0.5, name


@pytest.mark.parametrize(("hits", "examples"), [(0, 1), (408, 440), (440, 440), (784, 1000)])
def test_the_interval_of_an_accuracy_is_wilsons(hits, examples):
    theirs = binomtest(hits, examples).proportion_ci(method="wilson")
    assert wilson(hits, examples) == pytest.approx(tuple(theirs), abs=1e-12)
    predictions = np.arange(examples) < hits
    assert interval("acc", predictions, np.ones(examples, bool)) == wilson(hits, examples)


def test_an_interval_holds_what_it_is_of_as_often_as_it_says():
    held = 0
    for seed in range(40):
        predictions, labels = draw("numbers", 100, seed + 1)
        low, high = interval("pearson", predictions, labels)
        held += low <= 0.8626 <= high  # sqrt(35 / 12 / (35 / 12 + 1 + rounding))
    assert 34 <= held <= 40


def test_what_has_no_interval():
    zeros, labels = np.zeros(50), np.arange(50) % 2
    assert intervals(("f1", "mcc"), zeros.astype(int), labels) == {}
    assert intervals(("pearson", "spearmanr"), zeros, labels.astype(float)) == {}
    assert interval("mae", zeros, zeros) is None  # That all are right says not how sure that is.
    assert interval("f1", labels[:9], labels[:9]) is None
    assert interval("acc", labels[:0], labels[:0]) is None


def test_a_difference_is_narrower_than_both_together():
    before, labels = draw("2", 400)
    after = before.copy()
    wrong = np.flatnonzero(before != labels)[:30]
    after[wrong] = labels[wrong]
    low, high = difference_interval("acc", before, after, labels)
    assert low == pytest.approx(0.075 - 1.96 * (0.075 * 0.925 / 400) ** 0.5, abs=0.006)
    assert low < 0.075 < high < 0.11
    assert difference_interval("acc", before, before, labels) is None
