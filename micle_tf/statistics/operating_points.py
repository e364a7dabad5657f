"""Operating points: the threshold that keeps one of sensitivity and specificity at a stated value.

It is chosen on validation and applied to test as it is.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from micle_tf.statistics import confusion
from micle_tf.statistics.counts import Measure, Ranking
from micle_tf.statistics.questions import SENSITIVITY, SPECIFICITY, OperatingPoint

METRICS = {SENSITIVITY: confusion.sensitivity, SPECIFICITY: confusion.specificity}


def choose_threshold(y: np.ndarray, score: np.ndarray, point: OperatingPoint) -> float:
    """The threshold t at which `score >= t` has the best `metric` with `fixed` at least `at`.

    Of the distinct scores; of several that are as good, the one with the highest `fixed`. Where no
    positive can be decided for (a specificity is asked for, and the highest scores are negatives')
    it is the next number after the highest score, at which nobody is positive.

    Args:
      y: bool [n], True for a positive.
      score: float [n], no nan.
      point: what is asked.

    Returns:
      t; nan without a positive or without a negative. Some O(n log n).
    """
    ranking = Ranking(y, np.asarray(score, np.float64))
    counts = ranking(np.ones(len(y), np.int64))
    if not counts.positives or not counts.negatives:
        return float("nan")
    best, fixed = METRICS[point.metric](counts), METRICS[point.fixed](counts)
    kept = np.flatnonzero(fixed >= point.at)
    chosen = kept[np.lexsort((fixed[kept], best[kept]))[-1]]
    if chosen == 0:  # none is positive
        return float(np.nextafter(ranking.thresholds[0], np.inf))
    return float(ranking.thresholds[chosen - 1])


def measures(
    num_columns: int, thresholds: Mapping[OperatingPoint, Sequence[float] | np.ndarray]
) -> list[Measure]:
    """Of a ranking: `metric`, then what `fixed` comes to, at the thresholds [K] of each point.

    Raises:
      ValueError: thresholds of another number of columns.
    """
    for point, of_point in thresholds.items():
        if np.shape(of_point) != (num_columns,):
            raise ValueError(
                f"{point}: thresholds {np.shape(of_point)}, expected one for each of {num_columns}"
            )
    return [
        Measure(
            metric,
            METRICS[metric],
            f"@{point.fixed}={point.at:g}",
            np.asarray(of_point, np.float64),
        )
        for point, of_point in thresholds.items()
        for metric in (point.metric, point.fixed)
    ]
