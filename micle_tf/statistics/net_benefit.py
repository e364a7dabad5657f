"""Net benefit, the decision curve of Vickers and Elkin (2006, "Decision curve analysis: a novel
method for evaluating prediction models")."""

import functools
from collections.abc import Sequence

import numpy as np

from micle_tf.statistics.columns import Columns, OfColumns
from micle_tf.statistics.counts import Counts, Measure, of_rankings, ratio


def net_benefit(counts: Counts, threshold: float) -> np.ndarray:
    """True positives a row, less the false positives that `threshold` says they are worth.

    TP / n - FP / n * pt / (1 - pt), where pt is the probability from which on one would treat.

    Args:
      counts: with the rows of p >= pt decided positive.
      threshold: pt, in (0, 1).

    Returns:
      In true positives a row, at most the prevalence; nan without a row.
    """
    return ratio(counts.tp - counts.fp * (threshold / (1 - threshold)), counts.rows)


def treat_all(counts: Counts, threshold: float) -> np.ndarray:
    """Net benefit of deciding that every row is positive. That of deciding for none is 0."""
    everybody = Counts(counts.positives, counts.negatives, counts.positives, counts.negatives)
    return net_benefit(everybody, threshold)


def measures(num_columns: int, thresholds: Sequence[float]) -> list[Measure]:
    """Of a ranking, `net_benefit` at each of the thresholds.

    Raises:
      ValueError: a threshold that is not in (0, 1).
    """
    wrong = [threshold for threshold in thresholds if not 0 < threshold < 1]
    if wrong:
        raise ValueError(f"net_benefit: {wrong[0]}, expected thresholds between 0 and 1")
    return [
        Measure(
            "net_benefit",
            functools.partial(net_benefit, threshold=threshold),
            f"@threshold={threshold:g}",
            np.full(num_columns, float(threshold)),
        )
        for threshold in thresholds
    ]


def statistic(columns: Columns, thresholds: Sequence[float]) -> OfColumns:
    """`net_benefit/<name>@threshold=<threshold>` of each column, p >= threshold being positive."""
    return of_rankings(columns, measures(len(columns), thresholds))
