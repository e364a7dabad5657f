"""Two variants that were trained several times each: differences that hold for other seeds too.

Obuchowski and Rockette, 1995, "Hypothesis testing of diagnostic accuracy for multiple readers and
multiple tests", in the form and with the degrees of freedom of Hillis, 2014, "A marginal-mean ANOVA
approach for analyzing multireader multicase radiological imaging data". Seeds are the readers: both
patients and seeds are samples of those that there might have been.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from micle_tf.statistics import bootstrap
from micle_tf.statistics.difference import Difference, t_test
from micle_tf.statistics.statistic import Statistic, difference


def of_differences(theta: ArrayLike, covariance: ArrayLike) -> Difference:
    """The difference of two variants from those of their seeds.

    With MS = var(theta, ddof=1) and Cov2 the mean covariance of two seeds, and M = MS + S
    max(Cov2, 0), the variance of the mean is M / S, and df = (S - 1) (M / MS)^2.

    Args:
      theta: float [S], the paired difference of each seed.
      covariance: float [S, S], that of theta over patients, with the seeds as they are; nan where
        it is not known.

    Returns:
      The mean of theta, with interval and p from t. Where all of theta are equal, t has infinite
      degrees of freedom.

    Raises:
      ValueError: fewer than two seeds, or shapes that do not fit.
    """
    theta, covariance = np.asarray(theta, np.float64), np.asarray(covariance, np.float64)
    seeds = theta.size
    if theta.ndim != 1 or covariance.shape != (seeds, seeds):
        raise ValueError(
            f"of_differences: differences {theta.shape} and covariance {covariance.shape}, "
            "expected [S] and [S, S]"
        )
    if seeds < 2:
        raise ValueError(f"of_differences: {seeds} seeds, expected at least 2")
    between = float(theta.var(ddof=1))
    shared = float(covariance[~np.eye(seeds, dtype=bool)].mean())
    total = between + seeds * (0.0 if shared < 0 else shared)  # nan stays nan
    times = total / between if between else math.inf  # of small numbers, squares would be 0
    df = (seeds - 1) * (times * times)
    return t_test(float(theta.mean()), math.sqrt(total / seeds), df)


def seeds_as_readers(
    statistics_a: Sequence[Statistic],
    statistics_b: Sequence[Statistic],
    groups: ArrayLike,
    samples: int = 1000,
    seed: int = 0,
    *,
    progress: bootstrap.Progress | None = None,
) -> dict[str, Difference]:
    """Differences of two variants, B - A, of S seeds each that are paired in their order.

    The covariance of the seeds' differences is that over one bootstrap of the groups, the same
    resamples for all seeds and names. A resample that does not define a number for every seed is
    left out of that number, and counted as `dropped`.

    Args:
      statistics_a, statistics_b: [S], of the seeds' predictions of the same n rows, all with the
        same names.
      groups: int or string [n], the group (the patient) of each row.
      samples: number of resamples.
      seed: of the draws.
      progress: called as `progress(done, samples)` after each resample.

    Returns:
      `{name: Difference}`; ends and p are nan where fewer than two resamples define the number, or
      with fewer than two groups, which have no covariance.

    Raises:
      ValueError: fewer than two seeds, not as many of A as of B, names that differ, or as
        `bootstrap.weights_of`.
    """
    if len(statistics_a) != len(statistics_b):
        raise ValueError(
            f"seeds_as_readers: {len(statistics_a)} seeds of A and {len(statistics_b)} of B, "
            "expected as many"
        )
    seeds = len(statistics_a)
    if seeds < 2:
        raise ValueError(f"seeds_as_readers: {seeds} seeds, expected at least 2")
    differences = [difference(a, b) for a, b in zip(statistics_a, statistics_b, strict=True)]
    names = differences[0].names
    if any(one.names != names for one in differences):
        raise ValueError("seeds_as_readers: the seeds have different names")
    all_seeds = Statistic(
        [f"{name} of {s}" for s in range(seeds) for name in names],
        lambda weights: np.concatenate([one(weights) for one in differences]),
    )
    drawn = bootstrap.replicates(all_seeds, groups, samples, seed, progress=progress)
    drawn = drawn.reshape(samples, seeds, len(names))
    theta = all_seeds(np.ones(len(np.asarray(groups)), np.int64)).reshape(seeds, len(names))
    if len(np.unique(groups)) < 2:
        covariances = [np.full((seeds, seeds), np.nan)] * len(names)
    else:
        covariances = [covariance_of(drawn[..., k]) for k in range(len(names))]
    dropped = np.isnan(drawn).any(axis=1).sum(axis=0).tolist()
    found = [of_differences(of, one) for of, one in zip(theta.T, covariances, strict=True)]
    return {
        name: dataclasses.replace(one, dropped=without)
        for name, one, without in zip(names, found, dropped, strict=True)
    }


def covariance_of(drawn: np.ndarray) -> np.ndarray:
    """Of [samples, S], [S, S]."""
    drawn = drawn[~np.isnan(drawn).any(axis=1)]
    if len(drawn) < 2:
        return np.full((drawn.shape[1],) * 2, np.nan)
    return np.cov(drawn, rowvar=False)
