"""Whether probabilities can be taken at their word: ECE, Brier score, calibration slope and
intercept."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit

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
    regressions = _Regressions(columns, logits, has_slope)
    return OfColumns(columns, [(metric, "")], lambda weights: regressions(weights)[None])


Derivatives = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class _Regressions:
    """K logistic regressions at once, of y on a + b x, or on a + x without a slope to find.

    Newton's method from the solutions of all rows, to which those of a resample are near.
    """

    def __init__(self, columns: Columns, x: np.ndarray, has_slope: bool) -> None:
        # A column's rows lie side by side, as they are summed up.
        self._known = np.ascontiguousarray(columns.known.T, np.float64)
        self._y = np.ascontiguousarray(columns.truths.T, np.float64)
        self._x, self._has_slope = np.ascontiguousarray(x.T), has_slope
        self._ends = (
            _Ends(self._x, columns.known.T & columns.truths.T),
            _Ends(self._x, columns.known.T & ~columns.truths.T),
        )
        slope = np.zeros(len(columns)) if has_slope else np.ones(len(columns))
        self._neutral = self._start = np.stack([np.zeros(len(columns)), slope])
        self._start = self._solved(np.ones(len(x), np.int64))

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """float64 [K], b or, without a slope, a; nan where the likelihood has no maximum."""
        return self._solved(weights)[1 if self._has_slope else 0]

    def _solved(self, weights: np.ndarray) -> np.ndarray:
        """float64 [2, K], a and b."""
        has_maximum = self._has_maximum(weights) & ~np.isnan(self._start[0])
        there = np.flatnonzero(weights)
        x, y = self._x[:, there], self._y[:, there]
        w = weights[there] * self._known[:, there]

        sums = lambda values: np.stack([values.sum(axis=1), np.einsum("kn,kn->k", values, x)])
        of_true = sums(w * y)

        def derivatives(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Of the log likelihood, [2, K], and its curvature with the sign turned, [3, K].

            The second derivatives are after a twice, a and b, b twice.
            """
            p = expit(theta[0][:, None] + theta[1][:, None] * x)
            wp = w * p
            gradient = of_true - sums(wp)
            wp *= 1 - p
            return gradient, np.vstack([sums(wp), np.einsum("kn,kn,kn->k", wp, x, x)])

        newton = _Newton(derivatives, self._has_slope)
        found = newton.summit(self._start, has_maximum)
        lost = has_maximum & np.isnan(found[0])
        return np.where(lost, newton.summit(self._neutral, lost), found) if lost.any() else found

    def _has_maximum(self, weights: np.ndarray) -> np.ndarray:
        """bool [K]: True and False are there and, with a slope, no value of x parts them.

        Albert and Anderson (1984, "On the existence of maximum likelihood estimates in logistic
        regression models"), for one regressor. No comparison holds with nan.
        """
        (lowest, highest), (lowest_false, highest_false) = (ends(weights) for ends in self._ends)
        if not self._has_slope:
            return ~np.isnan(lowest) & ~np.isnan(lowest_false)
        return (lowest < highest_false) & (lowest_false < highest)


class _Ends:
    """The lowest and the highest x of the rows of K columns that count, looked for from the ends.

    Args:
      x: float [K, n].
      rows: bool [K, n], of which rows.
    """

    _NEAR = 50  # rows from an end; in a resample nearly every one of them has one that counts

    def __init__(self, x: np.ndarray, rows: np.ndarray) -> None:
        self._x = x
        self._ascending = [
            at[np.argsort(values[at], kind="stable")]
            for values, at in zip(x, map(np.flatnonzero, rows), strict=True)
        ]

    def __call__(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float64 [K] each; nan where no row counts."""
        ends = np.full((2, len(self._x)), np.nan)
        for k, rows in enumerate(self._ascending):
            for end, ordered in enumerate((rows, rows[::-1])):
                near = ordered[: self._NEAR]
                counts = near[weights[near] > 0]
                if not len(counts):
                    counts = ordered[weights[ordered] > 0]
                if len(counts):
                    ends[end, k] = self._x[k, counts[0]]
        return ends[0], ends[1]


class _Newton:
    """Where K concave functions of theta [2, K] are highest, each on its own.

    Args:
      derivatives: from theta to the gradient [2, K] and the curvature with its sign turned, [3, K].
      has_slope: whether the second of theta may move.
    """

    def __init__(self, derivatives: Derivatives, has_slope: bool) -> None:
        self._derivatives, self._has_slope = derivatives, has_slope

    def summit(self, theta: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """float64 [2, K]; nan where that is not found from `theta`, or not wanted.

        A step is halved that is past the summit along its direction, and as steep there, or that
        ends where the function is nearly flat, from where the next one would lead anywhere. The
        error being squared by each step, one step of 1e-5 leaves less than 1e-8.
        """
        found, active = np.full_like(theta, np.nan), wanted
        gradient, curvature = self._derivatives(theta)
        for _ in range(STEPS):
            volume = self._volume(curvature)
            active = active & (volume > 0)
            step = np.where(active, self._step(gradient, curvature, volume), 0.0)
            small = np.all(np.abs(step) <= 1e-5 * np.maximum(np.abs(theta), 1), axis=0)
            found = np.where(active & small, theta + step, found)
            active = active & ~small
            if not active.any():
                break
            step = np.where(active, step, 0.0)
            steepness = (gradient * step).sum(axis=0)
            for _ in range(STEPS):
                gradient, curvature = self._derivatives(theta + step)
                past = (gradient * step).sum(axis=0) < -steepness / 2
                far = active & (past | (self._volume(curvature) < volume / 1000))
                if not far.any():
                    break
                step = np.where(far, step / 2, step)
            theta = theta + step
        return found

    def _volume(self, curvature: np.ndarray) -> np.ndarray:
        aa, ab, bb = curvature
        return aa * bb - ab * ab if self._has_slope else aa

    def _step(self, gradient: np.ndarray, curvature: np.ndarray, volume: np.ndarray) -> np.ndarray:
        (a, b), (aa, ab, bb) = gradient, curvature
        if not self._has_slope:
            return np.stack([ratio(a, volume), np.zeros_like(a)])
        return ratio(np.stack([bb * a - ab * b, aa * b - ab * a]), volume)
