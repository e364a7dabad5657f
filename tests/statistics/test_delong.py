"""DeLong's covariance against U statistics by brute force, and AUCs against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from micle_tf.statistics import delong


def rows_of(seed, n=40, models=3, decimals=None):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) < n // 3)
    scores = rng.normal(size=(n, models)) + rng.normal(size=(n, 1)) + y[:, None]
    return y, scores if decimals is None else scores.round(decimals)


def kernel(positives, negatives):
    """[P, N]: 1 where the positive is above the negative, 1/2 where they are tied."""
    above = positives[:, None] > negatives
    return above + (positives[:, None] == negatives) / 2


def brute_force(y, scores):
    """Pairs of rows, and sample covariances of the placements, one entry after the other."""
    pairs = [kernel(column[y], column[~y]) for column in scores.T]
    covariance = [
        [
            np.cov(a.mean(axis=1), b.mean(axis=1))[0, 1] / len(a)
            + np.cov(a.mean(axis=0), b.mean(axis=0))[0, 1] / a.shape[1]
            for b in pairs
        ]
        for a in pairs
    ]
    return np.array([a.mean() for a in pairs]), np.array(covariance)


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_brute_force_and_scikit_learn(seed, decimals):
    y, scores = rows_of(seed, decimals=decimals)
    aucs, covariance = delong.delong(y, scores)
    expected_aucs, expected = brute_force(y, scores)
    np.testing.assert_allclose(aucs, expected_aucs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(covariance, expected, rtol=0, atol=1e-12)
    assert aucs == pytest.approx([roc_auc_score(y, column) for column in scores.T], abs=1e-12)


def test_by_hand():
    # Of the two positives one is above all three negatives and one is tied with one, above one.
    y = np.array([1, 1, 0, 0, 0], bool)
    scores = np.array([[9.0], [5.0], [7.0], [5.0], [1.0]])
    of_positives, of_negatives = delong.placements(y, scores)
    np.testing.assert_allclose(of_positives[:, 0], [1, 1.5 / 3])
    np.testing.assert_allclose(of_negatives[:, 0], [0.5, 0.75, 1])
    aucs, covariance = delong.delong(y, scores)
    assert aucs.tolist() == [0.75]
    assert covariance.item() == pytest.approx(0.125 / 2 + 0.0625 / 3, abs=1e-15)


def test_only_the_order_of_scores_counts():
    y, scores = rows_of(5)
    one, other = delong.delong(y, scores), delong.delong(y, np.exp(3 * scores) - 7)
    np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_array_equal(one[0], other[0])


@pytest.mark.parametrize("positives, auc_defined", [(0, False), (1, True), (4, True), (5, False)])
def test_a_covariance_needs_two_of_each_kind(positives, auc_defined):
    scores = np.arange(10.0).reshape(5, 2)
    aucs, covariance = delong.delong(np.arange(5) < positives, scores)
    assert np.isnan(aucs).all() != auc_defined and np.isnan(covariance).all()
    assert aucs.shape == (2,) and covariance.shape == (2, 2)


def test_the_variance_is_that_of_the_auc_over_many_studies():
    rng = np.random.default_rng(0)
    aucs, variances = [], []
    for _ in range(600):
        y = np.arange(60) < 20
        value, covariance = delong.delong(y, rng.normal(size=(60, 1)) + y[:, None])
        aucs.append(value.item())
        variances.append(covariance.item())
    assert np.mean(variances) == pytest.approx(np.var(aucs), rel=0.15)


def test_normal_interval():
    low, high = delong.normal_interval(0.8, 0.01)
    assert (low, high) == pytest.approx((0.8 - 0.1959963985, 0.8 + 0.1959963985), abs=1e-9)
    assert all(math.isnan(end) for end in delong.normal_interval(0.8, math.nan))


@pytest.mark.parametrize(
    "y, scores, message",
    [
        (np.ones(3), np.zeros(3), r"labels \(3,\) and scores \(3,\)"),
        (np.ones(3), np.zeros((4, 1)), r"labels \(3,\) and scores \(4, 1\)"),
        (np.ones(2), np.array([[1.0], [np.nan]]), "a score is nan"),
    ],
)
def test_bad_input(y, scores, message):
    with pytest.raises(ValueError, match=message):
        delong.delong(y, scores)
