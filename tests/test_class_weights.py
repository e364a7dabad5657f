import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from micle_tf.class_weights import balanced_class_weights, balanced_finding_weights


def test_class_weights_equal_scikit_learn():
    labels = np.random.default_rng(0).choice(5, 200, p=[0.5, 0.3, 0.1, 0.06, 0.04])
    weights = balanced_class_weights(labels, 5)
    expected = compute_class_weight("balanced", classes=np.arange(5), y=labels)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights[labels].mean() == pytest.approx(1, rel=1e-6)


def test_a_class_without_rows_weighs_nothing():
    labels = np.array([0, 0, 0, 3], np.int8)
    weights = balanced_class_weights(labels, 5)
    np.testing.assert_allclose(weights, [4 / (2 * 3), 0, 0, 4 / (2 * 1), 0], rtol=1e-6)
    expected = compute_class_weight("balanced", classes=np.array([0, 3]), y=labels)
    np.testing.assert_allclose(weights[[0, 3]], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "labels, message",
    [
        (np.zeros(0, int), "n > 0"),
        (np.zeros((2, 2), int), "n > 0"),
        (np.array([0.0, 1.0]), "integers"),
        (np.array([0, -1]), "from -1 to 0"),
        (np.array([0, 3]), "from 0 to 3"),
    ],
)
def test_bad_labels(labels, message):
    with pytest.raises(ValueError, match=message):
        balanced_class_weights(labels, 3)


def test_finding_weights_by_hand():
    findings = np.array(
        [
            [1, 0, 1, -2, -1],
            [0, 0, 1, -2, 0],
            [0, 0, -1, -1, -2],
            [0, -2, -2, -2, 1],
        ],
        np.int8,
    )
    weights = balanced_finding_weights(findings)
    assert weights.dtype == np.float32
    expected = [[4 / 6, 4 / 2], [1, 0], [0, 1], [0, 0], [1, 1]]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_absent_and_present_weigh_the_same_and_one_on_average():
    rng = np.random.default_rng(1)
    findings = rng.choice(np.array([1, 0, -1, -2], np.int8), (300, 6), p=[0.05, 0.5, 0.15, 0.3])
    weights = balanced_finding_weights(findings)
    for k in range(6):
        absent, present = (findings[:, k] == 0).sum(), (findings[:, k] == 1).sum()
        assert weights[k, 0] * absent == pytest.approx(weights[k, 1] * present, rel=1e-6)
        total = weights[k, 0] * absent + weights[k, 1] * present
        assert total == pytest.approx(absent + present, rel=1e-6)


def test_findings_must_be_a_matrix():
    with pytest.raises(ValueError, match=r"expected \[n, K\]"):
        balanced_finding_weights(np.zeros(3, np.int8))
    np.testing.assert_array_equal(balanced_finding_weights(np.zeros((0, 2), np.int8)), 0)
