"""Calibration against brute force, scikit-learn and SciPy."""

import numpy as np
import pytest
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from micle_tf.statistics import calibration
from micle_tf.statistics.columns import Columns, certainty_of_classes
from tests.statistics import rows


def of_one(y, p):
    return Columns.of_findings(np.asarray(y)[:, None], np.asarray(p, float)[:, None], ["a"])


def ece_by_bins(right, p):
    total = 0
    for i in range(15):
        within = (p > i / 15) & (p <= (i + 1) / 15) if i else p <= 1 / 15
        if within.any():
            total += within.mean() * abs(right[within].mean() - p[within].mean())
    return total


@pytest.mark.parametrize("seed", range(3))
def test_ece_equals_the_sum_over_bins_of_classes_and_of_findings(seed):
    y, p, names = rows.of_classes(seed, 200, decimals=2)
    certainty = certainty_of_classes(Columns.of_classes(y, p, names))
    statistic, weights = calibration.ece(certainty), rows.weights_of(seed, 200)
    assert statistic.names == ("ece",)
    at = np.repeat(np.arange(200), weights)
    expected = ece_by_bins(certainty.truths[at, 0], certainty.scores[at, 0])
    assert statistic(weights) == pytest.approx([expected], abs=1e-12)

    columns = Columns.of_findings(*rows.of_findings(seed, 200, decimals=2))
    values = calibration.ece(columns)(weights)
    for k, known in enumerate(columns.known.T):
        at = np.repeat(np.arange(200), weights * known)
        expected = ece_by_bins(columns.truths[at, k], columns.scores[at, k])
        assert values[k] == pytest.approx(expected, abs=1e-12)


def test_ece_by_hand_at_the_edges_of_bins():
    # 1/15 belongs to the first bin, with 0; 1 to the last.
    columns = of_one([0, 1, 1], [0, 1 / 15, 1])
    assert calibration.ece(columns)(np.ones(3, int)) == pytest.approx([(1 - 1 / 15) / 3])


@pytest.mark.parametrize("seed", range(3))
def test_brier_equals_scikit_learn_and_is_the_sum_over_classes(seed):
    columns, weights = Columns.of_findings(*rows.of_findings(seed)), rows.weights_of(seed, 60)
    expected = [
        brier_score_loss(
            columns.truths[known, k], columns.scores[known, k], sample_weight=weights[known]
        )
        for k, known in enumerate(columns.known.T)
    ]
    np.testing.assert_allclose(calibration.brier(columns)(weights), expected, rtol=1e-12)

    y, p, names = rows.of_classes(seed)
    statistic = calibration.brier_of_classes(Columns.of_classes(y, p, names))
    squares = ((p - np.eye(4)[y]) ** 2).sum(axis=1)
    assert statistic.names == ("brier",)
    assert statistic(weights) == pytest.approx([np.average(squares, weights=weights)], abs=1e-12)


def likelihood(theta, y, x, slope=None):
    eta = theta[0] + (theta[1] if slope is None else slope) * x
    return np.sum(np.logaddexp(0, eta) - y * eta)


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("seed", range(3))
def test_slope_and_intercept_equal_scikit_learn_and_scipy(seed, decimals):
    y, p, names = rows.of_findings(seed, 150, 2, decimals)
    columns, weights = Columns.of_findings(y, p, names), rows.weights_of(seed, 150)
    slopes, intercepts = calibration.slope(columns), calibration.intercept(columns)
    assert slopes.names == ("calibration_slope/c0", "calibration_slope/c1")
    assert intercepts.names == ("calibration_intercept/c0", "calibration_intercept/c1")
    for k in range(2):
        at = np.repeat(np.arange(150), weights * columns.known[:, k])
        truth, x = columns.truths[at, k], logit(np.clip(columns.scores[at, k], 1e-7, 1 - 1e-7))
        fitted = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12)
        expected = fitted.fit(x[:, None], truth).coef_.item()
        assert slopes(weights)[k] == pytest.approx(expected, rel=1e-7)
        best = minimize(likelihood, [0.0], (truth, x, 1.0), method="BFGS", tol=1e-9)
        assert intercepts(weights)[k] == pytest.approx(best.x[0], abs=1e-6)
        # The residuals sum to 0 there.
        assert np.mean(truth - expit(intercepts(weights)[k] + x)) == pytest.approx(0, abs=1e-9)
    rows.assert_weights_repeat(calibration.slope, columns, weights, rtol=1e-8)
    rows.assert_weights_repeat(calibration.intercept, columns, weights, rtol=1e-8)


def test_slope_and_intercept_in_closed_form():
    # Two values of p, whose logits are -2 and 2; of the rows 1 in 4 and 2 in 3 are positive: the
    # regression goes through the logits of both shares.
    columns = of_one([1, 0, 0, 0, 1, 1, 0], expit([-2, -2, -2, -2, 2, 2, 2]))
    expected = (logit(2 / 3) - logit(1 / 4)) / 4
    assert calibration.slope(columns)(np.ones(7, int)) == pytest.approx([expected], abs=1e-9)
    # Where all p are 1/2 the intercept is the logit of the share of positives.
    columns = of_one([1, 0, 0, 0], [0.5] * 4)
    assert calibration.intercept(columns)(np.ones(4, int)) == pytest.approx([logit(0.25)], abs=1e-9)


def test_probabilities_of_a_twice_too_sure_model_have_half_a_slope():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, 200_000)
    columns = of_one((rng.random(len(x)) < expit(x)).astype(int), expit(2 * x))
    assert calibration.slope(columns)(np.ones(len(x), int)) == pytest.approx([0.5], abs=0.01)


@pytest.mark.parametrize(
    ("y", "p"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]),
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4]),
        ([0, 0, 1, 1], [0.1, 0.3, 0.3, 0.4]),  # they touch
        ([1, 0, 1, 0], [0.3, 0.3, 0.3, 0.3]),
        ([1, 1, 1], [0.1, 0.2, 0.3]),
        ([0, 0], [0.1, 0.2]),
        ([-1, -2], [0.1, 0.2]),
    ],
)
def test_there_is_no_slope_where_the_score_separates(y, p):
    columns = of_one(y, p)
    assert np.isnan(calibration.slope(columns)(np.ones(len(y), int))).all()
    both = {0, 1} <= set(y)
    assert np.isnan(calibration.intercept(columns)(np.ones(len(y), int))).tolist() == [not both]


def test_a_resample_may_separate_what_all_rows_do_not():
    columns = of_one([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
    slope = calibration.slope(columns)
    assert not np.isnan(slope(np.ones(4, int)))
    assert np.isnan(slope(np.array([1, 0, 1, 1]))) and np.isnan(slope(np.zeros(4, int)))


def gradient_at(b, y, x, weights):
    """The derivative of the mean log likelihood after the slope, the intercept being the best."""
    excess = lambda a: np.average(expit(a + b * x) - y, weights=weights)
    span = 50 + abs(b) * np.abs(x).max()
    a = brentq(excess, -span, span, xtol=1e-13, rtol=1e-15)
    residuals = weights * (y - expit(a + b * x))
    return residuals @ (x - x.mean()) / (weights.sum() * max(np.ptp(x), 1e-9))


@pytest.mark.parametrize("seed", range(60))
def test_a_maximum_is_found_wherever_there_is_one(seed):
    """Few rows, some of them sure and wrong, and weights far from those of the start."""
    rng = np.random.default_rng(seed)
    n = rng.integers(4, 12)
    y, x = rng.integers(0, 2, n), rng.normal(0, rng.choice([0.1, 2, 8]), n)
    statistic = calibration.slope(of_one(y, expit(x)))
    x = logit(np.clip(expit(x), 1e-7, 1 - 1e-7))
    for weights in (np.ones(n, int), rng.integers(0, 2, n) * rng.integers(1, 100, n)):
        slope = statistic(weights)[0]
        true, false = x[(y == 1) & (weights > 0)], x[(y == 0) & (weights > 0)]
        overlap = len(true) and len(false) and true.min() < false.max() and false.min() < true.max()
        assert np.isnan(slope) == (not overlap)
        if overlap:
            assert gradient_at(slope, y, x, weights) == pytest.approx(0, abs=1e-7)


def test_a_resample_far_from_all_rows_is_found_from_the_beginning():
    """All rows have so high a slope that its likelihood is flat for those of the resample."""
    y = np.array([0] * 5000 + [1] * 5000 + [1, 0, 1, 0])
    x = np.array([-0.1] * 5000 + [0.1] * 5000 + [-5.0, -4.0, 4.0, 5.0])
    weights = np.array([0] * 10_000 + [1] * 4)
    statistic = calibration.slope(of_one(y, expit(x)))
    assert statistic(np.ones(10_004, int))[0] > 40
    assert gradient_at(statistic(weights)[0], y, x, weights) == pytest.approx(0, abs=1e-9)
