"""Accuracy of those rows that a model is most certain of (coverage against risk)."""

import functools
from collections.abc import Sequence

import numpy as np

from micle_tf.statistics.columns import Columns, OfColumns
from micle_tf.statistics.counts import Counts, Measure, of_rankings


def accuracy(counts: Counts, coverage: float) -> float:
    """Share that is right among the most certain `coverage` of the rows.

    One minus the selective risk of Geifman and El-Yaniv (2017, "Selective classification for deep
    neural networks"). Rows of one certainty have no order: those at the boundary count with the
    share that fits, which is the expected accuracy over a random order of them. So does a row
    through which the boundary goes, as 2.5 of 5 rows have one.

    Args:
      counts: of a `Ranking` by certainty, a row being positive where it is right.
      coverage: share of the rows, in (0, 1].

    Returns:
      In [0, 1]; nan without a row.
    """
    if not counts.rows:
        return float("nan")
    covered = coverage * float(counts.rows)
    return float(np.interp(covered, counts.tp + counts.fp, counts.tp) / covered)


def statistic(certainty: Columns, coverages: Sequence[float]) -> OfColumns:
    """`accuracy/<name>@coverage=<coverage>` of each column.

    Args:
      certainty: whether each row is right, and how certain it is: `certainty_of_classes` or
        `certainty_of_findings` of `columns`.
      coverages: shares of the rows.

    Raises:
      ValueError: a coverage that is not in (0, 1].
    """
    wrong = [coverage for coverage in coverages if not 0 < coverage <= 1]
    if wrong:
        raise ValueError(f"selective: {wrong[0]}, expected coverages above 0 and up to 1")
    return of_rankings(
        certainty,
        [
            Measure("accuracy", functools.partial(accuracy, coverage=one), f"@coverage={one:g}")
            for one in coverages
        ],
    )
