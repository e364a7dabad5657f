"""True and false positives against plain counting."""

import numpy as np
import pytest

from micle_tf.statistics.columns import Columns
from micle_tf.statistics.counts import Counts, Measure, Ranking, of_decisions, of_rankings, ratio
from tests.statistics import rows


@pytest.mark.parametrize("seed", range(5))
def test_a_ranking_counts_as_every_threshold_does(seed):
    rng = np.random.default_rng(seed)
    truth, known = rng.random(40) < 0.4, rng.random(40) < 0.8
    score, weights = np.round(rng.random(40), 1), rng.integers(0, 4, 40)
    ranking = Ranking(truth, score, known)
    counts = ranking(weights)
    np.testing.assert_array_equal(ranking.thresholds, np.unique(score[known])[::-1])
    decided = [np.zeros(40, bool), *(score >= one for one in ranking.thresholds)]
    of = lambda mask: weights[mask & known].sum()
    np.testing.assert_array_equal(counts.tp, [of(one & truth) for one in decided])
    np.testing.assert_array_equal(counts.fp, [of(one & ~truth) for one in decided])
    np.testing.assert_array_equal(counts.fn, [of(~one & truth) for one in decided])
    np.testing.assert_array_equal(counts.tn, [of(~one & ~truth) for one in decided])
    assert counts.rows == weights[known].sum()
    for threshold in (-1, 0.05, 0.3, 0.5, 1, 1.1):
        at = counts.at(ranking.cut(threshold))
        assert (at.tp, at.fp) == (
            of(truth & (score >= threshold)),
            of(~truth & (score >= threshold)),
        )


def test_a_ranking_of_no_known_row_is_empty():
    counts = Ranking(np.ones(2, bool), np.ones(2), np.zeros(2, bool))(np.ones(2, np.int64))
    assert counts.tp.tolist() == counts.fp.tolist() == [0]
    assert counts.rows == 0


@pytest.mark.parametrize("seed", range(3))
def test_decisions_and_thresholds_at_one_half_count_alike(seed):
    columns = Columns.of_findings(*rows.of_findings(seed))
    weights = rows.weights_of(seed, 60)
    functions = [lambda c: c.tp, lambda c: c.fp, lambda c: c.fn, lambda c: c.tn]
    half = np.full(len(columns), 0.5)
    by_decision = of_decisions(columns, [Measure(str(f), f) for f in functions])
    by_score = of_rankings(columns, [Measure(str(f), f, "", half) for f in functions])
    np.testing.assert_array_equal(by_decision(weights), by_score(weights))
    assert by_decision(weights).sum() == weights @ columns.known.sum(axis=1)


def test_where_there_is_no_threshold_there_is_no_number():
    columns = Columns.of_findings(*rows.of_findings(0))
    measure = Measure("m", lambda counts: counts.tp, "@x", np.array([0.5, np.nan, 0.5]))
    values = of_rankings(columns, [measure])(np.ones(60, np.int64))
    assert np.isnan(values).tolist() == [False, True, False]


def test_a_share_of_nothing_is_not_defined():
    np.testing.assert_array_equal(ratio(np.array([0, 1, 0]), np.array([0, 2, 3])), [np.nan, 0.5, 0])
    assert Counts(1, 2, 3, 4).rows == 7
