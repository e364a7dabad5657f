"""True and false positives: of decisions, and at every threshold of a score.

AUC, average precision, sensitivity and its kin and net benefit are all functions of them.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from micle_tf.statistics.columns import Columns, OfColumns


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many rows are positive, and how many of which were decided to be; whole numbers.

    Attributes:
      tp: true positives.
      fp: false positives.
      positives: rows that are positive.
      negatives: rows that are negative.
    All are numbers or arrays of shapes that broadcast: [K] of decisions, [T] of T thresholds.
    """

    tp: np.ndarray
    fp: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray

    @property
    def fn(self) -> np.ndarray:
        """False negatives."""
        return self.positives - self.tp

    @property
    def tn(self) -> np.ndarray:
        """True negatives."""
        return self.negatives - self.fp

    @property
    def rows(self) -> np.ndarray:
        """All."""
        return self.positives + self.negatives

    def at(self, cut: int) -> "Counts":
        """Those of one of the thresholds."""
        return Counts(self.tp[cut], self.fp[cut], self.positives, self.negatives)


class Ranking:
    """One column, sorted once: from then on the counts at all thresholds are two cumulative sums.

    Args:
      truth: bool [n].
      score: float [n], higher means more likely positive; any scale, no nan.
      known: bool [n], the rows that count; None for all.

    Attributes:
      thresholds: float [T], the distinct scores of known rows, descending.
    """

    def __init__(
        self, truth: np.ndarray, score: np.ndarray, known: np.ndarray | None = None
    ) -> None:
        rows = np.arange(len(truth)) if known is None else np.flatnonzero(known)
        rows = rows[np.argsort(-score[rows], kind="stable")]
        distinct, times = np.unique(score[rows], return_counts=True)
        self.thresholds = distinct[::-1]
        ends = np.append(0, np.cumsum(times[::-1]))  # tied rows are decided alike
        truth = truth[rows]
        self._positives, self._negatives = rows[truth], rows[~truth]
        self._positive_ends = np.append(0, np.cumsum(truth))[ends]
        self._negative_ends = ends - self._positive_ends

    def __call__(self, weights: np.ndarray) -> Counts:
        """Counts, of which tp and fp are int64 [T + 1]: where none is decided positive, then where
        `score >= thresholds[i]` is.

        Args:
          weights: int64 [n], how often each row counts.
        """
        tp = np.append(0, np.cumsum(weights[self._positives]))
        fp = np.append(0, np.cumsum(weights[self._negatives]))
        return Counts(tp[self._positive_ends], fp[self._negative_ends], tp[-1], fp[-1])

    def cut(self, threshold: float) -> int:
        """Where in the counts `score >= threshold` is decided positive."""
        return int(np.searchsorted(-self.thresholds, -threshold, side="right"))


@dataclasses.dataclass(frozen=True)
class Measure:
    """A function of counts and what it is called.

    Attributes:
      metric: its name.
      of_counts: `Counts -> value`, with the shape of `tp` or without.
      at: what is said behind the name of the column, such as "@specificity=0.9".
      thresholds: float [K], from which on a score is decided positive, nan where there is none;
        None for a function of the counts at all thresholds.
    """

    metric: str
    of_counts: Callable[[Counts], np.ndarray | float]
    at: str = ""
    thresholds: np.ndarray | None = None


def of_decisions(columns: Columns, measures: Sequence[Measure]) -> OfColumns:
    """Measures of the decisions of each column, of which `thresholds` are not asked.

    Args:
      columns: K of n rows.
      measures: functions of Counts whose arrays are float64 [K].
    """
    positive, negative = columns.known & columns.truths, columns.known & ~columns.truths
    decided = columns.decisions
    # Sums of whole numbers are exact in float64, and a product of matrices is the fastest sum.
    told = np.hstack([decided & positive, decided & negative, positive, negative]).astype(float)

    def of_weights(weights: np.ndarray) -> np.ndarray:
        counts = Counts(*(weights @ told).reshape(4, len(columns)))
        return np.stack([measure.of_counts(counts) for measure in measures])

    return OfColumns(columns, [(one.metric, one.at) for one in measures], of_weights)


def of_rankings(columns: Columns, measures: Sequence[Measure]) -> OfColumns:
    """Measures of the scores of each column: each column is sorted once for all of them.

    Args:
      columns: K of n rows.
      measures: functions of the Counts at all thresholds, or at their own `thresholds`.
    """
    rankings = [
        Ranking(truth, score, known)
        for truth, score, known in zip(
            columns.truths.T, columns.scores.T, columns.known.T, strict=True
        )
    ]
    functions = [
        [_of_ranking(ranking, measure, k) for measure in measures]
        for k, ranking in enumerate(rankings)
    ]

    def of_weights(weights: np.ndarray) -> np.ndarray:
        values = np.empty((len(measures), len(columns)))
        for k, (ranking, of_column) in enumerate(zip(rankings, functions, strict=True)):
            counts = ranking(weights)
            values[:, k] = [function(counts) for function in of_column]
        return values

    return OfColumns(columns, [(one.metric, one.at) for one in measures], of_weights)


def _of_ranking(ranking: Ranking, measure: Measure, k: int) -> Callable:
    if measure.thresholds is None:
        return measure.of_counts
    if np.isnan(measure.thresholds[k]):
        return lambda counts: np.nan
    cut = ranking.cut(measure.thresholds[k])
    return lambda counts: measure.of_counts(counts.at(cut))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole in float64; nan where the whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.true_divide(part, whole)
