"""Net benefit against its formula, row by row."""

import numpy as np
import pytest

from micle_tf.statistics import net_benefit
from micle_tf.statistics.columns import Columns
from micle_tf.statistics.counts import Counts
from tests.statistics import rows


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_formula_on_known_rows_a_tie_with_the_threshold_being_positive(seed):
    columns = Columns.of_findings(*rows.of_findings(seed))
    weights = rows.weights_of(seed, 60)
    statistic = net_benefit.statistic(columns, (0.1, 0.5))
    expected = {}
    for threshold in (0.1, 0.5):
        for k, name in enumerate(columns.names):
            at = np.repeat(np.arange(60), weights * columns.known[:, k])
            treated, y = columns.scores[at, k] >= threshold, columns.truths[at, k]
            harm = threshold / (1 - threshold)
            expected[f"net_benefit/{name}@threshold={threshold}"] = (
                np.mean(treated & y) - np.mean(treated & ~y) * harm
            )
    assert statistic.names == tuple(expected)
    np.testing.assert_allclose(statistic(weights), list(expected.values()), atol=1e-14)


def test_treating_all_by_hand_and_as_a_model_that_does():
    counts = Counts(3, 1, 4, 6)
    assert net_benefit.treat_all(counts, 0.2) == pytest.approx(0.4 - 0.6 / 4)
    y, p, names = rows.of_findings(0)
    columns = Columns.of_findings(y, np.ones_like(p), names)
    of_all = net_benefit.statistic(columns, (0.3,))(np.ones(60, np.int64))
    known, positive = columns.known.sum(axis=0), (y == 1).sum(axis=0)
    counts = Counts(0 * known, 0 * known, positive, known - positive)
    np.testing.assert_allclose(of_all, net_benefit.treat_all(counts, 0.3), atol=1e-15)


def test_is_not_defined_without_rows_and_refuses_thresholds_outside_0_to_1():
    columns = Columns.of_findings(*rows.of_findings(0))
    assert np.isnan(net_benefit.statistic(columns, (0.3,))(np.zeros(60, np.int64))).all()
    for wrong in (0, 1, float("nan")):
        with pytest.raises(ValueError, match="expected thresholds between 0 and 1"):
            net_benefit.statistic(columns, (wrong,))
