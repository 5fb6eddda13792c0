"""Metrics are scikit-learn's and SciPy's on cases worked out by hand."""

import numpy as np
import pytest

from processors.metrics import compute, predicted


def test_accuracy():
    assert compute("acc", np.array([1, 0, 1, 1]), np.array([1, 0, 0, 1])) == {"acc": 0.75}


def test_correlations():
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 5.0])
    result = compute("pearson", x, y)
    centred_x, centred_y = x - x.mean(), y - y.mean()
    pearson = (centred_x @ centred_y) / np.sqrt((centred_x @ centred_x) * (centred_y @ centred_y))
    spearman = 1 - 6 * 2 / (4 * (16 - 1))  # two ranks differ by one
    assert result["pearson"] == pytest.approx(pearson)
    assert result["spearmanr"] == pytest.approx(spearman)
    assert result["corr"] == pytest.approx((pearson + spearman) / 2)


def test_constant_predictions_have_no_correlation():
    result = compute("pearson", np.ones(5), np.arange(5.0))
    assert result == {"pearson": 0.0, "spearmanr": 0.0, "corr": 0.0}


def test_predictions_of_logits():
    assert predicted(np.array([[0.1, 0.9], [2.0, -1.0]])).tolist() == [1, 0]
    assert predicted(np.array([[0.1], [2.0]])).tolist() == [0.1, 2.0]


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="3 predictions for 4 labels"):
        compute("acc", np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="no metric"):
        compute("f2", np.zeros(3), np.zeros(3))
