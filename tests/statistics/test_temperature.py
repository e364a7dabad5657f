"""Temperature against brute force and closed forms."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, softmax
from sklearn.metrics import log_loss

from micle_tf.statistics import temperature


def sure(seed, factor, n=400, num_classes=4):
    """Labels of a perfect model, and its probabilities with logits times `factor`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, num_classes))
    p = softmax(logits, axis=1)
    y = np.array([rng.choice(num_classes, p=one) for one in p])
    return y, softmax(factor * logits, axis=1)


@pytest.mark.parametrize("factor", [0.3, 1, 4])
@pytest.mark.parametrize("seed", range(2))
def test_of_classes_has_the_lowest_loss_and_undoes_a_factor(seed, factor):
    y, p = sure(seed, factor)
    found = temperature.fit_classes(y, p)
    loss = lambda inverse: log_loss(y, temperature.scale_classes(p, 1 / inverse))
    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-10})
    assert 1 / found == pytest.approx(best.x, rel=1e-5)
    assert found == pytest.approx(factor * temperature.fit_classes(*sure(seed, 1)), rel=1e-8)
    assert found == pytest.approx(factor, rel=0.3)


@pytest.mark.parametrize("seed", range(3))
def test_of_findings_has_the_lowest_loss_on_known_rows(seed):
    rng = np.random.default_rng(seed)
    p = expit(rng.normal(0, 2, (300, 2)))
    y = (rng.random(p.shape) < expit(logit(p) / 3)).astype(int)
    y[::5, 0], y[1::5, 0] = -1, -2
    found = temperature.fit_findings(y, p)
    for k in range(2):
        known = y[:, k] >= 0
        loss = lambda inverse, k=k, known=known: log_loss(
            y[known, k], temperature.scale_findings(p, [1 / inverse] * 2)[known, k]
        )
        best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-10})
        assert 1 / found[k] == pytest.approx(best.x, rel=1e-5)


def test_in_closed_form_three_of_four_are_right():
    # All at p = 0.9; the best p is 3/4, so that logit(0.9) / T = logit(3/4).
    y, p = np.array([1, 1, 1, 0]), np.full(4, 0.9)
    expected = logit(0.9) / logit(0.75)
    assert temperature.fit_findings(y[:, None], p[:, None]) == pytest.approx([expected], rel=1e-9)
    both = np.stack([1 - p, p], axis=1)
    assert temperature.fit_classes(y, both) == pytest.approx(expected, rel=1e-9)


def test_ends_of_the_limits_and_findings_without_both_values():
    right, wrong = np.array([[1], [0]]), np.array([[0], [1]])
    p = np.array([[0.9], [0.1]])
    assert temperature.fit_findings(right, p) == [1 / 20]
    assert temperature.fit_findings(wrong, p) == [20]
    both = np.hstack([1 - p, p])
    assert temperature.fit_classes(right[:, 0], both) == 1 / 20
    assert temperature.fit_classes(wrong[:, 0], both) == 20
    one = np.array([[1, 0, -1], [1, 0, -2]])
    assert temperature.fit_findings(one, np.full((2, 3), 0.7)).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="no rows"):
        temperature.fit_classes(np.zeros(0, int), np.zeros((0, 2)))


def test_a_row_that_is_sure_and_wrong_leaves_a_temperature():
    y, p = np.array([0, 1, 1]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert 1 / 20 <= temperature.fit_classes(y, p) <= 20
    assert 1 / 20 <= temperature.fit_findings(y[:, None], p[:, 1:])[0] <= 20


@pytest.mark.parametrize("t", [0.05, 0.7, 1, 3, 20])
def test_scaling_keeps_every_order_0_and_1_and_at_1_the_probabilities(t):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(5, 0.2), 300)
    p[0] = [0, 0, 0.25, 0.75, 0]
    classes = temperature.scale_classes(p, t)
    np.testing.assert_allclose(classes.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(classes.argmax(axis=1), p.argmax(axis=1))
    assert classes[0, [0, 1, 4]].tolist() == [0, 0, 0]
    assert classes[0, 3] / classes[0, 2] == pytest.approx(3 ** (1 / t))

    q = np.sort(np.append(rng.random((50, 1)), [[0.0], [1.0]], axis=0), axis=0)
    findings = temperature.scale_findings(q, [t])
    assert (np.diff(findings[:, 0]) >= 0).all()
    assert findings[[0, -1], 0].tolist() == [0, 1]
    if t == 1:
        np.testing.assert_allclose(classes, p, atol=1e-14)
        np.testing.assert_allclose(findings, q, atol=1e-14)
