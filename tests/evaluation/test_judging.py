"""What predictions are worth: old metrics to the bit, what validation fixes, what is calibrated."""

import numpy as np
import pytest

from micle_tf.evaluation.judging import from_validation, judge, labelled, scaled
from micle_tf.evaluation.metrics import metrics_of
from micle_tf.statistics import temperature
from micle_tf.statistics.questions import OperatingPoint, Questions

CLASSES, FINDINGS = ("a", "b", "c"), ("Edema", "Fracture")
POINT = OperatingPoint("sensitivity", "specificity", 0.8)


def rows_of(multilabel, seed, cases=60):
    """Two images a case, some cases unlabelled; a patient has two cases."""
    rng = np.random.default_rng(seed)
    case = np.repeat(np.arange(cases), 2)
    if multilabel:
        of_case = rng.choice([1, 0, -1, -2], (cases, 2), p=[0.3, 0.5, 0.1, 0.1])
        score = 1 / (1 + np.exp(-(3 * (of_case[case] == 1) + rng.normal(size=(2 * cases, 2)) - 1)))
    else:
        of_case = rng.integers(-1, 3, cases)
        logits = 2 * rng.normal(size=(2 * cases, 3)) + 2 * (of_case[case][:, None] == np.arange(3))
        score = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = np.array([["image", f"c{c}", "", f"i{k}"] for k, c in enumerate(case)])
    image = {"ids": ids, "patient": case // 4, "label": of_case[case], "score": score}
    return {
        "image": image,
        "case": {
            "ids": np.array([["case", f"c{c}", "", ""] for c in range(cases)]),
            "patient": np.arange(cases) // 4,
            "label": of_case,
            "score": score.reshape(cases, 2, -1).mean(axis=1),
        },
    }


@pytest.mark.parametrize("multilabel, names", [(False, CLASSES), (True, FINDINGS)])
def test_metrics_of_before_keep_their_names_and_values(multilabel, names):
    rows = rows_of(multilabel, 0)
    judged = judge(rows, names, multilabel, Questions(), None, samples=20, seed=0)
    for level, part in rows.items():
        known = labelled(part)
        before = metrics_of(level, names, multilabel)(known["label"], known["score"])
        assert {name: judged.estimates[name].value for name in before} == before
        of_level = [n for n in judged.estimates if n.startswith("case/") == (level == "case")]
        assert of_level[: len(before)] == list(before)
    assert all(np.isfinite(one.value) for one in judged.estimates.values())


def test_thresholds_are_validations_and_not_of_what_is_judged():
    rows, validation = rows_of(False, 1), rows_of(False, 2)
    fixed = from_validation(validation, CLASSES, False, [POINT])
    for level in ("image", "case"):
        known, chosen = labelled(validation[level]), fixed.thresholds[level][POINT]
        for k in range(3):
            score, true = known["score"][:, k], known["label"] == k
            kept = [t for t in np.unique(score) if (score[~true] < t).mean() >= 0.8]
            best = max((score[true] >= t).mean() for t in kept)
            assert (score[~true] < chosen[k]).mean() >= 0.8
            assert (score[true] >= chosen[k]).mean() == best
    questions = Questions(operating_points=(POINT,))
    judged = judge(rows, CLASSES, False, questions, fixed, samples=20, seed=0)
    known, threshold = labelled(rows["case"]), fixed.thresholds["case"][POINT][1]
    decided, true = known["score"][:, 1] >= threshold, known["label"] == 1
    found = {name: one.value for name, one in judged.estimates.items()}
    assert found["case/sensitivity/b@specificity=0.8"] == pytest.approx(decided[true].mean())
    assert found["case/specificity/b@specificity=0.8"] == pytest.approx((~decided[~true]).mean())


@pytest.mark.parametrize("multilabel, names", [(False, CLASSES), (True, FINDINGS)])
def test_calibrated_metrics_are_of_scaled_images_and_of_their_means(multilabel, names):
    rows, validation = rows_of(multilabel, 1), rows_of(multilabel, 2)
    fixed = from_validation(validation, names, multilabel)
    known = labelled(validation["image"])
    if multilabel:
        expected = temperature.fit_findings(known["label"], known["score"])
        images = temperature.scale_findings(rows["image"]["score"], expected)
    else:
        expected = [temperature.fit_classes(known["label"], known["score"])]
        images = temperature.scale_classes(rows["image"]["score"], expected[0])
    assert fixed.temperature.tolist() == pytest.approx(list(expected), abs=0)
    found = scaled(rows, fixed.temperature, multilabel)
    np.testing.assert_array_equal(found["image"]["score"], images)
    means = images.reshape(60, 2, -1).mean(axis=1)
    np.testing.assert_allclose(found["case"]["score"], means, atol=1e-15)
    judged = judge(rows, names, multilabel, Questions(), fixed, samples=20, seed=0)
    brier = judged.estimates[
        "calibrated/case/" + ("findings/brier_mean" if multilabel else "brier")
    ]
    label, score = labelled(rows["case"])["label"], labelled(found["case"])["score"]
    if multilabel:
        known = label >= 0
        of_each = [((score - (label == 1)) ** 2)[known[:, k], k].mean() for k in range(2)]
        assert brier.value == pytest.approx(np.mean(of_each), abs=1e-12)
    else:
        assert brier.value == pytest.approx(
            ((score - np.eye(3)[label]) ** 2).sum(1).mean(), abs=1e-12
        )


def test_what_a_split_does_not_define_has_a_reason_and_a_resample_without_a_class_is_dropped():
    rows = rows_of(False, 3)
    for part in rows.values():
        part["label"] = np.where(part["label"] == 2, -1, part["label"])
        rare = np.flatnonzero(part["label"] == 1)
        part["label"][rare[len(rare) // 12 :]] = 0
    judged = judge(rows, CLASSES, False, Questions(), None, samples=200, seed=0)
    assert judged.undefined["case/auc/c"].startswith("no positive among ")
    assert "case/auc/c" not in judged.estimates
    macro, rare = judged.estimates["case/auc_macro"], judged.estimates["case/auc/b"]
    assert macro.dropped == rare.dropped > 0
    assert np.isfinite([macro.low, macro.high]).all()


def test_validation_without_labels_fixes_nothing():
    rows = rows_of(False, 0)
    for part in rows.values():
        part["label"] = np.full_like(part["label"], -1)
    assert from_validation(rows, CLASSES, False, [POINT]) is None
    judged = judge(rows, CLASSES, False, Questions(), None, samples=10, seed=0)
    assert (judged.estimates, judged.undefined) == ({}, {})
