"""Variances and covariances of AUCs where rows come in groups, such as images of a patient.

Obuchowski, 1997, "Nonparametric analysis of clustered ROC curve data": DeLong's components are
summed over a group, and groups are independent. A group may hold positives, negatives or both. With
one row a group it is DeLong's method.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from micle_tf.statistics.delong import placements
from micle_tf.statistics.difference import Difference, t_test


def clustered(y: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """AUCs of models that judge the same rows, and their covariance.

    Args:
      y: bool [n], True for a positive.
      scores: float [n, M], of M models, higher means more likely positive; any scale, no nan.
      groups: int or string [n], the group of each row; groups are independent.

    Returns:
      `(aucs, covariance)`: float64 [M] and [M, M]. The AUCs are nan without a positive or a
      negative, the covariance with fewer than two groups that hold a positive or fewer than two
      that hold a negative.

    Raises:
      ValueError: shapes that do not fit, or a score that is nan.
    """
    of_positives, of_negatives = placements(y, scores)
    y, groups = np.asarray(y, bool), np.asarray(groups)
    _check(y, groups)
    if y.all() or not y.any():
        models = of_positives.shape[1]
        return np.full(models, np.nan), np.full((models, models), np.nan)
    return of_positives.mean(axis=0), _covariance(of_positives, of_negatives, y, groups)


def paired_difference(
    y: ArrayLike, score_a: ArrayLike, score_b: ArrayLike, groups: ArrayLike
) -> Difference:
    """Difference of the AUCs of two models on the same rows, B - A, with Obuchowski's z test.

    With one row a group this is the test of DeLong et al. (1988).

    Args:
      y: bool [n], True for a positive.
      score_a, score_b: float [n], higher means more likely positive; any scale, no nan.
      groups: int or string [n], the group of each row.

    Returns:
      The difference. Its ends and p are nan with fewer than two groups that hold a positive or
      fewer than two that hold a negative. A standard error of 0 is as `difference.t_test` has it:
      p is 1 for models that rank alike.

    Raises:
      ValueError: shapes that do not fit, or a score that is nan.
    """
    score_a, score_b = np.asarray(score_a), np.asarray(score_b)
    if score_a.ndim != 1 or score_a.shape != score_b.shape:
        raise ValueError(
            f"paired_difference: scores {score_a.shape} and {score_b.shape}, expected [n] both"
        )
    of_positives, of_negatives = placements(y, np.stack([score_a, score_b], axis=1))
    y, groups = np.asarray(y, bool), np.asarray(groups)
    _check(y, groups)
    if y.all() or not y.any():
        return t_test(math.nan, math.nan)
    # Of the differences themselves: exactly 0 where two models rank alike, which variances and
    # covariances that are rounded one by one are not.
    more = [np.diff(components, axis=1) for components in (of_positives, of_negatives)]
    variance = _covariance(more[0], more[1], y, groups).item()
    rounded = 0.0 if variance < 0 else variance  # which it never is by more than rounding
    return t_test(float(more[0].mean()), math.sqrt(rounded))


def _check(y: np.ndarray, groups: np.ndarray) -> None:
    if groups.shape != y.shape:
        raise ValueError(f"clustered: labels {y.shape} and groups {groups.shape}, expected [n]")


def _covariance(
    of_positives: np.ndarray, of_negatives: np.ndarray, y: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Obuchowski, equations 4 to 8, with the terms of two models as in the last of them."""
    unique, group_of_row = np.unique(groups, return_inverse=True)
    positives = _sums(of_positives, group_of_row[y], len(unique))
    negatives = _sums(of_negatives, group_of_row[~y], len(unique))
    with_positives = len(np.unique(group_of_row[y]))
    with_negatives = len(np.unique(group_of_row[~y]))
    if min(with_positives, with_negatives) < 2:
        return np.full((positives.shape[1],) * 2, np.nan)
    both = positives.T @ negatives
    return (
        _unbiased(with_positives) * positives.T @ positives
        + _unbiased(with_negatives) * negatives.T @ negatives
        + _unbiased(len(unique)) * (both + both.T)
    )


def _sums(components: np.ndarray, group: np.ndarray, num_groups: int) -> np.ndarray:
    """What each group adds to the mean of the components beyond its expectation, [G, M]."""
    sums = np.zeros((num_groups, components.shape[1]))
    np.add.at(sums, group, components - components.mean(axis=0))
    return sums / len(components)


def _unbiased(groups: int) -> float:
    return groups / (groups - 1)
