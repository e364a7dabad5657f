"""Temperature scaling: one number that makes a model as sure as it is right.

Guo et al. (2017, "On calibration of modern neural networks", section 4.2). Logits are divided by T:
above 1 the probabilities come nearer to one another. Which class or row is first stays.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit, softmax

LIMITS = (1 / 20, 20.0)  # of T
# A softmax or sigmoid in float32 that comes to 0 or 1 was beyond these. Only fitting takes them so:
# one row that is sure and wrong would else have an infinite likelihood at every T.
SMALLEST, LARGEST = float(np.finfo(np.float32).tiny), 1 - 2.0**-24


def fit_classes(y: ArrayLike, probabilities: ArrayLike) -> float:
    """T of the lowest negative log likelihood of `scale_classes`.

    Args:
      y: int [n], classes in [0, K).
      probabilities: float [n, K], rows that sum to 1; a 0 counts as 1.2e-38.

    Returns:
      T in [1/20, 20], to 1e-10 of 1/T; the nearer end where the likelihood is best beyond.

    Raises:
      ValueError: no rows.
    """
    y = np.asarray(y)
    if not len(y):
        raise ValueError("fit_classes: no rows")
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), SMALLEST))
    of_truth = logs[np.arange(len(y)), y].mean()
    return _temperature(
        lambda inverse: (softmax(inverse * logs, axis=1) * logs).sum(axis=1).mean() - of_truth
    )


def fit_findings(y: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """T of each finding, of the lowest negative log likelihood of `scale_findings`.

    Args:
      y: int [n, K], 1 present, 0 absent; rows of -1 and -2 are left out.
      probabilities: float [n, K]; 0 counts as 1.2e-38, 1 as 1 - 6e-8.

    Returns:
      float64 [K], in [1/20, 20] as `fit_classes`; 1 for a finding that is not known to be both
      present and absent.
    """
    y = np.asarray(y)
    logits = logit(np.clip(np.asarray(probabilities, np.float64), SMALLEST, LARGEST))
    return np.array([_of_finding(y[:, k], logits[:, k]) for k in range(y.shape[1])])


def scale_classes(probabilities: ArrayLike, temperature: float) -> np.ndarray:
    """softmax(log p / T), float64 [n, K] of [n, K]."""
    with np.errstate(divide="ignore"):  # the logarithm of 0 is minus infinity, and 0 again after
        logs = np.log(np.asarray(probabilities, np.float64))
    return softmax(logs / temperature, axis=1)


def scale_findings(probabilities: ArrayLike, temperatures: ArrayLike) -> np.ndarray:
    """sigmoid(logit(p) / T), float64 [n, K] of [n, K] and [K]."""
    return expit(logit(np.asarray(probabilities, np.float64)) / np.asarray(temperatures))


def _of_finding(y: np.ndarray, logits: np.ndarray) -> float:
    truth, logits = y[y >= 0] == 1, logits[y >= 0]
    if truth.all() or not truth.any():
        return 1.0
    return _temperature(lambda inverse: ((expit(inverse * logits) - truth) * logits).mean())


def _temperature(slope: Callable[[float], float]) -> float:
    """1 / T where the derivative of the loss after 1 / T, which never falls, is 0."""
    lowest, highest = 1 / LIMITS[1], 1 / LIMITS[0]
    if slope(lowest) >= 0:
        return LIMITS[1]
    if slope(highest) <= 0:
        return LIMITS[0]
    return 1 / float(brentq(slope, lowest, highest, xtol=1e-12))
