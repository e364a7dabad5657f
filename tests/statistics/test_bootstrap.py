"""The bootstrap by weights against the one that copies rows, to the bit."""

import math

import numpy as np
import pytest

from micle_tf.evaluation import metrics
from micle_tf.evaluation.intervals import bootstrap_intervals
from micle_tf.statistics import auc, bootstrap
from micle_tf.statistics.columns import Columns
from micle_tf.statistics.statistic import Statistic, difference


def mean_of(values, name="mean"):
    """nan where no row counts."""
    return Statistic([name], lambda weights: np.array([weights @ values / weights.sum()]))


@pytest.mark.parametrize("strings", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_equals_to_the_bit_the_bootstrap_that_copies_rows(seed, strings):
    rng = np.random.default_rng(seed)
    y, groups = rng.integers(0, 3, 60), rng.integers(0, 17, 60)
    p = rng.dirichlet(np.ones(3), 60).round(1)
    if strings:
        groups = np.array([f"patient {g}" for g in groups])  # sorts otherwise than the numbers
    statistic = auc.statistic(Columns.of_classes(y, p, "abc"))
    got = bootstrap.estimates(statistic, groups, 80, seed)

    def aucs(y, p):
        return {f"auc/{name}": metrics.auc(y == k, p[:, k]) for k, name in enumerate("abc")}

    intervals = bootstrap_intervals(aucs, y, p, groups, 80, seed)
    assert list(got) == list(intervals)
    for name, value in aucs(y, p).items():
        assert (got[name].value, got[name].low, got[name].high) == (value, *intervals[name])
        assert all(type(number) is float for number in (got[name].value, *intervals[name]))


def test_weights_are_how_often_the_group_of_a_row_was_drawn():
    groups = np.array(["b", "a", "c", "a"])
    rng = np.random.default_rng(5)
    for weights in bootstrap.weights_of(groups, 20, 5):
        drawn = [["a", "b", "c"][k] for k in rng.choice(3, size=3)]
        assert weights.tolist() == [drawn.count(group) for group in groups]
        assert np.issubdtype(weights.dtype, np.integer)


def test_resamples_that_do_not_define_a_number_are_counted_and_left_out():
    y = np.arange(12) < 2  # two positives of two groups: often none is drawn
    score, groups = np.arange(12.0), np.arange(12) // 2 + np.arange(12) % 2 * 10
    statistic = auc.statistic(Columns(("x",), y[:, None], score[:, None], *[y[:, None] | True] * 2))
    drawn = bootstrap.replicates(statistic, groups, 200, 3)[:, 0]
    got = bootstrap.estimates(statistic, groups, 200, 3)["auc/x"]
    defined = [value for value in drawn if not math.isnan(value)]
    assert 0 < got.dropped == 200 - len(defined)
    assert (got.low, got.high) == tuple(np.percentile(defined, (2.5, 97.5)))
    never = Statistic(["x"], lambda weights: np.array([np.nan if weights.max() > 1 else 7.0]))
    got = bootstrap.estimates(never, np.arange(9), 10)["x"]
    assert got.value == 7 and got.dropped == 10 and math.isnan(got.low) and math.isnan(got.high)


def test_the_same_seed_draws_the_same_whatever_the_statistic():
    rng = np.random.default_rng(0)
    a, b, groups = rng.normal(size=30), rng.normal(size=30), np.arange(30) // 2
    more = bootstrap.replicates(difference(mean_of(a), mean_of(b)), groups, 20, 1)
    each = [bootstrap.replicates(mean_of(values), groups, 20, 1) for values in (a, b)]
    np.testing.assert_array_equal(more, each[1] - each[0])
    assert more.shape == (20, 1) and more.dtype == np.float64


def test_a_thousand_resamples_from_seed_0_unless_stated_and_progress_is_told():
    values, steps = np.arange(8.0), []
    got = bootstrap.estimates(mean_of(values), np.arange(8), progress=lambda *at: steps.append(at))
    assert got == bootstrap.estimates(mean_of(values), np.arange(8), 1000, 0)
    assert steps == [(i + 1, 1000) for i in range(1000)]


def test_one_group_has_no_interval():
    got = bootstrap.estimates(mean_of(np.arange(5.0)), np.zeros(5, int), 10)["mean"]
    assert (got.value, got.dropped) == (2.0, 0) and math.isnan(got.low) and math.isnan(got.high)


@pytest.mark.parametrize(
    "groups, samples, message",
    [
        (np.zeros((2, 2)), 5, r"groups \(2, 2\), expected \[n\]"),
        (np.zeros(0), 5, "no rows"),
        (np.zeros(3), 0, "samples=0, expected at least 1"),
    ],
)
def test_bad_input(groups, samples, message):
    with pytest.raises(ValueError, match=message):
        bootstrap.replicates(mean_of(np.zeros(3)), groups, samples, 0)
    with pytest.raises(ValueError, match=message):
        bootstrap.weights_of(groups, samples, 0)  # before the first of them is asked for
