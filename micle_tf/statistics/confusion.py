"""Sensitivity, specificity, predictive values and F1, of decisions.

All take `Counts` of any shape and give float64 of that shape, nan where the denominator is 0
(scikit-learn's `zero_division=nan`): a share of nothing is not 0. PPV and F1 are nan as well
without a positive, and NPV without a negative, where scikit-learn says 0 whatever the model.
"""

import functools

import numpy as np

from micle_tf.statistics.columns import Columns, OfColumns
from micle_tf.statistics.counts import Counts, Measure, of_decisions, ratio


def sensitivity(counts: Counts) -> np.ndarray:
    """Share of the positives that are decided positive, TP / (TP + FN); the recall."""
    return ratio(counts.tp, counts.positives)


def specificity(counts: Counts) -> np.ndarray:
    """Share of the negatives that are decided negative, TN / (TN + FP)."""
    return ratio(counts.tn, counts.negatives)


def ppv(counts: Counts) -> np.ndarray:
    """Positive predictive value, TP / (TP + FP), at the prevalence of the rows; the precision."""
    return _where(counts.positives, ratio(counts.tp, counts.tp + counts.fp))


def npv(counts: Counts) -> np.ndarray:
    """Negative predictive value, TN / (TN + FN), at the prevalence of the rows."""
    return _where(counts.negatives, ratio(counts.tn, counts.tn + counts.fn))


def f1(counts: Counts) -> np.ndarray:
    """Harmonic mean of PPV and sensitivity, 2 TP / (2 TP + FP + FN)."""
    return _where(counts.positives, ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn))


def _where(there: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values; nan where none is there."""
    return np.where(there, values, np.nan)


def ppv_at(counts: Counts, prevalence: float) -> np.ndarray:
    """PPV where a share `prevalence` in (0, 1) of those who are asked is positive, by Bayes.

    se pi / (se pi + (1 - sp)(1 - pi)) (Altman and Bland, 1994, "Diagnostic tests 2: predictive
    values").
    """
    true = sensitivity(counts) * prevalence
    return ratio(true, true + (1 - specificity(counts)) * (1 - prevalence))


def npv_at(counts: Counts, prevalence: float) -> np.ndarray:
    """NPV at a prevalence: sp (1 - pi) / (sp (1 - pi) + (1 - se) pi); see `ppv_at`."""
    true = specificity(counts) * (1 - prevalence)
    return ratio(true, true + (1 - sensitivity(counts)) * prevalence)


MEASURES = (
    Measure("sensitivity", sensitivity),
    Measure("specificity", specificity),
    Measure("ppv", ppv),
    Measure("npv", npv),
    Measure("f1", f1),
)


def statistic(columns: Columns) -> OfColumns:
    """`sensitivity/<name>` of the decisions of each column, then specificity, ppv, npv and f1."""
    return of_decisions(columns, MEASURES)


def at_prevalence(columns: Columns, prevalence: float) -> OfColumns:
    """`ppv/<name>@prevalence=<prevalence>` of each column, then npv.

    Raises:
      ValueError: a prevalence that is not in (0, 1).
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"at_prevalence: {prevalence}, expected a prevalence between 0 and 1")
    at = f"@prevalence={prevalence:g}"
    return of_decisions(
        columns,
        [
            Measure("ppv", functools.partial(ppv_at, prevalence=prevalence), at),
            Measure("npv", functools.partial(npv_at, prevalence=prevalence), at),
        ],
    )
