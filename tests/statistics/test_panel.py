"""The whole of an evaluation: names, order, and what is not defined."""

import numpy as np
import pytest

from micle_tf.evaluation.metrics import classification_metrics, findings_metrics
from micle_tf.statistics import panel
from micle_tf.statistics.columns import Columns
from micle_tf.statistics.operating_points import choose_threshold
from micle_tf.statistics.panel import Asked
from micle_tf.statistics.questions import OperatingPoint
from micle_tf.statistics.questions import operating_points as parse
from tests.statistics import rows

POINTS = parse("sensitivity@specificity=0.9,specificity@sensitivity=0.95")
DECIDED = ("average_precision", "sensitivity", "specificity", "ppv", "npv", "f1")
NO_THRESHOLD = "validation has no positive or no negative: no threshold"


def asked(columns, **others):
    thresholds = {
        point: np.array(
            [
                choose_threshold(columns.truths[known, k], columns.scores[known, k], point)
                for k, known in enumerate(columns.known.T)
            ]
        )
        for point in POINTS
    }
    return Asked(**{"prevalence": 0.1, "thresholds": thresholds, "net_benefit_at": (0.1,)} | others)


def of_findings(seed, **others):
    data = rows.of_findings(seed)
    return panel.of_findings(*data, asked(Columns.of_findings(*data), **others))


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_classes_have_first_what_they_always_had_to_the_bit(num_classes):
    y, p, names = rows.of_classes(0, num_classes=num_classes)
    found = panel.of_classes(y, p, names, Asked())
    expected = classification_metrics(y, p, names)
    got = rows.once(found.statistic, 60)
    assert list(got.items())[: len(expected)] == list(expected.items())
    assert not found.undefined


def test_findings_have_first_what_they_always_had_to_the_bit():
    y, p, names = rows.of_findings(0)
    got = rows.once(of_findings(0).statistic, 60)
    expected = findings_metrics(y, p, names)
    assert list(got.items())[: len(expected)] == list(expected.items())


def test_all_names_of_classes():
    y, p, names = rows.of_classes(0, num_classes=2)
    found = panel.of_classes(y, p, names, asked(Columns.of_classes(y, p, names)))
    per_class = lambda metric, at="": [f"{metric}/c0{at}", f"{metric}/c1{at}"]
    expected = ["top1", "balanced_accuracy", "auc_macro", *per_class("auc")]
    for metric in DECIDED:
        expected += [f"{metric}_macro", *per_class(metric)]
    expected += ["ece", "brier"]
    expected += per_class("calibration_slope") + per_class("calibration_intercept")
    expected += per_class("ppv", "@prevalence=0.1") + per_class("npv", "@prevalence=0.1")
    for at, metrics in (
        ("@specificity=0.9", ("sensitivity", "specificity")),
        ("@sensitivity=0.95", ("specificity", "sensitivity")),
    ):
        expected += [name for metric in metrics for name in per_class(metric, at)]
    expected += per_class("net_benefit", "@threshold=0.1")
    expected += [f"accuracy@coverage={share}" for share in ("0.5", "0.8", "0.9", "1")]
    assert list(found.statistic.names) == expected


def test_findings_have_ece_brier_and_coverage_each_and_means():
    got = rows.once(of_findings(1).statistic, 60)
    for metric in ("auc", "ece", "brier", *DECIDED):
        of_each = [got[f"findings/{metric}/c{k}"] for k in range(3)]
        assert got[f"findings/{metric}_mean"] == np.mean(of_each)
    assert "findings/accuracy/c2@coverage=0.5" in got
    assert all(name.startswith("findings/") for name in got)


@pytest.mark.parametrize("seed", range(3))
def test_weights_repeat_rows(seed):
    weights = rows.weights_of(seed, 60)
    for of, data in (
        (panel.of_classes, rows.of_classes(seed)),
        (panel.of_findings, rows.of_findings(seed)),
    ):
        y, p, names = data
        make = Columns.of_classes if of is panel.of_classes else Columns.of_findings
        what = asked(make(*data))
        of_weights = of(*data, what).statistic
        of_rows = of(np.repeat(y, weights, axis=0), np.repeat(p, weights, axis=0), names, what)
        assert of_rows.statistic.names == of_weights.names
        values = rows.once(of_rows.statistic, 60)
        np.testing.assert_allclose(
            of_weights(weights), list(values.values()), rtol=1e-8, atol=1e-10
        )


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_nan_where_each_row_counts_once(seed):
    for n in (1, 2, 5):
        y, p, names = rows.of_classes(seed, n, 5)
        found = panel.of_classes(y, p, names, asked(Columns.of_classes(y, p, names)))
        assert not np.isnan(list(rows.once(found.statistic, n).values())).any()
        assert not set(found.undefined) & set(found.statistic.names)
        y, p, names = rows.of_findings(seed, n)
        found = panel.of_findings(y, p, names, asked(Columns.of_findings(y, p, names)))
        assert not np.isnan(list(rows.once(found.statistic, n).values())).any()


def test_what_is_not_defined_says_why():
    y = np.array([[1, 0, 1, -1, 0], [1, 0, 0, -2, 1], [1, 0, 1, -1, 0]])
    p = np.array([[0.6, 0.6, 0.7, 0.5, 0.1], [0.7, 0.6, 0.2, 0.5, 0.2], [0.8, 0.8, 0.9, 0.5, 0.3]])
    names = ["all", "none", "apart", "unknown", "low"]
    point = OperatingPoint("sensitivity", "specificity", 0.9)
    what = Asked(0.1, {point: np.array([0.5, 0.5, np.nan, 0.5, 0.5])}, (0.2,))
    found = panel.of_findings(y, p, names, what)
    why = lambda name: found.undefined.get(f"findings/{name}")
    assert why("auc/all") == why("specificity/all") == "no negative among 3 rows"
    for metric in ("auc", "sensitivity", "ppv", "f1"):  # of which all are decided positive
        assert why(f"{metric}/none") == "no positive among 3 rows"
    assert why("npv/all") == "no negative among 3 rows"
    assert why("npv/none") == "no row is decided negative"
    assert why("ppv/low") == why("ppv/low@prevalence=0.1") == "no row is decided positive"
    assert why("ppv/all@prevalence=0.1") == "no negative among 3 rows"
    assert why("calibration_slope/apart") == (
        "the score separates positives from negatives: no calibration slope"
    )
    assert why("calibration_slope/none") == "no positive among 3 rows"
    assert why("sensitivity/apart@specificity=0.9") == NO_THRESHOLD
    assert why("specificity/apart@specificity=0.9") == NO_THRESHOLD
    for metric in ("auc", "f1", "ece", "brier", "calibration_intercept"):
        assert why(f"{metric}/unknown") == "known in none of 3 rows"
    assert why("accuracy/unknown@coverage=0.5") == "known in none of 3 rows"
    got = rows.once(found.statistic, 3)
    assert got["findings/auc_mean"] == 0.75  # of "apart", 1, and "low", 0.5
    assert why("auc_mean") is None


def test_a_mean_of_nothing_is_not_defined():
    found = panel.of_classes(np.zeros(3, int), np.full((3, 2), 0.5), ["a", "b"], Asked())
    assert found.undefined["auc_macro"] == "auc is not defined for any of 2"
    assert found.undefined["auc/a"] == "no negative among 3 rows"
    assert found.undefined["auc/b"] == "no positive among 3 rows"
    assert found.statistic.names[:2] == ("top1", "balanced_accuracy")


def test_a_mean_is_not_defined_in_a_resample_that_lacks_one_of_its_classes():
    y, p, names = rows.of_classes(0)
    statistic = panel.of_classes(y, p, names, Asked()).statistic
    values = dict(zip(statistic.names, statistic((y > 0).astype(np.int64)), strict=True))
    assert np.isnan(values["auc_macro"]) and np.isnan(values["auc/c0"])
    assert not np.isnan(values["auc/c1"])


def test_a_mean_of_f1_and_of_ppv_is_over_the_classes_that_have_a_positive():
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.1, 0.7]])
    found = panel.of_classes(np.array([0, 1, 0]), p, ["a", "b", "c"], Asked())
    got = rows.once(found.statistic, 3)
    assert got["f1_macro"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-15)
    assert got["ppv_macro"] == 1
    assert found.undefined["f1/c"] == found.undefined["ppv/c"] == "no positive among 3 rows"
    values = dict(zip(found.statistic.names, found.statistic(np.array([1, 0, 1])), strict=True))
    assert np.isnan([values["f1_macro"], values["f1/b"], values["ppv/b"]]).all()


def test_a_prevalence_of_each_finding():
    found = of_findings(0, prevalence={"c2": 0.3, "c0": 0.01})
    stated = [name for name in found.statistic.names if "prevalence" in name]
    assert set(stated) == {
        "findings/ppv/c0@prevalence=0.01", "findings/npv/c0@prevalence=0.01",
        "findings/ppv/c2@prevalence=0.3", "findings/npv/c2@prevalence=0.3",
    }  # fmt: skip
    together = rows.once(of_findings(0, prevalence=0.3).statistic, 60)
    each = rows.once(found.statistic, 60)
    name = "findings/ppv/c2@prevalence=0.3"
    assert each[name] == together[name]
    with pytest.raises(ValueError, match="a prevalence of 'x'"):
        of_findings(0, prevalence={"x": 0.3})


def test_what_is_asked_must_be_possible():
    for wrong in (
        {"prevalence": 1.0}, {"net_benefit_at": (0.0,)}, {"coverages": (2.0,)},
        {"thresholds": {POINTS[0]: np.zeros(2)}}, {"net_benefit_at": (0.1, 0.1)},
    ):  # fmt: skip
        with pytest.raises(ValueError):
            of_findings(0, **wrong)


@pytest.mark.parametrize("multilabel", [False, True])
def test_discrimination_is_a_part_of_the_panel_to_the_bit(multilabel):
    rng = np.random.default_rng(4)
    y = rng.integers(-2, 2, (30, 4)) if multilabel else rng.integers(0, 3, 30)
    p, names = rng.dirichlet(np.ones(4), 30), ("a", "b", "c", "d")
    of = (panel.of_classes, panel.of_findings)[multilabel]
    part = (panel.discrimination_of_classes, panel.discrimination_of_findings)[multilabel](
        y, p, names
    )
    whole = of(y, p, names, panel.Asked())
    weights = rng.integers(0, 3, 30)
    values = dict(zip(whole.statistic.names, whole.statistic(weights), strict=True))
    found = dict(zip(part.statistic.names, part.statistic(weights), strict=True))
    expected = ("findings/auc",) if multilabel else ("top1", "top3", "balanced_accuracy", "auc")
    assert list(found) == [name for name in values if name.startswith(expected)]
    np.testing.assert_array_equal(list(found.values()), [values[name] for name in found])
