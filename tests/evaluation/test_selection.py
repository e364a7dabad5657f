"""What validation says of a checkpoint, and what is chosen by."""

import types

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from micle_tf.data.targets import Targets
from micle_tf.errors import BadInput
from micle_tf.evaluation.selection import judge_selection, metric_to_choose_by
from tests.evaluation.test_predictions import make_index

RNG = np.random.default_rng(0)
CLASSES, FINDINGS = Targets(("a", "b", "c"), False), Targets(("e", "f"), True)
LABELS = np.array([0, 1, 2, -1, 1, 0, 2, 2, 1, 0])


def split_of(labels):
    reader = types.SimpleNamespace(index=make_index([1] * len(labels)))
    return types.SimpleNamespace(name="validation", reader=reader, labels=labels)


def test_classes_are_judged_by_their_cross_entropy_and_metrics():
    scores = RNG.dirichlet(np.ones(3), len(LABELS))
    found = judge_selection(split_of(LABELS), scores, CLASSES, True)
    known = LABELS >= 0
    assert found["loss"] == pytest.approx(log_loss(LABELS[known], scores[known]))
    aucs = [roc_auc_score(LABELS[known] == k, scores[known, k]) for k in range(3)]
    assert found["case/auc_macro"] == pytest.approx(np.mean(aucs))


def test_findings_are_judged_where_they_are_known():
    labels = np.array([[1, 0], [0, 1], [1, -1], [0, 0], [-1, 1]], np.int8)
    scores = RNG.random((5, 2))
    found = judge_selection(split_of(labels), scores, FINDINGS, False)
    known = labels >= 0
    assert found["loss"] == pytest.approx(log_loss(labels[known], scores[known]))
    assert set(found) >= {"loss", "findings/auc_mean"}


@pytest.mark.parametrize(
    "targets, shared, labels, expected",
    [
        (CLASSES, True, LABELS, "case/auc_macro"),
        (CLASSES, False, LABELS, "image/auc_macro"),
        (FINDINGS, True, np.array([[1, 0], [0, 1]]), "case/findings/auc_mean"),
        (FINDINGS, False, np.array([[1, 0], [0, 1]]), "findings/auc_mean"),
        (CLASSES, True, np.zeros(4, int), "loss"),  # no AUC of one class
    ],
)
def test_the_usual_metric(targets, shared, labels, expected, capsys):
    assert metric_to_choose_by("", split_of(labels), targets, shared) == expected
    noted = "note: case/auc_macro is not defined on validation, so that the lowest loss counts\n"
    assert capsys.readouterr().out == (noted if expected == "loss" else "")


def test_a_typed_metric_has_to_be_defined():
    split = split_of(LABELS)
    assert metric_to_choose_by("validation/case/top1", split, CLASSES, True) == "case/top1"
    with pytest.raises(
        BadInput, match=r"^--best_metric=case/top2: not one of loss, .*did you mean"
    ):
        metric_to_choose_by("case/top2", split, CLASSES, True)
    with pytest.raises(BadInput, match="not defined on validation, whose labels are all alike"):
        metric_to_choose_by("case/auc_macro", split_of(np.zeros(4, int)), CLASSES, True)
