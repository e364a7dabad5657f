"""Questions to n rows with yes or no for an answer: is it this class, is this finding there?

Classes and findings are judged alike, column by column; this is the one place that knows how they
differ.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from micle_tf.statistics.statistic import Statistic


@dataclasses.dataclass(frozen=True)
class Columns:
    """K questions to n rows.

    Attributes:
      names: [K], of the classes or findings; one "" where the only question is about the whole row.
      truths: bool [n, K].
      scores: float64 [n, K], probabilities of True.
      decisions: bool [n, K], the answers given.
      known: bool [n, K], where the truth is known; other rows do not count in that column.
    """

    names: tuple[str, ...]
    truths: np.ndarray
    scores: np.ndarray
    decisions: np.ndarray
    known: np.ndarray

    @classmethod
    def of_classes(
        cls, y_true: ArrayLike, probabilities: ArrayLike, names: Sequence[str]
    ) -> "Columns":
        """Each class against the rest. Decided is the most probable class, as `top1` counts it.

        Args:
          y_true: int [n], classes in [0, K). Rows without a label must be left out.
          probabilities: float [n, K], in [0, 1]. Of equal ones the higher index is decided
            for, as in `sklearn.metrics.top_k_accuracy_score`.
          names: the K distinct names.

        Raises:
          ValueError: no rows, shapes that do not fit, a label outside [0, K), a probability
            that is nan or outside [0, 1], or a name used twice.
        """
        y_true, scores = np.asarray(y_true), np.asarray(probabilities, np.float64)
        if scores.ndim != 2 or y_true.shape != scores.shape[:1]:
            raise ValueError(
                f"of_classes: labels {y_true.shape} and probabilities {scores.shape}, "
                "expected [n] and [n, K]"
            )
        _check(y_true, scores, names, function="of_classes", limits=(0, scores.shape[1] - 1))
        classes = np.arange(len(names))
        decided = len(names) - 1 - np.argmax(scores[:, ::-1], axis=1)
        return cls(
            tuple(names),
            y_true[:, None] == classes,
            scores,
            decided[:, None] == classes,
            np.ones(scores.shape, bool),
        )

    @classmethod
    def of_findings(
        cls, y_true: ArrayLike, probabilities: ArrayLike, names: Sequence[str]
    ) -> "Columns":
        """Each finding on the rows where it is known. Decided is that it is there from p = 0.5 on.

        Args:
          y_true: int [n, K], 1 present, 0 absent; -1 (uncertain) and -2 (not mentioned) are
            not known.
          probabilities: float [n, K], in [0, 1].
          names: the K distinct names.

        Raises:
          ValueError: no rows, shapes that do not fit, a value outside {-2, -1, 0, 1}, a probability
            that is nan or outside [0, 1], or a name used twice.
        """
        y_true, scores = np.asarray(y_true), np.asarray(probabilities, np.float64)
        if scores.ndim != 2 or y_true.shape != scores.shape:
            raise ValueError(
                f"of_findings: findings {y_true.shape} and probabilities {scores.shape}, expected "
                "[n, K] each"
            )
        _check(y_true, scores, names, function="of_findings", limits=(-2, 1))
        return cls(tuple(names), y_true == 1, scores, scores >= 0.5, y_true >= 0)

    def only(self, names: Sequence[str]) -> "Columns":
        """Those of these names."""
        at = [self.names.index(name) for name in names]
        arrays = (self.truths, self.scores, self.decisions, self.known)
        return Columns(tuple(names), *(array[:, at] for array in arrays))

    def __len__(self) -> int:
        """K."""
        return len(self.names)


def certainty_of_classes(columns: Columns) -> Columns:
    """One question, is the class that was decided for the right one, with its probability."""
    right = np.any(columns.decisions & columns.truths, axis=1, keepdims=True)
    top = columns.scores.max(axis=1, keepdims=True)
    return Columns(("",), right, top, np.ones_like(right), np.ones_like(right))


def certainty_of_findings(columns: Columns) -> Columns:
    """Per finding: is what was decided right, with the probability of that, max(p, 1 - p)."""
    return dataclasses.replace(
        columns,
        truths=columns.decisions == columns.truths,
        scores=np.maximum(columns.scores, 1 - columns.scores),
        decisions=np.ones_like(columns.decisions),
    )


class Key(NamedTuple):
    """What a number of a column is: of which metric, of which column, at what."""

    metric: str
    column: str
    at: str

    @property
    def name(self) -> str:
        """Such as "sensitivity/melanoma@specificity=0.9"; without the column where it is ""."""
        return f"{self.metric}/{self.column}{self.at}" if self.column else self.metric + self.at


class OfColumns(Statistic):
    """A statistic of R metrics of K columns: the first of all columns, then the second.

    Args:
      columns: K of them.
      metrics: [R] pairs (metric, at), `at` being "" or such as "@specificity=0.9".
      of_weights: int64 [n] to float64 [R, K]; nan where a number is not defined.
    """

    def __init__(
        self,
        columns: Columns,
        metrics: Sequence[tuple[str, str]],
        of_weights: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        self.keys = [Key(metric, name, at) for metric, at in metrics for name in columns.names]
        super().__init__(
            [key.name for key in self.keys], lambda weights: np.ravel(of_weights(weights))
        )


def _check(
    y_true: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    *,
    function: str,
    limits: tuple[int, int],
) -> None:
    """What classes and findings both ask of rows and names, the shapes being right."""
    if not len(y_true):
        raise ValueError(f"{function}: no rows")
    if len(names) != scores.shape[1] or len(set(names)) != len(names):
        raise ValueError(
            f"{function}: {len(names)} names, {len(set(names))} of them distinct, for "
            f"{scores.shape[1]} columns"
        )
    if not np.issubdtype(y_true.dtype, np.integer):
        raise ValueError(f"{function}: labels are {y_true.dtype}, expected integers")
    if y_true.size and (y_true.min() < limits[0] or y_true.max() > limits[1]):
        raise ValueError(
            f"{function}: labels from {y_true.min()} to {y_true.max()}, expected {limits[0]} to "
            f"{limits[1]}"
        )
    if not np.all((scores >= 0) & (scores <= 1)):  # nan is neither
        raise ValueError(f"{function}: a probability is nan or outside [0, 1]")
