"""Variances and covariances of AUCs of independent rows, without resampling.

DeLong, DeLong and Clarke-Pearson, 1988, "Comparing the areas under two or more correlated receiver
operating characteristic curves: a nonparametric approach", by the ranks of Sun and Xu, 2014, "Fast
implementation of DeLong's algorithm". Where several rows are of one patient: `obuchowski`.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from micle_tf.statistics.ranks import mid_ranks


def placements(y: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The structural components of AUCs: how each row stands among those of the other kind.

    The placement of a positive is the share of negatives below it, that of a negative the share of
    positives above it, a tie counting one half (DeLong et al., equations 4 and 5); of the ranks of
    rows among all and among their kind (Sun and Xu, equations 13 and 14).

    Args:
      y: bool [n], True for a positive.
      scores: float [n, M], of M models, higher means more likely positive; any scale, no nan.

    Returns:
      `(of_positives, of_negatives)`: float64 [P, M] and [N, M], in the order of the rows. The mean
      of either is the AUC. nan where there is none of the other kind.

    Raises:
      ValueError: shapes that do not fit, or a score that is nan.
    """
    y, scores = np.asarray(y, bool), np.asarray(scores)
    if scores.ndim != 2 or y.shape != scores.shape[:1]:
        raise ValueError(
            f"placements: labels {y.shape} and scores {scores.shape}, expected [n] and [n, M]"
        )
    if np.isnan(scores).any():
        raise ValueError("placements: a score is nan")
    ranks = mid_ranks(scores)
    below_positives = ranks[y] - mid_ranks(scores[y])
    below_negatives = ranks[~y] - mid_ranks(scores[~y])
    positives, negatives = len(below_positives), len(below_negatives)
    with np.errstate(invalid="ignore"):  # 0 / 0
        return np.divide(below_positives, negatives), 1 - np.divide(below_negatives, positives)


def delong(y: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """AUCs of models that judge the same rows, and their covariance.

    Args:
      y: bool [n], True for a positive.
      scores: float [n, M], of M models, higher means more likely positive; any scale, no nan.

    Returns:
      `(aucs, covariance)`: float64 [M] and [M, M], S10 / P + S01 / N of DeLong et al., equation 6.
      The AUCs are nan without a positive or a negative, the covariance with fewer than two of
      either.

    Raises:
      ValueError: as `placements`.
    """
    of_positives, of_negatives = placements(y, scores)
    models = of_positives.shape[1]
    if not len(of_positives) or not len(of_negatives):
        return np.full(models, np.nan), np.full((models, models), np.nan)
    covariance = _of_mean(of_positives) + _of_mean(of_negatives)
    return of_positives.mean(axis=0), covariance


def _of_mean(components: np.ndarray) -> np.ndarray:
    """Covariance [M, M] of the mean of independent rows [n, M]."""
    n = len(components)
    if n < 2:
        return np.full((components.shape[1],) * 2, np.nan)
    centred = components - components.mean(axis=0)
    return centred.T @ centred / (n - 1) / n


def normal_interval(value: float, variance: float) -> tuple[float, float]:
    """95 % interval of a number that is about normally distributed.

    Args:
      value: such as an AUC.
      variance: of it, such as one from the diagonal of `delong`.

    Returns:
      `(low, high)`, not cut at what is possible; nan where the variance is.
    """
    margin = ndtri(0.975) * np.sqrt(variance)
    return float(value - margin), float(value + margin)
