"""Accuracy of the most certain rows against random orders of tied rows."""

import itertools

import numpy as np
import pytest

from micle_tf.statistics import selective
from micle_tf.statistics.columns import Columns, certainty_of_classes, certainty_of_findings
from tests.statistics import rows


def test_equals_the_mean_over_all_orders_of_tied_rows():
    right = np.array([1, 0, 1, 1, 0, 0], bool)
    certainty = np.array([0.9, 0.8, 0.8, 0.8, 0.8, 0.6])
    columns = Columns(
        ("",), right[:, None], certainty[:, None], right[:, None], np.ones((6, 1), bool)
    )
    orders = [
        order
        for order in itertools.permutations(range(6))
        if np.all(np.diff(certainty[list(order)]) <= 0)
    ]
    shares = [np.mean([right[list(order[:m])].mean() for order in orders]) for m in (1, 3, 6)]
    statistic = selective.statistic(columns, (1 / 6, 0.5, 1.0))
    assert statistic.names[1:] == ("accuracy@coverage=0.5", "accuracy@coverage=1")
    np.testing.assert_allclose(statistic(np.ones(6, np.int64)), shares, atol=1e-15)


def test_a_row_through_which_the_boundary_goes_counts_in_part():
    y = np.array([[1], [1], [0], [1], [1]])
    p = np.array([[0.9], [0.2], [0.3], [0.6], [0.4]])  # right, wrong, right, right, wrong
    columns = certainty_of_findings(Columns.of_findings(y, p, ["a"]))
    half = selective.statistic(columns, (0.5,))(np.ones(5, np.int64))
    assert half == pytest.approx(
        [1.5 / 2.5]
    )  # 0.9 is right, 0.8 wrong, half of 0.7, which is right


@pytest.mark.parametrize("seed", range(4))
def test_weights_repeat_rows_and_all_rows_have_the_plain_accuracy(seed):
    columns = Columns.of_classes(*rows.of_classes(seed))
    weights = rows.weights_of(seed, 60)
    of = lambda certainty: selective.statistic(certainty, (0.5, 0.8, 0.9, 1.0))
    rows.assert_weights_repeat(of, certainty_of_classes(columns), weights)
    right = (columns.truths & columns.decisions).any(axis=1)
    assert of(certainty_of_classes(columns))(weights)[-1] == weights @ right / weights.sum()

    findings = certainty_of_findings(Columns.of_findings(*rows.of_findings(seed)))
    rows.assert_weights_repeat(of, findings, weights)


def test_is_not_defined_without_rows_and_refuses_a_coverage_outside_0_to_1():
    columns = certainty_of_classes(Columns.of_classes(*rows.of_classes(0)))
    assert np.isnan(selective.statistic(columns, (0.5,))(np.zeros(60, np.int64))).all()
    for wrong in (0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="expected coverages above 0"):
            selective.statistic(columns, (wrong,))
