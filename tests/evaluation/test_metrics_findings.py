import math
import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from micle_tf.evaluation.metrics import case_findings, case_probabilities, findings_metrics

NAMES = ["edema", "effusion", "fracture"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("decimals", [None, 1])
def test_equals_scikit_learn_on_the_known_rows(decimals, dtype):
    rng = np.random.default_rng(0)
    names = [f"f{k}" for k in range(14)]
    truth = rng.choice(np.array([1, 0, -1, -2], np.int8), (300, 14), p=[0.1, 0.4, 0.1, 0.4])
    score = rng.random((300, 14)) + 0.2 * (truth == 1)
    score = (score if decimals is None else np.round(score, decimals)).astype(dtype)
    got = findings_metrics(truth, score, names)
    assert list(got) == ["findings/auc_mean", *(f"findings/auc/{name}" for name in names)]
    expected = [
        roc_auc_score(truth[truth[:, k] >= 0, k], score[truth[:, k] >= 0, k]) for k in range(14)
    ]
    assert [got[f"findings/auc/{name}"] for name in names] == pytest.approx(expected, abs=1e-12)
    assert got["findings/auc_mean"] == pytest.approx(np.mean(expected), abs=1e-12)


def test_by_hand():
    truth = np.array([[1, 0, -1], [0, 1, 1], [0, -1, 0], [-2, 1, -2], [1, 0, 0]], np.int8)
    score = np.array(
        [[0.9, 0.2, 0.0], [0.9, 0.1, 0.7], [0.1, 9.0, 0.2], [9.0, 0.3, 9.0], [0.3, 0.25, 0.1]]
    )
    assert findings_metrics(truth, score, NAMES) == {
        "findings/auc/edema": 2.5 / 4,  # 0.9 ties with 0.9 and beats 0.1; 0.3 beats 0.1
        "findings/auc/effusion": 2 / 4,  # 0.3 beats both, 0.1 none
        "findings/auc/fracture": 1.0,
        "findings/auc_mean": pytest.approx((2.5 / 4 + 2 / 4 + 1) / 3),
    }


def test_findings_without_both_values_are_left_out():
    truth = np.array([[-1, 0, 1], [-2, 0, 0], [-2, -1, 1]], np.int8)
    score = np.array([[0.5, 0.5, 0.1], [0.6, 0.6, 0.2], [0.7, 0.7, 0.3]])
    got = findings_metrics(truth, score, NAMES)
    assert got == {"findings/auc_mean": 0.5, "findings/auc/fracture": 0.5}
    # What is unknown must not matter, uncertain present ones least of all.
    changed = np.where(truth >= 0, score, 1e9)
    assert findings_metrics(truth, changed, NAMES) == got

    none = findings_metrics(truth[:, :2], score[:, :2], NAMES[:2])
    assert list(none) == ["findings/auc_mean"] and math.isnan(none["findings/auc_mean"])


@pytest.mark.parametrize(
    "truth, score, names, message",
    [
        (np.zeros((0, 3), int), np.zeros((0, 3)), NAMES, "no rows"),
        (np.zeros((2, 3), int), np.zeros((3, 3)), NAMES, "expected"),
        (np.zeros(3, int), np.zeros((3, 3)), NAMES, "expected"),
        (np.zeros((2, 3)), np.zeros((2, 3)), NAMES, "integers"),
        (np.full((2, 3), 2), np.zeros((2, 3)), NAMES, "from 2 to 2"),
        (np.full((2, 3), -3), np.zeros((2, 3)), NAMES, "from -3 to -3"),
        (np.zeros((2, 3), int), np.full((2, 3), np.nan), NAMES, "nan"),
        (np.zeros((2, 3), int), np.zeros((2, 3)), NAMES[:2], "2 finding names"),
        (np.zeros((2, 3), int), np.zeros((2, 3)), ["a", "b", "a"], "2 of them distinct"),
    ],
)
def test_bad_input(truth, score, names, message):
    with pytest.raises(ValueError, match=message):
        findings_metrics(truth, score, names)


def test_cheap_enough_for_the_bootstrap():
    rng = np.random.default_rng(0)
    truth = rng.integers(-2, 2, (1000, 14)).astype(np.int8)
    score = rng.random((1000, 14))
    names = [f"f{k}" for k in range(14)]
    start = time.process_time()
    for _ in range(20):
        findings_metrics(truth, score, names)
    assert time.process_time() - start < 0.4  # 20 ms when written


def test_case_findings_by_hand():
    findings = np.array(
        [
            [-2, 1, -2, -2],  # z
            [0, 0, -1, -2],  # a
            [1, 0, -2, -2],  # z
            [-1, 1, 1, 1],  # a
            [0, -2, -1, -2],  # z
        ],
        np.int8,
    )
    shared = case_findings(findings, ["z", "a", "z", "a", "z"])
    assert shared.dtype == np.int8
    assert shared.tolist() == [[1, 1, -1, -2], [0, 0, -1, 1]]


def test_case_findings_equal_a_loop_in_the_order_of_case_probabilities():
    rng = np.random.default_rng(3)
    findings = rng.choice(np.array([1, 0, -1, -2], np.int8), (200, 6), p=[0.1, 0.1, 0.1, 0.7])
    cases = rng.integers(0, 60, 200) * 7
    expected = []
    for case in dict.fromkeys(cases.tolist()):
        rows = findings[cases == case]
        expected.append([next((v for v in rows[:, k] if v != -2), -2) for k in range(6)])
    np.testing.assert_array_equal(case_findings(findings, cases), expected)
    _, first = case_probabilities(np.ones((200, 1)), cases)
    assert cases[first].tolist() == list(dict.fromkeys(cases.tolist()))
    with pytest.raises(ValueError, match="expected"):
        case_findings(findings, cases[1:])
    assert case_findings(np.zeros((0, 3), np.int8), np.zeros(0, int)).shape == (0, 3)
