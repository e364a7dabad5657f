"""Operating points: the threshold against all thresholds."""

import numpy as np
import pytest

from micle_tf.statistics.columns import Columns
from micle_tf.statistics.counts import of_rankings
from micle_tf.statistics.operating_points import choose_threshold, measures
from micle_tf.statistics.questions import OperatingPoint
from tests.statistics import rows

SENSITIVITY = OperatingPoint("sensitivity", "specificity", 0.9)
SPECIFICITY = OperatingPoint("specificity", "sensitivity", 0.95)


@pytest.mark.parametrize("point", [SENSITIVITY, SPECIFICITY], ids=str)
@pytest.mark.parametrize("decimals", [1, 2, None])
@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_that_keeps_what_is_fixed_is_better(seed, decimals, point):
    rng = np.random.default_rng(seed)
    y = rng.random(80) < 0.3
    score = rng.normal(size=80) + y
    score = score if decimals is None else np.round(score, decimals)

    def judged(t):
        of = {"sensitivity": (score >= t)[y].mean(), "specificity": (score < t)[~y].mean()}
        return of[point.metric], of[point.fixed]

    every = [judged(t) for t in [*np.unique(score), np.inf]]
    best = max(one for one in every if one[1] >= point.at)
    chosen = choose_threshold(y, score, point)
    assert np.isfinite(chosen)
    assert judged(chosen) == best


def test_thresholds_by_hand():
    y = np.array([0, 0, 0, 1, 0, 1, 1], bool)
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6])
    of = lambda metric, fixed, at: choose_threshold(y, score, OperatingPoint(metric, fixed, at))
    assert of("sensitivity", "specificity", 0.75) == 0.4
    assert of("sensitivity", "specificity", 0.76) == 0.6
    assert of("specificity", "sensitivity", 1.0) == 0.4
    assert of("specificity", "sensitivity", 0.6) == 0.6


def test_where_the_highest_score_is_a_negative_nobody_is_positive_just_above_it():
    y, score = np.array([1, 0], bool), np.array([0.5, 1.0])
    assert choose_threshold(y, score, SENSITIVITY) == np.nextafter(1.0, 2)
    assert choose_threshold(y, score, SPECIFICITY) == 0.5


@pytest.mark.parametrize("y", [[True, True], [False, False], []])
def test_there_is_no_threshold_with_one_kind_of_rows(y):
    assert np.isnan(choose_threshold(np.array(y, bool), np.zeros(len(y)), SENSITIVITY))


def test_what_is_achieved_elsewhere_is_named_after_the_point():
    columns = Columns.of_findings(*rows.of_findings(0))
    statistic = of_rankings(columns, measures(3, {SENSITIVITY: np.array([0.4, np.nan, 0.6])}))
    values = rows.once(statistic, 60)
    truth, score = columns.truths[columns.known[:, 0], 0], columns.scores[columns.known[:, 0], 0]
    assert values["sensitivity/c0@specificity=0.9"] == (score >= 0.4)[truth].mean()
    assert values["specificity/c0@specificity=0.9"] == (score < 0.4)[~truth].mean()
    assert np.isnan(values["sensitivity/c1@specificity=0.9"])
    with pytest.raises(ValueError, match="expected one for each of 3"):
        measures(3, {SENSITIVITY: np.zeros(2)})
