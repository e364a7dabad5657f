"""Several tests of one family: p values that hold for all of them together."""

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

_Name = TypeVar("_Name")


def adjusted(p: ArrayLike) -> np.ndarray:
    """p values adjusted for the number of tests.

    Holm, 1979, "A simple sequentially rejective multiple test procedure": the i-th smallest of m is
    multiplied by m - i + 1, and none is below one that was smaller. Whatever the tests have to do
    with each other, the chance that any true hypothesis has an adjusted p of at most a is at most
    a.

    Args:
      p: float [m], in [0, 1]; nan for a test that is not defined.

    Returns:
      float64 [m], in [0, 1], in the same order; nan stays nan and is not of the family.

    Raises:
      ValueError: another shape, or a p outside [0, 1].
    """
    p = np.asarray(p, np.float64)
    if p.ndim != 1:
        raise ValueError(f"holm: p values {p.shape}, expected [m]")
    if np.any((p < 0) | (p > 1)):
        raise ValueError("holm: a p value is outside [0, 1]")
    family = np.flatnonzero(~np.isnan(p))
    family = family[np.argsort(p[family], kind="stable")]
    remaining = np.arange(len(family), 0, -1)
    values = np.full(len(p), np.nan)
    values[family] = np.minimum(np.maximum.accumulate(remaining * p[family]), 1)
    return values


def adjusted_by_name(p: dict[_Name, float]) -> dict[_Name, float]:
    """As `adjusted`, of p values by name."""
    return dict(zip(p, adjusted(list(p.values())).tolist(), strict=True))
