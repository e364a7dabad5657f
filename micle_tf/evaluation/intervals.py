"""95 % bootstrap intervals that resample whole groups.

Images of one patient are not independent, so neither images nor cases are resampled but
patients, each with all of its rows (the cluster bootstrap: Field and Welsh, 2007,
"Bootstrapping clustered data"; percentile interval: Efron and Tibshirani, 1993, chapter 13).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

PERCENTILES = (2.5, 97.5)


def bootstrap_intervals(
    metrics: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    y_true: ArrayLike,
    y_score: ArrayLike,
    groups: ArrayLike,
    samples: int = 1000,
    seed: int = 0,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, tuple[float, float]]:
    """Intervals of several metrics, all from the same resamples.

    Sample by sample, `rng.choice(G, size=G)` with `rng = numpy.random.default_rng(seed)` draws G
    of the G sorted unique groups with replacement, and the metrics are computed on all rows of
    the drawn groups, a group's rows as often as it was drawn. The rows of a resample keep the
    order of `y_true`. Nothing else is random: the same arguments give the same numbers.

    Args:
      metrics: `(y_true, y_score) -> {name: value}`. A value may be nan or missing where a resample
        does not define it (the AUC of a class that was not drawn).
      y_true: [n, ...] labels.
      y_score: [n, ...] scores.
      groups: int or string [n], the group (the patient) of each row.
      samples: number of resamples.
      seed: of the resampling.
      progress: called as `progress(done, samples)` after each resample.

    Returns:
      `{name: (low, high)}` for the names that `metrics` gives on the full data, in that order: the
      2.5 and 97.5 percentiles (interpolated linearly, as `numpy.percentile` does) over the
      resamples in which the metric is defined, (nan, nan) if it is in none. With one group every
      resample is the data, and both ends are the metric itself.

    Raises:
      ValueError: lengths differ, no rows, or `samples` is not positive.
    """
    y_true, y_score, groups = np.asarray(y_true), np.asarray(y_score), np.asarray(groups)
    if groups.ndim != 1 or not len(y_true) == len(y_score) == len(groups):
        raise ValueError(
            f"bootstrap: labels {y_true.shape}, scores {y_score.shape} and groups {groups.shape} "
            "differ in length"
        )
    if not len(groups):
        raise ValueError("bootstrap: no rows")
    if samples < 1:
        raise ValueError(f"bootstrap: samples={samples}, expected at least 1")

    names = list(metrics(y_true, y_score))
    unique, group_of_row = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    values = np.full((samples, len(names)), np.nan)
    for sample in range(samples):
        drawn = rng.choice(len(unique), size=len(unique))
        times = np.bincount(drawn, minlength=len(unique))
        rows = np.repeat(np.arange(len(groups)), times[group_of_row])
        resampled = metrics(y_true[rows], y_score[rows])
        values[sample] = [resampled.get(name, np.nan) for name in names]
        if progress is not None:
            progress(sample + 1, samples)
    return {name: _percentiles(values[:, i]) for i, name in enumerate(names)}


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, PERCENTILES)
    return float(low), float(high)


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    y_true: ArrayLike,
    y_score: ArrayLike,
    groups: ArrayLike,
    samples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of one metric, `(low, high)`.

    As `bootstrap_intervals`, for a function `metric(y_true, y_score) -> float`, which may return
    nan for a resample on which it is not defined; such resamples are ignored.
    """
    intervals = bootstrap_intervals(
        lambda y_true, y_score: {"metric": float(metric(y_true, y_score))},
        y_true,
        y_score,
        groups,
        samples,
        seed,
    )
    return intervals["metric"]
