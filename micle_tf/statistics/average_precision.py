"""Average precision, the area under the precision-recall curve as a sum of steps."""

import numpy as np

from micle_tf.statistics.columns import Columns, OfColumns
from micle_tf.statistics.counts import Counts, Measure, of_rankings


def area(counts: Counts) -> float:
    """Mean of the precision over the positives: sum of (R_i - R_(i-1)) P_i over the thresholds.

    `sklearn.metrics.average_precision_score` with `sample_weight`: no interpolation, tied rows are
    one step (Davis and Goadrich, 2006, "The relationship between precision-recall and ROC curves",
    on why not trapezoids).

    Args:
      counts: of a `Ranking`, tp and fp int64 [T + 1].

    Returns:
      In (0, 1]; nan without a positive (scikit-learn says 0 there).
    """
    if not counts.positives:
        return float("nan")
    decided = counts.tp[1:] + counts.fp[1:]
    # Where no row counts yet there is no precision, nor a positive to weigh it with.
    precision = counts.tp[1:] / np.maximum(decided, 1)
    return float(np.diff(counts.tp) @ precision / counts.positives)


AVERAGE_PRECISION = Measure("average_precision", area)


def statistic(columns: Columns) -> OfColumns:
    """`average_precision/<name>` of each column, on the rows where it is known."""
    return of_rankings(columns, [AVERAGE_PRECISION])
