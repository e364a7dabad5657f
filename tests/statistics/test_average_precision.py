"""Average precision against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from micle_tf.statistics import average_precision
from micle_tf.statistics.columns import Columns
from tests.statistics import rows


@pytest.mark.parametrize("decimals", [None, 2, 1, 0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn_of_weighted_rows(seed, decimals):
    columns = Columns.of_findings(*rows.of_findings(seed, 200, decimals=decimals))
    weights = rows.weights_of(seed, 200)
    expected = [
        average_precision_score(
            columns.truths[known, k], columns.scores[known, k], sample_weight=weights[known]
        )
        for k, known in enumerate(columns.known.T)
    ]
    statistic = average_precision.statistic(columns)
    assert statistic.names == (
        "average_precision/c0",
        "average_precision/c1",
        "average_precision/c2",
    )
    np.testing.assert_allclose(statistic(weights), expected, rtol=1e-12)
    rows.assert_weights_repeat(average_precision.statistic, columns, weights, rtol=1e-12)


def test_by_hand_with_one_positive_among_tied_rows():
    # Of the two rows at 0.5 one is the positive; one negative scores above: precision 1 of 3.
    columns = Columns.of_findings(
        np.array([[0], [1], [0], [0]]), np.array([[0.9], [0.5], [0.5], [0.1]]), ["a"]
    )
    assert average_precision.statistic(columns)(np.ones(4, np.int64)) == pytest.approx([1 / 3])


def test_is_not_defined_without_a_positive_and_1_without_a_negative():
    columns = Columns.of_findings(np.array([[1, 0]] * 2), np.full((2, 2), 0.5), "ab")
    np.testing.assert_array_equal(
        average_precision.statistic(columns)(np.ones(2, int)), [1, np.nan]
    )
