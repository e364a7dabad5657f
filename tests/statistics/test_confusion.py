"""Sensitivity and its kin against scikit-learn, and Bayes' rule against made-up populations."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from micle_tf.statistics import confusion
from micle_tf.statistics.columns import Columns
from micle_tf.statistics.counts import Counts
from tests.statistics import rows


@pytest.mark.parametrize("kind", [rows.of_classes, rows.of_findings])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("without", [None, True, False])
def test_equal_scikit_learn_of_weighted_rows(seed, kind, without):
    y, p, names = kind(seed)
    of = Columns.of_classes if kind is rows.of_classes else Columns.of_findings
    columns, weights = of(y, p, names), rows.weights_of(seed, 60)
    weights[columns.truths[:, 0] == without] = 0
    statistic = confusion.statistic(columns)
    got = dict(zip(statistic.names, statistic(weights), strict=True))
    for k, name in enumerate(names):
        known = columns.known[:, k]
        truth, decided = columns.truths[known, k], columns.decisions[known, k]
        options = {"sample_weight": weights[known], "zero_division": np.nan}
        expected = {
            "sensitivity": recall_score(truth, decided, **options),
            "specificity": recall_score(truth, decided, pos_label=0, **options),
            "ppv": precision_score(truth, decided, **options),
            "npv": precision_score(truth, decided, pos_label=0, **options),
            "f1": f1_score(truth, decided, **options),
        }
        # Without a positive scikit-learn has an F1 of 0, and a precision of 0 where any is decided.
        counted = truth[weights[known] > 0]
        if not counted.any():
            expected |= {"ppv": np.nan, "f1": np.nan}
        if counted.all():
            expected["npv"] = np.nan
        assert {metric: got[f"{metric}/{name}"] for metric in expected} == pytest.approx(
            expected, abs=1e-12, nan_ok=True
        )
    rows.assert_weights_repeat(confusion.statistic, columns, weights)


def test_a_share_of_nothing_is_not_0():
    nobody = Counts(*np.array([0, 0, 0, 3]))  # no positive, none decided positive
    assert np.isnan(confusion.sensitivity(nobody)) and np.isnan(confusion.ppv(nobody))
    assert np.isnan(confusion.f1(nobody))
    assert confusion.specificity(nobody) == confusion.npv(nobody) == 1
    nobody_but_found = Counts(*np.array([0, 2, 0, 3]))
    assert np.isnan(confusion.ppv(nobody_but_found)) and np.isnan(confusion.f1(nobody_but_found))
    assert confusion.npv(nobody_but_found) == 1
    nobody_negative = Counts(*np.array([2, 0, 3, 0]))
    assert np.isnan(confusion.npv(nobody_negative)) and confusion.ppv(nobody_negative) == 1
    everybody = Counts(*np.array([3, 0, 3, 0]))
    assert np.isnan(confusion.specificity(everybody)) and np.isnan(confusion.npv(everybody))
    assert confusion.sensitivity(everybody) == confusion.ppv(everybody) == 1


def test_predictive_values_at_the_prevalence_of_the_rows_are_those_of_the_rows():
    counts = Counts(*np.array([30, 10, 40, 60]))
    assert confusion.ppv_at(counts, 0.4) == pytest.approx(confusion.ppv(counts), abs=1e-15)
    assert confusion.npv_at(counts, 0.4) == pytest.approx(confusion.npv(counts), abs=1e-15)


def test_predictive_values_of_a_population_with_another_prevalence():
    # Sensitivity 3/4 and specificity 5/6; of 1,000 asked 100 are positive.
    counts = Counts(*np.array([30, 10, 40, 60]))
    assert confusion.ppv_at(counts, 0.1) == pytest.approx(75 / (75 + 150))
    assert confusion.npv_at(counts, 0.1) == pytest.approx(750 / (750 + 25))


def test_predictive_values_at_a_prevalence_by_name():
    columns = Columns.of_findings(*rows.of_findings(0))
    statistic = confusion.at_prevalence(columns.only(["c1"]), 0.05)
    assert statistic.names == ("ppv/c1@prevalence=0.05", "npv/c1@prevalence=0.05")
    for wrong in (0, 1, -1, float("nan")):
        with pytest.raises(ValueError, match="expected a prevalence between 0 and 1"):
            confusion.at_prevalence(columns, wrong)
