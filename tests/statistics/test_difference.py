"""Interval and p of a difference against SciPy's own t test, and where nothing varies."""

import math

import numpy as np
import pytest
from scipy import stats

from micle_tf.statistics.difference import Difference, t_test


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_t_test_of_one_sample(seed):
    values = np.random.default_rng(seed).normal(0.3, 1, 6)
    expected = stats.ttest_1samp(values, 0)
    got = t_test(values.mean(), stats.sem(values), df=5)
    assert got.p == pytest.approx(expected.pvalue, rel=1e-12)
    interval = expected.confidence_interval(0.95)
    assert (got.low, got.high) == pytest.approx((interval.low, interval.high), rel=1e-12)


def test_is_a_z_test_without_degrees_of_freedom():
    got = t_test(-1.959963984540054, 1.0)
    assert got.p == pytest.approx(0.05, abs=1e-12) and got.df == math.inf
    assert got.low == pytest.approx(2 * -1.959963984540054, abs=1e-12)
    assert got.high == pytest.approx(0, abs=1e-12)


def test_without_variation_the_same_is_the_same_and_else_there_is_no_p():
    assert t_test(0.0, 0.0) == Difference(0.0, 0.0, 0.0, 1.0, 0.0, math.inf)
    got = t_test(0.5, 0.0, 3)
    assert (got.low, got.high) == (0.5, 0.5) and math.isnan(got.p)


def test_an_unknown_standard_error_leaves_the_value_alone():
    got = t_test(0.5, math.nan)
    assert got.value == 0.5
    assert all(math.isnan(x) for x in (got.low, got.high, got.p, got.standard_error))
