import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, top_k_accuracy_score

from micle_tf.evaluation.metrics import (
    auc,
    case_probabilities,
    classification_metrics,
    findings_metrics,
    metrics_of,
)


def names(num_classes):
    return [f"c{k}" for k in range(num_classes)]


def scores(rng, n, num_classes, decimals=None):
    y = rng.integers(0, num_classes, n)
    p = rng.dirichlet(np.ones(num_classes), n)
    p[np.arange(n), y] += 0.3
    p /= p.sum(axis=1, keepdims=True)
    return y, p if decimals is None else np.round(p, decimals)


def test_auc_by_hand():
    # Pairs (positive, negative): 3>1, 3>2, 2>1 and 2=2: 3.5 of 4.
    assert auc(np.array([0, 0, 1, 1], bool), np.array([1.0, 2.0, 3.0, 2.0])) == 3.5 / 4
    assert auc(np.array([0, 1], bool), np.array([0.0, 1.0])) == 1.0
    assert auc(np.array([0, 1], bool), np.array([1.0, 0.0])) == 0.0
    assert auc(np.array([0, 1, 0, 1, 1], bool), np.zeros(5)) == 0.5


@pytest.mark.parametrize("decimals", [None, 2, 1, 0])
def test_auc_equals_scikit_learn_and_all_pairs(decimals):
    rng = np.random.default_rng(0)
    for n in (2, 5, 50, 400):
        y = rng.integers(0, 2, n).astype(bool)
        y[:2] = [True, False]
        score = rng.normal(size=n) + y
        score = score if decimals is None else np.round(score, decimals)
        difference = score[y][:, None] - score[~y][None, :]
        pairs = np.mean((difference > 0) + 0.5 * (difference == 0))
        assert auc(y, score) == pytest.approx(roc_auc_score(y, score), abs=1e-12)
        assert auc(y, score) == pytest.approx(pairs, abs=1e-12)


def test_auc_is_nan_with_one_class():
    assert math.isnan(auc(np.ones(3, bool), np.arange(3.0)))
    assert math.isnan(auc(np.zeros(3, bool), np.arange(3.0)))
    assert math.isnan(auc(np.zeros(0, bool), np.zeros(0)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_metrics_equal_scikit_learn_with_and_without_ties(decimals, dtype):
    rng = np.random.default_rng(1)
    for num_classes in (3, 4, 8, 27):
        y, p = scores(rng, 300, num_classes, decimals)
        p = p.astype(dtype)
        labels = np.arange(num_classes)
        got = classification_metrics(y, p, names(num_classes))

        top1 = top_k_accuracy_score(y, p, k=1, labels=labels)
        assert got["top1"] == pytest.approx(top1, abs=1e-12)
        if num_classes > 3:
            top3 = top_k_accuracy_score(y, p, k=3, labels=labels)
            assert got["top3"] == pytest.approx(top3, abs=1e-12)
        else:
            assert "top3" not in got
        predicted = num_classes - 1 - np.argmax(p[:, ::-1], axis=1)  # the higher index of equals
        assert got["balanced_accuracy"] == pytest.approx(
            balanced_accuracy_score(y, predicted), abs=1e-12
        )
        one_vs_rest = [roc_auc_score(y == k, p[:, k]) for k in labels]
        assert [got[f"auc/c{k}"] for k in labels] == pytest.approx(one_vs_rest, abs=1e-12)
        assert got["auc_macro"] == pytest.approx(np.mean(one_vs_rest), abs=1e-12)


def test_metrics_by_hand():
    p = np.array(
        [
            [0.4, 0.3, 0.2, 0.1],  # class 0: right
            [0.4, 0.3, 0.2, 0.1],  # class 0: right
            [0.4, 0.3, 0.2, 0.1],  # class 2: third
            [0.4, 0.3, 0.2, 0.1],  # class 3: last
            [
                0.1,
                0.7,
                0.1,
                0.1,
            ],  # class 3: ties with 0 and 2 for second, ahead as the highest index
        ]
    )
    got = classification_metrics(np.array([0, 0, 2, 3, 3]), p, ["a", "b", "c", "d"])
    assert got == {
        "top1": pytest.approx(2 / 5),
        "top3": pytest.approx(4 / 5),
        "balanced_accuracy": pytest.approx((1 + 0 + 0) / 3),
        "auc_macro": pytest.approx(np.mean([4 / 6, 2.5 / 4, 0.5])),
        "auc/a": pytest.approx(4 / 6),  # each positive: ties with 2, above 1 of the 3 others
        "auc/c": pytest.approx(2.5 / 4),  # ties with 3, above 1
        "auc/d": pytest.approx(0.5),
    }


def test_absent_and_universal_classes_have_no_auc():
    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.ones(5), 40)
    got = classification_metrics(np.where(np.arange(40) < 15, 1, 4), p, names(5))
    assert [k for k in got if k.startswith("auc/")] == ["auc/c1", "auc/c4"]
    assert got["auc_macro"] == pytest.approx((got["auc/c1"] + got["auc/c4"]) / 2)

    one = classification_metrics(np.full(40, 2), p, names(5))
    assert math.isnan(one["auc_macro"])
    assert not [k for k in one if k.startswith("auc/")]
    assert one["balanced_accuracy"] == one["top1"] == np.mean(p.argmax(axis=1) == 2)


def test_two_classes():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])
    got = classification_metrics(np.array([0, 0, 1, 1]), p, ["benign", "malignant"])
    assert got == {
        "top1": 0.75,
        "balanced_accuracy": 0.75,
        "auc_macro": 1.0,
        "auc/benign": 1.0,
        "auc/malignant": 1.0,
    }


@pytest.mark.parametrize(
    "y, p, class_names, message",
    [
        (np.zeros(0, int), np.zeros((0, 2)), ["a", "b"], "no rows"),
        (np.array([0, -1]), np.zeros((2, 2)), ["a", "b"], "from -1 to 0"),
        (np.array([0, 2]), np.zeros((2, 2)), ["a", "b"], "from 0 to 2"),
        (np.array([0.0, 1.0]), np.zeros((2, 2)), ["a", "b"], "integers"),
        (np.array([0, 1]), np.full((2, 2), np.nan), ["a", "b"], "nan"),
        (np.array([0, 1]), np.zeros((2, 2)), ["a"], "1 class names"),
        (np.array([0, 1]), np.zeros((2, 2)), ["a", "a"], "1 of them distinct"),
        (np.array([0, 1, 1]), np.zeros((2, 2)), ["a", "b"], "expected"),
    ],
)
def test_bad_input(y, p, class_names, message):
    with pytest.raises(ValueError, match=message):
        classification_metrics(y, p, class_names)


def test_case_probabilities():
    p = np.array([[0.2, 0.8], [1.0, 0.0], [0.4, 0.6], [0.0, 1.0], [0.3, 0.7]], np.float32)
    mean, first = case_probabilities(p, ["z", "a", "z", "m", "z"])
    np.testing.assert_allclose(mean, [[0.3, 0.7], [1.0, 0.0], [0.0, 1.0]], atol=1e-7)
    assert mean.dtype == np.float64
    assert first.tolist() == [0, 1, 3]

    rng = np.random.default_rng(3)
    p, cases = rng.dirichlet(np.ones(4), 200), rng.integers(0, 60, 200) * 7
    mean, first = case_probabilities(p, cases)
    assert cases[first].tolist() == list(dict.fromkeys(cases.tolist()))
    for row, case in zip(mean, cases[first], strict=True):
        np.testing.assert_allclose(row, p[cases == case].mean(axis=0), atol=1e-12)
    with pytest.raises(ValueError, match="expected"):
        case_probabilities(p, cases[1:])


def test_images_and_cases_have_names_of_their_own():
    y, p = scores(np.random.default_rng(4), 40, 3)
    of_classes = classification_metrics(y, p, names(3))
    truth = (p.argsort(axis=1) > 1).astype(int)
    of_findings = findings_metrics(truth, p, names(3))
    assert 0 < of_classes["top1"] < 1 and 0 < of_findings["findings/auc_mean"] < 1
    for level in ("image", "case"):
        prefixed = {f"{level}/{name}": value for name, value in of_classes.items()}
        assert metrics_of(level, names(3), False)(y, p) == prefixed
    prefixed = {f"case/{name}": value for name, value in of_findings.items()}
    assert metrics_of("case", names(3), True)(truth, p) == prefixed
    assert metrics_of("image", names(3), True)(truth, p) == of_findings
