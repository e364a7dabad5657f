"""Area under the ROC curve, of rows that count several times."""

import numpy as np

from micle_tf.statistics.columns import Columns, OfColumns
from micle_tf.statistics.counts import Counts, Measure, of_rankings


def area(counts: Counts) -> float:
    """The chance that a positive scores above a negative, a tie counting one half.

    The Mann-Whitney U statistic over the number of pairs (Hanley and McNeil, 1982, "The meaning and
    use of the area under a ROC curve"). The pairs are counted in integers, so that the value is to
    the bit that of `evaluation.metrics.auc` on the rows repeated.

    Args:
      counts: of a `Ranking`, tp and fp int64 [T + 1].

    Returns:
      In [0, 1]; nan without a positive or without a negative.
    """
    if not counts.positives or not counts.negatives:
        return float("nan")
    # Twice the trapezoids: a negative loses to the positives above, and to half of those beside.
    twice = np.diff(counts.fp) @ (counts.tp[1:] + counts.tp[:-1])
    return float(twice) / (2.0 * float(counts.positives) * float(counts.negatives))


AUC = Measure("auc", area)


def statistic(columns: Columns) -> OfColumns:
    """`auc/<name>` of each column, on the rows where it is known."""
    return of_rankings(columns, [AUC])
