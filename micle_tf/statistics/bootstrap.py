"""Bootstrap of a statistic that resamples whole groups, such as patients with all of their images.

The cluster bootstrap of Field and Welsh, 2007, "Bootstrapping clustered data", with percentile
intervals (Efron and Tibshirani, 1993, "An introduction to the bootstrap", chapter 13). The draws
are those of `evaluation.intervals.bootstrap_intervals`, to the bit; what differs is that rows are
weighted rather than copied.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from micle_tf.statistics.statistic import Statistic

PERCENTILES = (2.5, 97.5)

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval.

    Attributes:
      value: of all rows once; nan where they do not define it.
      low, high: ends of the interval; nan where no resample defines the number, or where there are
        fewer than two groups to resample.
      dropped: how many resamples do not, and are not in the interval.
    """

    value: float
    low: float
    high: float
    dropped: int

    def without_interval(self) -> "Estimate":
        """The same value, where there are too few groups to say more."""
        return dataclasses.replace(self, low=np.nan, high=np.nan)


def weights_of(groups: ArrayLike, samples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each row counts in each resample of the groups.

    Sample by sample, `rng.choice(G, size=G)` with `rng = numpy.random.default_rng(seed)` draws G of
    the G sorted unique groups with replacement; a row counts as often as its group was drawn.

    Args:
      groups: int or string [n], the group of each row.
      samples: number of resamples.
      seed: of the draws.

    Returns:
      An iterator over `samples` arrays int64 [n].

    Raises:
      ValueError: `groups` has another shape, no rows, or `samples` is not positive.
    """
    groups = np.asarray(groups)
    if groups.ndim != 1:
        raise ValueError(f"bootstrap: groups {groups.shape}, expected [n]")
    if not len(groups):
        raise ValueError("bootstrap: no rows")
    if samples < 1:
        raise ValueError(f"bootstrap: samples={samples}, expected at least 1")
    unique, group_of_row = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)

    def resample() -> np.ndarray:
        drawn = rng.choice(len(unique), size=len(unique))
        return np.bincount(drawn, minlength=len(unique))[group_of_row]

    return (resample() for _ in range(samples))


def replicates(
    statistic: Statistic,
    groups: ArrayLike,
    samples: int,
    seed: int,
    *,
    progress: Progress | None = None,
) -> np.ndarray:
    """The numbers of each resample.

    Args:
      statistic: M numbers of n rows.
      groups: int or string [n], the group of each row.
      samples: number of resamples.
      seed: of the draws: the same seed and groups give the same resamples, whatever the statistic.
      progress: called as `progress(done, samples)` after each resample.

    Returns:
      float64 [samples, M]; nan where a resample does not define a number.

    Raises:
      ValueError: as `weights_of`.
    """
    draws = weights_of(groups, samples, seed)
    values = np.empty((samples, len(statistic.names)))
    for sample, weights in enumerate(draws):
        values[sample] = statistic(weights)
        if progress is not None:
            progress(sample + 1, samples)
    return values


def estimates(
    statistic: Statistic,
    groups: ArrayLike,
    samples: int = 1000,
    seed: int = 0,
    *,
    progress: Progress | None = None,
) -> dict[str, Estimate]:
    """The numbers of all rows, with 95 % intervals of the same resamples for all of them.

    Args:
      statistic: M numbers of n rows.
      groups: int or string [n], the group of each row.
      samples: number of resamples.
      seed: of the draws.
      progress: called as `progress(done, samples)` after each resample.

    Returns:
      `{name: Estimate}` in the order of `statistic.names`. With one group every resample is the
      data, which says nothing of other groups: the ends are nan.

    Raises:
      ValueError: as `weights_of`.
    """
    drawn = replicates(statistic, groups, samples, seed, progress=progress)
    values = statistic(np.ones(len(np.asarray(groups)), np.int64))
    found = {
        name: estimate(value, column)
        for name, value, column in zip(statistic.names, values, drawn.T, strict=True)
    }
    if len(np.unique(groups)) < 2:
        found = {name: one.without_interval() for name, one in found.items()}
    return found


def estimate(value: float, replicates: np.ndarray) -> Estimate:
    """A number with its interval.

    Args:
      value: of all rows once.
      replicates: float64 [samples], of each resample; nan where it does not define the number.

    Returns:
      The ends are the 2.5 and 97.5 percentiles over the resamples that do, interpolated linearly
      as `numpy.percentile` does.
    """
    undefined = np.isnan(replicates)
    low = high = np.nan
    if not undefined.all():
        low, high = np.nanpercentile(replicates, PERCENTILES)
    return Estimate(float(value), float(low), float(high), int(undefined.sum()))
