"""How many labels does a variant need to be as good as another that has them all?

Label efficiency as in Azizi et al., 2021, "Big self-supervised models advance medical image
classification": the smallest fraction of the labels at which a variant reaches what the reference
does with all of them. A curve is taken never to fall, since who has more labels may leave some out,
and to be linear in the logarithm of the fraction between what was measured.
"""

import numpy as np
from numpy.typing import ArrayLike

from micle_tf.statistics.bootstrap import PERCENTILES


def needed(fractions: ArrayLike, values: ArrayLike, target: float) -> float:
    """The smallest fraction of the labels at which a curve reaches a target.

    Args:
      fractions: float [F], increasing, in (0, 1].
      values: float [F], the curve, higher is better; nan where it is not known: such fractions are
        left out. Of the others, the running maximum counts, and what is linear between its points.
      target: what is to be reached.

    Returns:
      The fraction, in (0, 1]. If the smallest known one reaches the target, that one: fewer labels
      may do as well. nan if none does, or the target is nan.

    Raises:
      ValueError: shapes that do not fit, no fractions, or such as are not increasing in (0, 1].
    """
    x, y = _checked("needed", fractions), np.asarray(values, np.float64)
    if y.shape != x.shape:
        raise ValueError(f"needed: fractions {x.shape} and values {y.shape}, expected as many")
    known = ~np.isnan(y)
    x, y = x[known], np.maximum.accumulate(y[known])
    reached = np.flatnonzero(y >= target)
    if not len(reached):
        return float("nan")
    first = reached[0]
    if first == 0:
        return float(x[0])
    way = (target - y[first - 1]) / (y[first] - y[first - 1])
    return float(x[first - 1] ** (1 - way) * x[first] ** way)


def interval(fractions: ArrayLike, drawn: ArrayLike, targets: ArrayLike) -> tuple[float, float]:
    """The 95 % percentile interval of `needed`, over resamples of the curve and its target.

    Args:
      fractions: float [F], increasing, in (0, 1].
      drawn: float [samples, F], the curve in each resample of the patients.
      targets: float [samples], what the reference reaches in the same resamples.

    Returns:
      (low, high), the 2.5 and 97.5 percentiles over the resamples without any nan; not reached
      counts as infinite, so that an end may be. Each end is an order statistic, the one next to the
      percentile on the outer side ("lower" and "higher" of `numpy.percentile`), as there is nothing
      between a number and infinity. nan where all resamples have a nan.

    Raises:
      ValueError: shapes that do not fit, or as `needed`.
    """
    x = _checked("interval", fractions)
    drawn, targets = np.asarray(drawn, np.float64), np.asarray(targets, np.float64)
    if targets.ndim != 1 or drawn.shape != (len(targets), len(x)):
        raise ValueError(
            f"interval: fractions {x.shape}, curves {drawn.shape} and targets "
            f"{targets.shape}, expected [F], [samples, F] and [samples]"
        )
    defined = ~(np.isnan(drawn).any(axis=1) | np.isnan(targets))
    if not defined.any():
        return float("nan"), float("nan")
    found = np.array(
        [
            needed(x, values, target)
            for values, target in zip(drawn[defined], targets[defined], strict=True)
        ]
    )
    found[np.isnan(found)] = np.inf
    low = np.percentile(found, PERCENTILES[0], method="lower")
    high = np.percentile(found, PERCENTILES[1], method="higher")
    return float(low), float(high)


def _checked(function: str, fractions: ArrayLike) -> np.ndarray:
    x = np.asarray(fractions, np.float64)
    if x.ndim != 1 or not len(x):
        raise ValueError(f"{function}: fractions {x.shape}, expected [F], F at least 1")
    if not (np.all(np.diff(x) > 0) and x[0] > 0 and x[-1] <= 1):
        raise ValueError(f"{function}: fractions {x.tolist()}, expected increasing in (0, 1]")
    return x
