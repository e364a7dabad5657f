"""Is a model as good for all kinds of patients? A metric by sub-group, and the gap between them.

The largest gap is the difference of a maximum and a minimum and so biased upwards: it is above 0
where all groups are alike, and so are both ends of its interval. Whether there is more than chance
is for its p to say.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from micle_tf.statistics.attributes import NO_GROUPS
from micle_tf.statistics.bootstrap import Estimate, Progress, estimate, weights_of
from micle_tf.statistics.permutation import ROUNDING
from micle_tf.statistics.statistic import Statistic

LEAST = 10  # positives, and negatives, without which a metric of a group says nothing


@dataclasses.dataclass(frozen=True)
class Group:
    """The rows of one label.

    Attributes:
      patients, rows: how many.
      positives, negatives: rows; of several columns of truth, in the column that has least.
      estimate: of the metric, patients resampled, without an interval of one patient alone; None
        with too few positives or negatives.
    """

    patients: int
    rows: int
    positives: int
    negatives: int
    estimate: Estimate | None

    @property
    def reason(self) -> str:
        """Why there is no estimate; "" if there is one."""
        if self.estimate is not None:
            return ""
        return f"{self.positives} positives and {self.negatives} negatives, {LEAST} of each needed"


@dataclasses.dataclass(frozen=True)
class Gap:
    """The largest difference between two groups.

    Attributes:
      highest, lowest: the two.
      estimate: of the difference; in each resample that between its own highest and lowest.
      p: of the hypothesis that the label makes no difference.
    """

    highest: str
    lowest: str
    estimate: Estimate
    p: float


def compare_groups(
    statistic: Statistic,
    truth: ArrayLike,
    labels: ArrayLike,
    patients: ArrayLike,
    *,
    samples: int = 1000,
    permutations: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[dict[str, Group], Gap | None]:
    """A metric by sub-group, with the largest gap.

    A group has a value if its rows hold at least ten positives and ten negatives, in every column
    of `truth`. Rows of unknown label, and of several, are a group as well, but the gap is not to
    them.

    p is from permuting labels over patients, those of unknown label or of several apart: the share
    (b + 1) / (m + 1) of permutations with a gap at least as large. Each is judged by the rule
    above, and the few that leave fewer than two groups a value do not count. The hypothesis is
    that, the truth being what it is, scores do not depend on the label, whereas prevalence may:

    - patients all of whose rows have one label exchange it with such patients as have a positive
      row in the same columns;
    - in patients with several labels (views, say) the rows of one truth exchange theirs. Where
      there are such patients, those of one label exchange it only with patients of as many rows:
      the more rows, the less likely they have one label, and that a rare one.

    Where each patient has one label, the number of rows is taken to have nothing to do with it.
    What has nothing to be exchanged with stays, and where most stays p is large, whatever the gap.

    Args:
      statistic: the metric and no other, of n rows.
      truth: int [n] or [n, K], 1 for a positive, 0 for a negative, anything else for neither. Of a
        metric over K classes a column each.
      labels: str [n], as of `attributes.assign`.
      patients: int or string [n].
      samples: resamples of patients, for the intervals.
      permutations: of labels, m.
      seed: of the resamples, and of the permutations.
      progress: called as `progress(done, samples + permutations)`.

    Returns:
      `({label: Group}, gap)`, the groups by the alphabet; no gap where fewer than two groups of
      known label have a value.

    Raises:
      ValueError: another number of metrics, shapes that do not fit, no rows, or `samples` or
        `permutations` is not positive.
    """
    rows = _Rows.of(statistic, truth, labels, patients)
    if permutations < 1:
        raise ValueError(f"compare_groups: permutations={permutations}, expected at least 1")

    def advance(done: int) -> None:
        if progress is not None:
            progress(done, samples + permutations)

    resamples = weights_of(rows.patient, samples, seed)
    enough = rows.enough(rows.label)
    values = rows.values(rows.label, enough)
    draws = np.empty((samples, len(values)))
    for sample, weights in enumerate(resamples):
        draws[sample] = rows.values(rows.label, enough, weights)
        advance(sample + 1)
    groups = {
        name: rows.group(k, estimate(values[k], draws[:, k]) if enough[k] else None)
        for k, name in enumerate(rows.names)
    }
    between = rows.compared(values)
    if len(between) < 2:
        return groups, None
    ascending = between[np.argsort(values[between], kind="stable")]
    gap = Gap(
        rows.names[ascending[-1]],
        rows.names[ascending[0]],
        estimate(np.ptp(values[between]), np.ptp(draws[:, between], axis=1)),
        _p_of_gap(rows, permutations, seed, lambda done: advance(samples + done)),
    )
    return groups, gap


@dataclasses.dataclass(frozen=True)
class _Rows:
    """n rows in G groups.

    Attributes:
      statistic: the metric.
      names: [G], the labels.
      label: int [n], which of them.
      positive, negative: bool [n, K].
      patient: int [n].
    """

    statistic: Statistic
    names: list[str]
    label: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    patient: np.ndarray

    @classmethod
    def of(
        cls, statistic: Statistic, truth: ArrayLike, labels: ArrayLike, patients: ArrayLike
    ) -> "_Rows":
        truth, labels, patients = np.asarray(truth), np.asarray(labels), np.asarray(patients)
        if len(statistic.names) != 1:
            raise ValueError(f"compare_groups: {len(statistic.names)} metrics, expected 1")
        if truth.ndim not in (1, 2) or not truth.shape[:1] == labels.shape == patients.shape:
            raise ValueError(
                f"compare_groups: truth {truth.shape}, labels {labels.shape} and patients "
                f"{patients.shape}, expected [n] or [n, K], [n] and [n]"
            )
        columns = truth if truth.ndim == 2 else truth[:, None]
        names, label = np.unique(labels, return_inverse=True)
        patient = np.unique(patients, return_inverse=True)[1]
        return cls(statistic, names.tolist(), label, columns == 1, columns == 0, patient)

    def counts(self, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positives and negatives of each group, int64 [G], in the column that has least."""
        positives, negatives = (
            np.stack(
                [np.bincount(label[column], minlength=len(self.names)) for column in of.T]
            ).min(axis=0)
            for of in (self.positive, self.negative)
        )
        return positives, negatives

    def enough(self, label: np.ndarray) -> np.ndarray:
        """Which groups have a value, bool [G]."""
        return np.min(self.counts(label), axis=0) >= LEAST

    def values(
        self, label: np.ndarray, of: np.ndarray, weights: np.ndarray | int = 1
    ) -> np.ndarray:
        """The metric of some groups, float64 [G]; nan of the others."""
        values = np.full(len(self.names), np.nan)
        for k in np.flatnonzero(of):
            values[k] = self.statistic((label == k) * weights).item()
        return values

    def compared(self, values: np.ndarray) -> np.ndarray:
        """The groups between which the gap is, of known label and with a value."""
        unknown = np.isin(self.names, NO_GROUPS)
        return np.flatnonzero(~unknown & ~np.isnan(values))

    def group(self, k: int, estimate: Estimate | None) -> Group:
        positives, negatives = (int(of[k]) for of in self.counts(self.label))
        there = self.label == k
        patients = len(np.unique(self.patient[there]))
        if estimate is not None and patients < 2:
            estimate = estimate.without_interval()
        return Group(patients, int(there.sum()), positives, negatives, estimate)


def _p_of_gap(rows: _Rows, permutations: int, seed: int, advance: Callable[[int], None]) -> float:
    def values_of(label: np.ndarray) -> np.ndarray:
        values = rows.values(label, rows.enough(label))
        return values[rows.compared(values)]

    observed = values_of(rows.label)
    least = np.ptp(observed) - ROUNDING * np.abs(observed).max()
    exchange = _Exchange(rows)
    rng = np.random.default_rng(seed)
    as_large = judged = 0
    for permutation in range(permutations):
        values = values_of(exchange(rng))
        if len(values) >= 2:
            judged += 1
            as_large += bool(np.ptp(values) >= least)
        advance(permutation + 1)
    return (as_large + 1) / (judged + 1)


class _Exchange:
    """Labels are exchanged between units of one stratum.

    A unit is a patient whose known labels are one, its stratum which columns have a positive row
    and, where other patients have several labels, the number of rows; or it is a row of such
    another patient, its stratum the patient and the row's truth.
    """

    def __init__(self, rows: _Rows) -> None:
        known = ~np.isin(rows.names, NO_GROUPS)
        self._label, self._rows = rows.label, np.flatnonzero(known[rows.label])
        label, patient = rows.label[self._rows], rows.patient[self._rows]
        truth = np.hstack([rows.positive, rows.negative])[self._rows]
        patients = int(rows.patient.max()) + 1

        labels_of_patient = np.unique(np.stack([patient, label]), axis=1)[0]
        several = (np.bincount(labels_of_patient, minlength=patients) > 1)[patient]
        positive = np.zeros((patients, rows.positive.shape[1]), bool)
        np.logical_or.at(positive, patient, rows.positive[self._rows])

        size = np.bincount(patient, minlength=patients)[patient] * several.any()
        alike = np.where(several, _codes(truth), _codes(positive)[patient])
        stratum = _codes(np.stack([np.where(several, patient, -1), alike, size], axis=1))
        unit = np.where(several, patients + np.arange(len(patient)), patient)
        _, first, self._unit = np.unique(unit, return_index=True, return_inverse=True)
        self._stratum, self._of_unit = stratum[first], label[first]
        self._by_stratum = np.argsort(self._stratum, kind="stable")

    def __call__(self, rng: np.random.Generator) -> np.ndarray:
        """Labels of the rows, int [n]."""
        shuffled = np.lexsort([rng.random(len(self._stratum)), self._stratum])
        of_unit = np.empty_like(self._of_unit)
        of_unit[self._by_stratum] = self._of_unit[shuffled]
        label = self._label.copy()
        label[self._rows] = of_unit[self._unit]
        return label


def _codes(rows: np.ndarray) -> np.ndarray:
    """Which of the distinct rows each row is, int [n]."""
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
