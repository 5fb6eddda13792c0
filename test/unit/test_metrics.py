"""Metrics are scikit-learn's and SciPy's on cases worked out by hand."""

import numpy as np
import pytest

from processors.custom import custom_task
from processors.glue import CORRELATIONS, SPLITS, TASKS
from processors.metrics import classes_or_scores, compute_metrics

PREDICTIONS, LABELS = np.array([1, 0, 1, 1, 0]), np.array([1, 0, 0, 1, 1])


def test_metrics_of_classes():
    # Of class 1: two hits, one false alarm, one miss; of class 0: one of each.
    f1, f0 = 2 * 2 / (2 * 2 + 1 + 1), 2 * 1 / (2 * 1 + 1 + 1)
    expected = {
        "acc": 0.6,
        "f1": f1,
        "acc_and_f1": (0.6 + f1) / 2,
        "macro_f1": (f0 + f1) / 2,
        "mcc": (2 * 1 - 1 * 1) / np.sqrt(3 * 3 * 2 * 2),
    }
    result = compute_metrics(list(expected), PREDICTIONS, LABELS)
    assert list(result) == list(expected)
    assert result == pytest.approx(expected)


def test_a_class_that_is_never_predicted_counts_as_a_miss():
    assert compute_metrics(["f1", "mcc"], np.zeros(4), np.array([1, 0, 1, 0])) == {
        "f1": 0.0,
        "mcc": 0.0,
    }


def test_correlations():
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 5.0])
    result = compute_metrics(CORRELATIONS, x, y)
    centred_x, centred_y = x - x.mean(), y - y.mean()
    pearson = (centred_x @ centred_y) / np.sqrt((centred_x @ centred_x) * (centred_y @ centred_y))
    spearman = 1 - 6 * 2 / (4 * (16 - 1))  # two ranks differ by one
    assert result["pearson"] == pytest.approx(pearson)
    assert result["spearmanr"] == pytest.approx(spearman)
    assert result["corr"] == pytest.approx((pearson + spearman) / 2)


def test_errors_of_numbers():
    x = np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32)
    result = compute_metrics(["mae", "rmse"], x, np.array([1.0, 3.0, 2.0, 6.0], dtype=np.float32))
    assert result == pytest.approx({"mae": (0 + 1 + 1 + 2) / 4, "rmse": np.sqrt((1 + 1 + 4) / 4)})
    assert compute_metrics(["mae", "rmse"], x, x) == {"mae": 0.0, "rmse": 0.0}
    large = np.array([3e38, -3e38], dtype=np.float32)
    assert compute_metrics(["rmse"], large, -large)["rmse"] == pytest.approx(6e38, rel=1e-6)
    # Those that the references have come first.
    assert TASKS["sts-b"].metrics == (*CORRELATIONS, "mae", "rmse")
    own = custom_task(dict.fromkeys(SPLITS), ("a",), "b", regression=True)
    assert own.metrics == TASKS["sts-b"].metrics


def test_constant_predictions_have_no_correlation():
    result = compute_metrics(CORRELATIONS, np.ones(5), np.arange(5.0))
    assert result == {"pearson": 0.0, "spearmanr": 0.0, "corr": 0.0}


def test_predictions_of_logits():
    assert classes_or_scores(np.array([[0.1, 0.9], [2.0, -1.0]])).tolist() == [1, 0]
    assert classes_or_scores(np.array([[0.1], [2.0]])).tolist() == [0.1, 2.0]


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="3 predictions for 4 labels"):
        compute_metrics(["acc"], np.zeros(3), np.zeros(4))
