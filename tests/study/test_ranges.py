"""What metrics can be, by their names, and intervals that are cut to it."""

import math

import pytest

from micle_tf.statistics.questions import Questions
from micle_tf.study import ranges
from micle_tf.study.data_checks import metrics_of_targets

ANY = (-math.inf, math.inf)


@pytest.mark.parametrize(
    "metric, wanted",
    [
        ("case/auc_macro", (0, 1)), ("image/auc/melanoma", (0, 1)), ("findings/auc_mean", (0, 1)),
        ("case/findings/ece_mean", (0, 1)), ("image/top1", (0, 1)), ("case/top3", (0, 1)),
        ("case/balanced_accuracy", (0, 1)), ("case/accuracy@coverage=0.5", (0, 1)),
        ("case/sensitivity/a@specificity=0.9", (0, 1)), ("case/ppv/a@prevalence=0.1", (0, 1)),
        ("calibrated/case/ece", (0, 1)), ("case/f1_macro", (0, 1)),
        ("case/brier", (0, 2)), ("case/findings/brier_mean", (0, 1)),
        ("findings/brier/Edema", (0, 1)), ("validation/loss", ANY), ("case/loss", ANY),
        ("case/calibration_slope/a", ANY), ("case/calibration_intercept/a", ANY),
        ("case/net_benefit/a@threshold=0.1", ANY), ("of_tomorrow", ANY),
    ],
)  # fmt: skip
def test_ranges_of_metrics(metric, wanted):
    assert ranges.range_of(metric) == wanted


@pytest.mark.parametrize("multilabel", [False, True])
def test_every_metric_to_compare_by_but_losses_and_net_benefit_has_one(multilabel):
    asked = Questions(net_benefit_at=(0.1,))
    names = metrics_of_targets(("a", "b", "c", "d"), multilabel, asked)
    without = [name for name in names if ranges.range_of(name) == ANY]
    assert all("loss" in name or "net_benefit" in name for name in without)
    assert {name.partition("/")[0] for name in without} >= {"validation"}


def test_ends_are_cut_and_what_is_not_known_stays_so():
    assert ranges.of_mean("case/auc_macro", -0.2, 1.3) == (0, 1)
    assert ranges.of_mean("case/auc_macro", 0.4, 0.6) == (0.4, 0.6)
    assert ranges.of_mean("case/brier", -0.2, 1.3) == (0, 1.3)
    assert ranges.of_mean("validation/loss", -0.2, 7.0) == (-0.2, 7.0)
    assert ranges.of_difference("case/top1", -1.4, 1.01) == (-1, 1)
    assert ranges.of_difference("case/top1", -0.4, 0.1) == (-0.4, 0.1)
    assert ranges.of_difference("case/brier", -2.5, 1.9) == (-2, 1.9)
    assert ranges.of_difference("validation/loss", -3.0, 3.0) == (-3.0, 3.0)
    for cut in (ranges.of_mean, ranges.of_difference):
        assert all(map(math.isnan, cut("case/top1", math.nan, math.nan)))
        assert all(map(math.isnan, cut("validation/loss", math.nan, math.nan)))
