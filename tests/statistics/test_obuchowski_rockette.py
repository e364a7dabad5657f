"""Seeds as readers: the formula by hand, its limits, and the covariance over one bootstrap."""

import math

import numpy as np
import pytest
from scipy import stats

from micle_tf.statistics import bootstrap
from micle_tf.statistics.obuchowski_rockette import of_differences, seeds_as_readers
from micle_tf.statistics.statistic import Statistic


def test_by_hand():
    # MS = 1, Cov2 = 2: M = 1 + 3 * 2 = 7, variance 7 / 3, df = 49 / (1 / 2).
    covariance = np.array([[9.0, 1, 2], [1, 9, 3], [2, 3, 9]])
    got = of_differences([1.0, 2.0, 3.0], covariance)
    assert got.value == 2 and got.df == pytest.approx(98, abs=1e-12)
    assert got.standard_error == pytest.approx(math.sqrt(7 / 3), abs=1e-12)
    margin = stats.t(98).ppf(0.975) * math.sqrt(7 / 3)
    assert (got.low, got.high) == pytest.approx((2 - margin, 2 + margin), abs=1e-12)
    assert got.p == pytest.approx(2 * stats.t(98).sf(2 / math.sqrt(7 / 3)), rel=1e-12)


@pytest.mark.parametrize("shared", [0.0, -0.5])
def test_is_the_t_test_of_the_seeds_where_they_share_no_variance(shared):
    theta = np.random.default_rng(0).normal(0.2, 1, 5)
    got = of_differences(theta, np.full((5, 5), shared))
    assert got.p == pytest.approx(stats.ttest_1samp(theta, 0).pvalue, rel=1e-12)
    assert got.df == pytest.approx(4, abs=1e-12)


def test_is_a_z_test_where_the_seeds_are_alike():
    got = of_differences([0.25] * 4, np.full((4, 4), 0.01))
    assert got.df == math.inf and got.standard_error == pytest.approx(0.1, abs=1e-15)
    assert got.p == pytest.approx(2 * stats.norm.sf(2.5), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-90, 1e-150, 1e90])
def test_small_and_large_numbers(scale):
    for shared in (0.0, 1e-3, 7.0):
        expected = of_differences([1.0, 3.0], np.full((2, 2), shared))
        got = of_differences([scale, 3 * scale], np.full((2, 2), shared * scale**2))
        assert got.df == pytest.approx(expected.df, rel=1e-9)
        assert got.p == pytest.approx(expected.p, rel=1e-9)
        assert got.low / scale == pytest.approx(expected.low, rel=1e-9)
    nearly = of_differences([1e-90, 3e-90], np.full((2, 2), 0.01))
    assert nearly.df == math.inf and nearly.standard_error == pytest.approx(0.1, abs=1e-15)


def test_where_nothing_varies_or_the_covariance_is_not_known():
    assert of_differences([0.0, 0.0], np.zeros((2, 2))).p == 1
    assert math.isnan(of_differences([0.5, 0.5], np.zeros((2, 2))).p)
    got = of_differences([0.1, 0.3], np.full((2, 2), np.nan))
    assert got.value == pytest.approx(0.2) and math.isnan(got.p) and math.isnan(got.low)


def means_of(values):
    """values [n, M]."""
    names = [f"m{k}" for k in range(values.shape[1])]
    return Statistic(names, lambda weights: weights @ values / weights.sum())


@pytest.mark.parametrize("seed", range(3))
def test_the_covariance_is_that_of_one_bootstrap_of_patients(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 12, 30)
    a, b = rng.normal(size=(3, 30, 2)), rng.normal(size=(3, 30, 2))
    got = seeds_as_readers([*map(means_of, a)], [*map(means_of, b)], groups, 40, seed)
    drawn = [
        [(weights @ (b[s] - a[s])) / weights.sum() for s in range(3)]
        for weights in bootstrap.weights_of(groups, 40, seed)
    ]
    for k, name in enumerate(["m0", "m1"]):
        theta = (b - a).mean(axis=1)[:, k]
        expected = of_differences(theta, np.cov(np.array(drawn)[:, :, k].T))
        assert got[name].value == pytest.approx(expected.value, abs=1e-12)
        assert got[name].p == pytest.approx(expected.p, rel=1e-9)
        assert got[name].df == pytest.approx(expected.df, rel=1e-9)


def test_a_resample_that_one_seed_does_not_define_is_left_out_of_that_number():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2, 10, 2))

    def spoilt(weights):
        means = weights @ values[1] / 10
        return np.array([means[0], np.nan if weights[0] == 0 else means[1]])

    zeros = means_of(np.zeros((10, 2)))
    statistics = [means_of(values[0]), Statistic(["m0", "m1"], spoilt)]
    got = seeds_as_readers([zeros, zeros], statistics, np.arange(10), 60, 2)
    drawn = [w for w in bootstrap.weights_of(np.arange(10), 60, 2)]
    for k, kept in enumerate([drawn, [w for w in drawn if w[0]]]):
        covariance = np.cov([[w @ values[s, :, k] / 10 for w in kept] for s in range(2)])
        expected = of_differences(values[:, :, k].mean(axis=1), covariance)
        assert got[f"m{k}"].p == pytest.approx(expected.p, rel=1e-9)
        assert got[f"m{k}"].dropped == len(drawn) - len(kept) == [0, got["m1"].dropped][k]


def test_ends_and_p_need_two_resamples():
    values = np.random.default_rng(2).normal(size=(2, 10, 1))
    zero = means_of(np.zeros((10, 1)))
    seeds = [means_of(one) for one in values]
    got = seeds_as_readers([zero, zero], seeds, np.arange(10), 1)["m0"]
    assert got.value == pytest.approx(values.mean()) and math.isnan(got.p)


def test_one_patient_has_neither_ends_nor_p():
    values = np.random.default_rng(2).normal(size=(2, 10, 1))
    zero = means_of(np.zeros((10, 1)))
    got = seeds_as_readers([zero, zero], [means_of(one) for one in values], np.zeros(10), 20)["m0"]
    assert got.value == pytest.approx(values.mean()) and got.dropped == 0
    assert np.isnan([got.low, got.high, got.p]).all()


def test_progress_is_told_once_a_resample():
    steps, one = [], means_of(np.zeros((4, 1)))
    seeds_as_readers([one] * 2, [one] * 2, range(4), 5, progress=lambda *at: steps.append(at))
    assert steps == [(i + 1, 5) for i in range(5)]


def test_bad_input():
    one, other = means_of(np.zeros((4, 1))), means_of(np.zeros((4, 2)))
    for a, b, message in (
        ([one], [one], "1 seeds, expected at least 2"),
        ([one] * 2, [one] * 3, "2 seeds of A and 3 of B"),
        ([one, other], [one, other], "different names"),
        ([one, other], [one, one], "different names"),
    ):
        with pytest.raises(ValueError, match=message):
            seeds_as_readers(a, b, np.arange(4))
    with pytest.raises(ValueError, match="1 seeds, expected at least 2"):
        of_differences([0.5], [[1.0]])
    with pytest.raises(ValueError, match=r"differences \(2,\) and covariance \(3, 3\)"):
        of_differences([0.5, 0.5], np.zeros((3, 3)))
