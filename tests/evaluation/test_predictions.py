"""Rows of predictions.csv, and the metrics and intervals that are read off them."""

import csv
import io
import types

import numpy as np
import pytest

from micle_tf.data.targets import Targets
from micle_tf.evaluation import bootstrap_interval, predictions
from micle_tf.evaluation.contrasts import statistics_of
from micle_tf.evaluation.judging import Judged, judge, labelled
from micle_tf.evaluation.predictions_file import read_predictions
from micle_tf.statistics import bootstrap
from micle_tf.statistics.questions import OperatingPoint, Questions
from tests.data.test_targets import make_index

CLASSES, FINDINGS = Targets(("a", "b", "c"), False), Targets(("e", "f"), True)
PER_CASE = [1, 3, 2, 1, 2, 2, 3, 1]


def example(targets, shared=True, seed=0):
    """(index, labels, levels); cases 2 and 5 are unlabelled, and two patients have two cases."""
    index = make_index(PER_CASE)
    patients = index.patient_id.copy()
    patients[[1, 6]] = patients[0], patients[4]
    index = type(index)(**vars(index) | {"patient_id": patients})
    rng = np.random.default_rng(seed)
    if targets.multilabel:
        of_case = rng.choice([1, 0, -1, -2], (8, 2)).astype(np.int8)
        of_case[[2, 5]] = -2
        of_case[:2], of_case[6:] = (1, 0), (0, 1)
    else:
        of_case = np.array([0, 1, -1, 2, 1, -1, 0, 1])
    labels = np.repeat(of_case, PER_CASE, axis=0)
    scores = rng.dirichlet(np.ones(len(targets.names)), len(labels)).astype(np.float32)
    return index, labels, predictions.by_level(index, labels, scores, shared)


def test_levels_of_classes():
    index, labels, levels = example(CLASSES)
    assert list(levels) == ["image", "case"]
    image, case = levels["image"], levels["case"]
    np.testing.assert_array_equal(image["label"], labels)
    assert case["label"].tolist() == [0, 1, -1, 2, 1, -1, 0, 1]
    patients = ["p0", "p0", "p2", "p3", "p4", "p5", "p4", "p7"]
    assert case["ids"].T[1:].tolist() == [index.case_id.tolist(), patients, [""] * 8]
    assert [set(rows["ids"][:, 0]) for rows in (image, case)] == [{"image"}, {"case"}]
    assert len(set(image["ids"][:, 3])) == 15
    first = 0
    for number, count in enumerate(PER_CASE):
        own = slice(first, first + count)
        mean = image["score"][own].astype(np.float64).mean(0)
        np.testing.assert_allclose(case["score"][number], mean, atol=1e-15)
        assert set(image["ids"][own, 1]) == {f"c{number}"}
        assert len({*image["patient"][own], case["patient"][number]}) == 1
        first += count


def test_without_shared_labels_there_is_no_case_level():
    for targets in (CLASSES, FINDINGS):
        assert list(example(targets, shared=False)[2]) == ["image"]


def test_a_case_states_what_any_of_its_images_states():
    index = make_index([2, 1])
    labels = np.array([[-2, 1], [0, 0], [-1, -2]], np.int8)
    levels = predictions.by_level(index, labels, np.ones((3, 2)) / 2, True)
    assert levels["case"]["label"].tolist() == [[0, 1], [-1, -2]]


def test_csv_of_classes():
    _, labels, levels = example(CLASSES)
    text = predictions.predictions_csv(levels, CLASSES)
    assert text.splitlines()[0] == "level,case_id,patient_id,image_id,label,p_a,p_b,p_c"
    assert text.endswith("\n") and "\r" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["level"] for row in rows] == ["image"] * 15 + ["case"] * 8
    assert [row["label"] for row in rows[:15]] == ["abc"[k] if k >= 0 else "" for k in labels]
    for level in levels:
        found = [[row[f"p_{n}"] for n in "abc"] for row in rows if row["level"] == level]
        np.testing.assert_allclose(np.array(found, float), levels[level]["score"], rtol=5e-9)
        assert max(len(p.replace("0.", "").lstrip("0")) for row in found for p in row) == 9


def test_csv_of_findings_and_of_names_with_commas():
    _, labels, levels = example(Targets(("e, mild", 'f "x"'), True))
    text = predictions.predictions_csv(levels, Targets(("e, mild", 'f "x"'), True))
    rows = list(csv.reader(io.StringIO(text)))
    stated = ["label_e, mild", 'label_f "x"', "p_e, mild", 'p_f "x"']
    assert rows[0] == ["level", "case_id", "patient_id", "image_id", *stated]
    assert [[int(v) for v in row[4:6]] for row in rows[1:16]] == labels.tolist()


def test_metrics_are_of_labelled_rows_alone():
    for targets, names in (
        (CLASSES, {"image/top1", "case/top1", "image/auc_macro", "case/auc/b"}),
        (FINDINGS, {"findings/auc_mean", "case/findings/auc_mean", "case/findings/auc/f"}),
    ):
        _, _, levels = example(targets)
        before = predictions.point_metrics(levels, targets)
        assert names <= before.keys()
        for rows in levels.values():
            unlabelled = (rows["label"] < 0).reshape(len(rows["label"]), -1).all(1)
            assert unlabelled.sum() >= 2
            rows["score"][unlabelled] = 1 / len(targets.names)
        assert predictions.point_metrics(levels, targets) == before


def test_top1_by_hand():
    index = make_index([1, 2])
    scores = np.array([[0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    levels = predictions.by_level(index, np.array([0, 1, 1]), scores, True)
    metrics = predictions.point_metrics(levels, Targets(("a", "b"), False))
    assert metrics["image/top1"] == pytest.approx(2 / 3) and metrics["case/top1"] == 1
    assert metrics["image/auc_macro"] == 0.5  # of two pairs, one is won


def test_intervals_are_by_patient():
    _, labels, levels = example(CLASSES)
    judged = judge(levels, CLASSES.names, False, Questions(), None, samples=200, seed=3)
    found = judged.estimates["image/top1"]
    rows = levels["image"]
    known = labels >= 0
    top1 = lambda y, p: float((p.argmax(1) == y).mean())
    expected = bootstrap_interval(
        top1, labels[known], rows["score"][known], rows["ids"][known, 2], 200, 3
    )
    assert (found.low, found.high) == expected


def test_nothing_labelled_nothing_judged():
    for targets in (CLASSES, FINDINGS):
        index = make_index([2, 1])
        labels = np.full((3, 2) if targets.multilabel else 3, -1)
        scores = np.full((3, len(targets.names)), 0.5)
        levels = predictions.by_level(index, labels, scores, True)
        judged = judge(
            levels, targets.names, targets.multilabel, Questions(), None, samples=10, seed=0
        )
        assert judged == Judged({}, {})


def test_what_is_behind_each_metric():
    labels = np.array([0, 0, 1, -1, 2, 0])
    index = make_index([2, 1, 1, 1, 1])
    scores = np.random.default_rng(0).dirichlet(np.ones(3), 6)
    targets = Targets(("a", "auc/b", "c"), False)
    levels = predictions.by_level(index, labels, scores, True)
    found = predictions.support(predictions.point_metrics(levels, targets), levels, targets)
    assert found == {
        "image/top1": 5, "image/balanced_accuracy": 5, "image/auc_macro": 5,
        "image/auc/a": 3, "image/auc/auc/b": 1, "image/auc/c": 1,
        "case/top1": 4, "case/balanced_accuracy": 4, "case/auc_macro": 4,
        "case/auc/a": 2, "case/auc/auc/b": 1, "case/auc/c": 1,
    }  # fmt: skip


@pytest.mark.parametrize("multilabel", [False, True])
def test_a_class_may_be_called_like_a_condition(multilabel):
    targets = Targets(("m", "m@specificity=0.9", "m@prevalence=0.1"), multilabel)
    labels = np.array([0, 0, 1, 2, 2, 2])
    labels = (labels[:, None] == np.arange(3)).astype(int) if multilabel else labels
    scores = np.random.default_rng(0).dirichlet(np.ones(3), 6)
    levels = predictions.by_level(make_index([1] * 6), labels, scores, False)
    questions = Questions(prevalence=0.2)
    judged = judge(levels, targets.names, multilabel, questions, None, samples=5, seed=0)
    found = predictions.support(judged.estimates, levels, targets)
    prefix = "findings" if multilabel else "image"
    of_each = [found[f"{prefix}/auc/{name}"] for name in targets.names]
    assert of_each == [2, 1, 3]
    assert found[f"{prefix}/sensitivity/m@specificity=0.9"] == 1


def test_what_is_behind_the_metrics_of_findings():
    labels = np.array([[1, 1], [1, 1], [0, -1], [-2, -2], [0, 0]])
    index = make_index([2, 1, 1, 1])
    scores = np.random.default_rng(0).random((5, 2))
    targets = Targets(("Edema", "Nodule"), True)
    levels = predictions.by_level(index, labels, scores, True)
    found = predictions.support(predictions.point_metrics(levels, targets), levels, targets)
    assert found == {
        "findings/auc_mean": 4, "findings/auc/Edema": 2, "findings/auc/Nodule": 2,
        "case/findings/auc_mean": 3, "case/findings/auc/Edema": 1, "case/findings/auc/Nodule": 1,
    }  # fmt: skip


@pytest.fixture
def run(tmp_path):
    kept = lambda **result: result
    return types.SimpleNamespace(
        path=str(tmp_path), file=lambda name: str(tmp_path / name), finish=kept
    )


@pytest.mark.parametrize("targets", [CLASSES, FINDINGS])
def test_what_the_file_holds_is_judged(run, targets):
    """float32 probabilities have more digits than it: who reads it comes to the same to the bit."""
    _, _, levels = example(targets, seed=5)
    point = OperatingPoint("sensitivity", "specificity", 0.5)
    result = predictions.finish(
        run, types.SimpleNamespace(name="d"), targets, levels, attributes=None, validation=levels,
        questions=Questions(operating_points=(point,)), samples=20, seed=3,
    )  # fmt: skip
    rows, names, multilabel = read_predictions(run.path)
    found = {}
    for level, statistic in statistics_of(rows, names, multilabel).items():
        patients = labelled(rows[level])["patient"]
        found |= bootstrap.estimates(statistic, patients, 20, 3)
    assert {name: result["metrics"][name] for name in found} == {
        name: one.value for name, one in found.items()
    }
    assert {name: result["intervals"][name] for name in found} == {
        name: pytest.approx([one.low, one.high], abs=0, nan_ok=True) for name, one in found.items()
    }
    # The thresholds are of the same rows: what was chosen is what is achieved.
    for level, of_level in result["from_validation"]["thresholds"][str(point)].items():
        part = labelled(rows[level])
        for k, (name, threshold) in enumerate(of_level.items()):
            truth = part["label"][:, k] if multilabel else (part["label"] == k).astype(int)
            kept = (part["score"][:, k] >= threshold)[truth == 1].mean()
            assert threshold in part["score"][:, k] and kept > 0
            prefix = {"case": "case/findings/", "image": "findings/"} if multilabel else {
                "case": "case/", "image": "image/"
            }  # fmt: skip
            achieved = result["metrics"][f"{prefix[level]}sensitivity/{name}@specificity=0.5"]
            assert achieved == pytest.approx(kept, abs=1e-15)
    plain = predictions.point_metrics(levels, targets)
    assert {name: result["metrics"][name] for name in plain} == plain
