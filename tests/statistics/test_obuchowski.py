"""The clustered covariance against the paper's sums, group by group, and against DeLong."""

import math

import numpy as np
import pytest
from scipy import stats

from micle_tf.statistics import delong, obuchowski
from tests.statistics.test_delong import kernel, rows_of


def brute_force(y, scores, groups):
    """Obuchowski (1997), in her words and order: sums over clusters, one entry at a time."""
    pairs = [kernel(column[y], column[~y]) for column in scores.T]
    clusters = sorted(set(groups.tolist()))
    num_clusters, positives, negatives = len(clusters), y.sum(), (~y).sum()
    with_positives, with_negatives = len(set(groups[y])), len(set(groups[~y]))

    def deviations(pair):
        """Per cluster, of its positives and of its negatives."""
        auc = pair.mean()
        of_positives, of_negatives = pair.mean(axis=1), pair.mean(axis=0)
        return [
            (
                sum(of_positives[groups[y] == cluster] - auc),
                sum(of_negatives[groups[~y] == cluster] - auc),
            )
            for cluster in clusters
        ]

    def entry(a, b):
        s10 = s01 = s11 = 0.0
        for (a10, a01), (b10, b01) in zip(deviations(a), deviations(b), strict=True):
            s10 += a10 * b10 * with_positives / ((with_positives - 1) * positives)
            s01 += a01 * b01 * with_negatives / ((with_negatives - 1) * negatives)
            s11 += (a10 * b01 + a01 * b10) * num_clusters / (num_clusters - 1)
        return s10 / positives + s01 / negatives + s11 / (positives * negatives)

    return np.array([[entry(a, b) for b in pairs] for a in pairs])


@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_sums_of_the_paper(seed, decimals):
    y, scores = rows_of(seed, decimals=decimals)
    groups = np.random.default_rng(seed).integers(0, 15, len(y))
    aucs, covariance = obuchowski.clustered(y, scores, groups)
    np.testing.assert_allclose(covariance, brute_force(y, scores, groups), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(aucs, delong.delong(y, scores)[0])


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_delong_with_one_row_a_group(seed, decimals):
    y, scores = rows_of(seed, decimals=decimals)
    groups = np.array([f"patient {k}" for k in np.random.default_rng(seed).permutation(len(y))])
    got, expected = obuchowski.clustered(y, scores, groups), delong.delong(y, scores)
    np.testing.assert_allclose(got[0], expected[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(got[1], expected[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_rows_that_are_there_twice_add_nothing(seed):
    y, scores = rows_of(seed)
    once = obuchowski.clustered(y, scores, np.arange(len(y)))
    twice = obuchowski.clustered(np.tile(y, 2), np.tile(scores, (2, 1)), np.tile(np.arange(40), 2))
    np.testing.assert_allclose(twice[1], once[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_difference_is_that_of_the_covariance(seed, grouped):
    y, scores = rows_of(seed, models=2)
    groups = np.arange(40) // (2 if grouped else 1)
    got = obuchowski.paired_difference(y, scores[:, 0], scores[:, 1], groups)
    aucs, covariance = obuchowski.clustered(y, scores, groups)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert got.value == pytest.approx(aucs[1] - aucs[0], abs=1e-12)
    assert got.standard_error == pytest.approx(math.sqrt(variance), abs=1e-12)
    margin = 1.959963984540054 * math.sqrt(variance)
    assert (got.low, got.high) == pytest.approx((got.value - margin, got.value + margin), abs=1e-12)
    z = (aucs[1] - aucs[0]) / math.sqrt(variance)
    assert got.p == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)
    other = obuchowski.paired_difference(y, scores[:, 1], scores[:, 0], groups)
    assert (other.value, other.p) == pytest.approx((-got.value, got.p), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_models_that_rank_alike_do_not_differ(seed):
    y, scores = rows_of(seed, decimals=1)
    same = obuchowski.paired_difference(
        y, scores[:, 0], 1 / (1 + np.exp(-scores[:, 0])), np.arange(40) // 2
    )
    assert (same.value, same.standard_error, same.p) == (0, 0, 1)


def test_a_difference_without_variation_has_no_p():
    y = np.arange(8) < 4
    got = obuchowski.paired_difference(y, -1.0 * y, 1.0 * y, np.arange(8))
    assert (got.value, got.low, got.high, got.standard_error) == (1, 1, 1, 0)
    assert math.isnan(got.p)


def test_a_covariance_needs_two_groups_of_each_kind():
    y = np.array([1, 1, 0, 0, 0], bool)
    scores = np.arange(10.0).reshape(5, 2) % 7
    for groups in ([0, 0, 1, 2, 3], [0, 1, 2, 2, 2]):
        aucs, covariance = obuchowski.clustered(y, scores, np.array(groups))
        assert not np.isnan(aucs).any() and np.isnan(covariance).all()
        got = obuchowski.paired_difference(y, scores[:, 0], scores[:, 1], np.array(groups))
        assert got.value == pytest.approx(aucs[1] - aucs[0], abs=1e-15)
        assert math.isnan(got.p) and math.isnan(got.low) and math.isnan(got.standard_error)
    for none in (y & False, y | True):
        aucs, covariance = obuchowski.clustered(none, scores, np.arange(5))
        assert np.isnan(aucs).all() and np.isnan(covariance).all()
        got = obuchowski.paired_difference(none, scores[:, 0], scores[:, 1], np.arange(5))
        assert math.isnan(got.value) and math.isnan(got.p)


def test_bad_input():
    y = np.arange(4) < 2
    with pytest.raises(ValueError, match=r"labels \(4,\) and groups \(3,\)"):
        obuchowski.clustered(y, np.zeros((4, 1)), np.arange(3))
    with pytest.raises(ValueError, match=r"labels \(4,\) and groups \(3,\)"):
        obuchowski.paired_difference(y, np.zeros(4), np.zeros(4), np.arange(3))
    with pytest.raises(ValueError, match=r"scores \(4,\) and \(3,\), expected \[n\] both"):
        obuchowski.paired_difference(y, np.zeros(4), np.zeros(3), np.arange(4))
    with pytest.raises(ValueError, match="a score is nan"):
        obuchowski.clustered(y, np.full((4, 1), np.nan), np.arange(4))
