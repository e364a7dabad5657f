"""Accuracies against evaluation.metrics, to the bit."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from micle_tf.evaluation.metrics import classification_metrics
from micle_tf.statistics import accuracy
from micle_tf.statistics.columns import Columns
from tests.statistics import rows

NAMES = ("top1", "top3", "balanced_accuracy")


@pytest.mark.parametrize("num_classes", [2, 3, 4, 9])
@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_equal_the_metrics_to_the_bit_also_of_repeated_rows(num_classes, decimals):
    y, p, names = rows.of_classes(num_classes, 300, num_classes, decimals)
    statistic = accuracy.statistic(Columns.of_classes(y, p, names))
    assert statistic.names == (NAMES if num_classes > 3 else (NAMES[0], NAMES[2]))
    for weights in (np.ones(300, np.int64), rows.weights_of(0, 300)):
        of_rows = classification_metrics(
            np.repeat(y, weights), np.repeat(p, weights, axis=0), names
        )
        assert statistic(weights).tolist() == [of_rows[name] for name in statistic.names]


def test_balanced_accuracy_is_always_over_the_same_classes():
    y = np.array([0, 0, 1, 1, 2, 2])
    p = np.array(
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    )
    statistic = accuracy.statistic(Columns.of_classes(y, p.astype(float), rows.names(4)))
    balanced = lambda weights: statistic(np.array(weights))[-1]
    predicted = p.argmax(axis=1)
    assert balanced([1] * 6) == pytest.approx(balanced_accuracy_score(y, predicted))
    assert balanced([2, 0, 1, 1, 1, 1]) == pytest.approx((1 + 1 + 0.5) / 3)
    assert np.isnan(balanced([1, 1, 1, 1, 0, 0]))
    assert np.isnan(statistic(np.zeros(6, np.int64))).all()
