"""Whether probabilities can be taken at their word: ECE, Brier score, calibration slope and
intercept."""

import math

import numpy as np
from scipy.special import logit

from micle_tf.statistics.columns import Columns, OfColumns
from micle_tf.statistics.counts import ratio
from micle_tf.statistics.statistic import Statistic

BINS = 15
SMALLEST = 1e-7  # as 0 and 1 have no logit, p is clipped to [1e-7, 1 - 1e-7] before it is taken
STEPS = 100  # of Newton's method; four or five are the rule


def ece(columns: Columns) -> OfColumns:
    """`ece/<name>`: expected calibration error in 15 bins of equal width, in [0, 1].

    Guo et al. (2017, "On calibration of modern neural networks", equation 3): the mean over the
    rows of |share of True - mean p| of their bin, bins being ((i - 1) / 15, i / 15] and the first
    one with its 0. nan without a row.

    Args:
      columns: findings; of classes `certainty_of_classes`, whose column is the top probability.
    """
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    bins = np.digitize(columns.scores, edges, right=True) + BINS * np.arange(len(columns))
    known = columns.known.astype(np.float64)
    excess = known * (columns.truths - columns.scores)

    def of_weights(weights: np.ndarray) -> np.ndarray:
        sums = np.bincount(
            bins.ravel(), (weights[:, None] * excess).ravel(), BINS * len(columns)
        ).reshape(-1, BINS)
        return ratio(np.abs(sums).sum(axis=1), weights @ known)[None]

    return OfColumns(columns, [("ece", "")], of_weights)


def brier(columns: Columns) -> OfColumns:
    """`brier/<name>`: mean of (p - y)^2 of each column, in [0, 1]; nan without a row.

    `sklearn.metrics.brier_score_loss`, with `sample_weight`.
    """
    known = columns.known.astype(np.float64)
    squares = known * (columns.scores - columns.truths) ** 2
    return OfColumns(
        columns, [("brier", "")], lambda weights: ratio(weights @ squares, weights @ known)[None]
    )


def brier_of_classes(columns: Columns) -> Statistic:
    """`brier`: mean over the rows of the sum of (p_k - y_k)^2 over the classes, in [0, 2].

    Brier (1950, "Verification of forecasts expressed in terms of probability", equation 2).
    """
    of_columns = brier(columns)
    return Statistic(("brier",), lambda weights: of_columns(weights).sum(keepdims=True))


def slope(columns: Columns) -> OfColumns:
    """`calibration_slope/<name>`: b of the logistic regression of y on a + b logit p.

    Cox (1958, "Two further applications of a model for binary regression"); Van Calster et al.
    (2019, "Calibration: the Achilles heel of predictive analytics"). 1 is perfect; below 1 the
    probabilities are too extreme. By maximum likelihood to 1e-8; p is clipped to [1e-7, 1 - 1e-7].
    nan where there is no maximum, as logit p separates True from False or one of them is missing.
    """
    return _of_regression(columns, "calibration_slope", has_slope=True)


def intercept(columns: Columns) -> OfColumns:
    """`calibration_intercept/<name>`: calibration in the large, a of y on a + logit p.

    The logarithm of how many times too low the odds are; 0 is perfect, below 0 the probabilities
    are too high. See `slope`, of which b is held at 1; nan where True or False is missing.
    """
    return _of_regression(columns, "calibration_intercept", has_slope=False)


def _of_regression(columns: Columns, metric: str, *, has_slope: bool) -> OfColumns:
    """The last coefficient of a logistic regression of each column's truths on their logits."""
    logits = logit(np.clip(columns.scores, SMALLEST, 1 - SMALLEST))
    regressions = [
        _Regression(x, y, known, has_slope)
        for x, y, known in zip(logits.T, columns.truths.T, columns.known.T, strict=True)
    ]

    def of_weights(weights: np.ndarray) -> np.ndarray:
        there = np.flatnonzero(weights)
        return np.array([[regression(weights, there) for regression in regressions]])

    return OfColumns(columns, [(metric, "")], of_weights)


Theta = tuple[float, float]  # a and b
# Of the log likelihood: what it rises by after a and b, and the second derivatives after a twice, a
# and b, b twice, with the sign turned. Without a slope to find, those after b are 0.
Derivatives = tuple[float, float, float, float, float]

NOWHERE = (math.nan, math.nan)


class _Regression:
    """A logistic regression of y on a + b x, or on a + x without a slope to find.

    Newton's method from the solution of all rows, to which that of a resample is near. Column by
    column, whose rows stay near the processor as they are summed up again and again.

    Args:
      x: float [n].
      y, known: bool [n].
      has_slope: whether b is looked for.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, known: np.ndarray, has_slope: bool) -> None:
        self._x, self._y = np.ascontiguousarray(x), np.ascontiguousarray(y, np.float64)
        self._known, self._has_slope = np.ascontiguousarray(known, np.float64), has_slope
        self._ends = _Ends(self._x, known & y), _Ends(self._x, known & ~y)
        self._neutral = self._start = (0.0, 0.0 if has_slope else 1.0)
        self._start = self._solved(np.ones(len(x), np.int64), np.arange(len(x)))

    def __call__(self, weights: np.ndarray, there: np.ndarray) -> float:
        """b or, without a slope, a; nan where the likelihood has no maximum.

        Args:
          weights: int64 [n].
          there: int [m], the rows with a weight.
        """
        return self._solved(weights, there)[1 if self._has_slope else 0]

    def _solved(self, weights: np.ndarray, there: np.ndarray) -> Theta:
        if not self._has_maximum(weights) or math.isnan(self._start[0]):
            return NOWHERE
        likelihood = _Likelihood(
            self._x[there], self._y[there], weights[there] * self._known[there], self._has_slope
        )
        found = _summit(likelihood, self._start)
        return _summit(likelihood, self._neutral) if math.isnan(found[0]) else found

    def _has_maximum(self, weights: np.ndarray) -> bool:
        """True and False are there and, with a slope, no value of x parts them.

        Albert and Anderson (1984, "On the existence of maximum likelihood estimates in logistic
        regression models"), for one regressor. No comparison holds with nan.
        """
        (lowest, highest), (lowest_false, highest_false) = (ends(weights) for ends in self._ends)
        if not self._has_slope:
            return not math.isnan(lowest) and not math.isnan(lowest_false)
        return lowest < highest_false and lowest_false < highest


class _Ends:
    """The lowest and the highest x of some rows that count, looked for from the ends.

    Args:
      x: float [n].
      rows: bool [n], of which rows.
    """

    _NEAR = 50  # rows from an end; in a resample nearly every one of them has one that counts

    def __init__(self, x: np.ndarray, rows: np.ndarray) -> None:
        at = np.flatnonzero(rows)
        self._x, self._ascending = x, at[np.argsort(x[at], kind="stable")]

    def __call__(self, weights: np.ndarray) -> tuple[float, float]:
        """nan where no row counts."""
        return self._first(self._ascending, weights), self._first(self._ascending[::-1], weights)

    def _first(self, ordered: np.ndarray, weights: np.ndarray) -> float:
        for rows in (ordered[: self._NEAR], ordered):
            counts = rows[weights[rows] > 0]
            if len(counts):
                return float(self._x[counts[0]])
        return math.nan


class _Likelihood:
    """The logarithm of the likelihood of m rows, after a and b.

    Args:
      x, y, w: float64 [m]; w is how often each row counts.
      has_slope: whether b may move.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, w: np.ndarray, has_slope: bool) -> None:
        self._x, self._w, self._has_slope = x, w, has_slope
        wy = w * y
        self._of_true = float(wy.sum()), float(np.einsum("n,n->", wy, x))

    def derivatives(self, theta: Theta) -> Derivatives:
        a, b = theta
        p = self._x * -b
        p -= a
        with np.errstate(over="ignore"):  # 1 / (1 + infinity) is 0
            np.exp(p, out=p)
        p += 1
        np.reciprocal(p, out=p)
        wp = self._w * p
        of_a = self._of_true[0] - float(wp.sum())
        of_b = self._of_true[1] - float(np.einsum("n,n->", wp, self._x)) if self._has_slope else 0.0
        p *= wp
        wp -= p  # w p (1 - p)
        aa = float(wp.sum())
        if not self._has_slope:
            return of_a, of_b, aa, 0.0, 0.0
        wp *= self._x
        return of_a, of_b, aa, float(wp.sum()), float(np.einsum("n,n->", wp, self._x))

    def volume(self, of: Derivatives) -> float:
        """How far from flat, of derivatives."""
        *_, aa, ab, bb = of
        return aa * bb - ab * ab if self._has_slope else aa

    def step(self, of: Derivatives) -> Theta:
        """Newton's, where the volume is above 0."""
        a, b, aa, ab, bb = of
        if not self._has_slope:
            return a / aa, 0.0
        return (bb * a - ab * b) / self.volume(of), (aa * b - ab * a) / self.volume(of)


def _summit(likelihood: _Likelihood, theta: Theta) -> Theta:
    """Where a likelihood, which is concave, is highest; nan where that is not found from `theta`.

    A step is halved that is past the summit along its direction, and as steep there, or that ends
    where the function is nearly flat, from where the next one would lead anywhere. The error being
    squared by each step, one step of 1e-5 leaves less than 1e-8.
    """
    (a, b), here = theta, likelihood.derivatives(theta)
    for _ in range(STEPS):
        volume = likelihood.volume(here)
        if not volume > 0:
            return NOWHERE
        by_a, by_b = likelihood.step(here)
        if abs(by_a) <= 1e-5 * max(abs(a), 1) and abs(by_b) <= 1e-5 * max(abs(b), 1):
            return a + by_a, b + by_b
        steepness = here[0] * by_a + here[1] * by_b
        for _ in range(STEPS):
            here = likelihood.derivatives((a + by_a, b + by_b))
            past = here[0] * by_a + here[1] * by_b < -steepness / 2
            if not past and likelihood.volume(here) >= volume / 1000:
                break
            by_a, by_b = by_a / 2, by_b / 2
        a, b = a + by_a, b + by_b
    return NOWHERE
