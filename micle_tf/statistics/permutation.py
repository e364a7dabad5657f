"""Do two models judge the same patients alike? A test that exchanges them patient by patient.

If it makes no difference which of the two a patient's scores are from, exchanging them changes
nothing but chance (Edgington, 1995, "Randomization tests"; for AUCs, on ranks: Venkatraman and
Begg, 1996, "A distribution-free procedure for comparing receiver operating characteristic curves
from a paired experiment", and Bandos, Rockette and Gur, 2005, "A permutation test sensitive to
differences in areas for comparing ROC curves from a paired design").
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from micle_tf.statistics.bootstrap import Progress
from micle_tf.statistics.ranks import mid_ranks

# Differences that are equal but for rounding count as equal: of this part of the values.
ROUNDING = 1e-9


def swap_test(
    measure: Callable[[np.ndarray], float],
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    groups: ArrayLike,
    permutations: int = 1000,
    seed: int = 0,
    *,
    on_ranks: bool = False,
    progress: Progress | None = None,
) -> float:
    """Two-sided p of the difference of a measure between two models.

    Each permutation exchanges the scores of A and B in all rows of a group, or in none, with
    probability 1/2, independently for each group: rows of one patient are not independent. The
    hypothesis is that within each group the scores of A and B are exchangeable, which is more than
    that the two measures are equal.

    Args:
      measure: float [n, ...] to its value; the labels of the rows are its own.
      scores_a, scores_b: float [n, ...], of the same n rows.
      groups: int or string [n], the group of each row.
      permutations: how many, m.
      seed: of the exchanges.
      on_ranks: exchange the ranks of the rows within each model, column by column (ties share
        their mean), rather than the scores, which two models may have on different scales. For
        measures that know no more than the order of a column's rows, as AUCs do.
      progress: called as `progress(done, permutations)` after each.

    Returns:
      p = (b + 1) / (m + 1), b being the permutations with a difference at least as large as that
      which was observed (Phipson and Smyth, 2010, "Permutation p-values should never be zero"). A
      difference that a permutation does not define counts as large. nan where the observed one
      is not defined.

    Raises:
      ValueError: shapes that do not fit, or `permutations` is not positive.
    """
    a, b, groups = np.asarray(scores_a), np.asarray(scores_b), np.asarray(groups)
    if a.shape != b.shape or groups.ndim != 1 or a.shape[:1] != groups.shape:
        raise ValueError(
            f"swap_test: scores {a.shape} and {b.shape} and groups {groups.shape}, expected "
            "[n, ...] both and [n]"
        )
    if permutations < 1:
        raise ValueError(f"swap_test: permutations={permutations}, expected at least 1")
    if on_ranks:
        a, b = mid_ranks(a), mid_ranks(b)
    of_a, of_b = measure(a), measure(b)
    observed = abs(of_b - of_a)
    if np.isnan(observed):
        return float("nan")
    least = observed - ROUNDING * max(abs(of_a), abs(of_b))
    unique, group_of_row = np.unique(groups, return_inverse=True)
    group_of_row = group_of_row.reshape(-1, *[1] * (a.ndim - 1))
    rng = np.random.default_rng(seed)
    as_large = 0
    for number in range(permutations):
        swapped = rng.integers(0, 2, len(unique), dtype=bool)[group_of_row]
        one, other = np.where(swapped, b, a), np.where(swapped, a, b)
        as_large += not abs(measure(other) - measure(one)) < least
        if progress is not None:
            progress(number + 1, permutations)
    return (as_large + 1) / (permutations + 1)
