"""Ranks of rows, equal ones sharing the mean of theirs."""

import numpy as np
from numpy.typing import ArrayLike


def mid_ranks(values: ArrayLike) -> np.ndarray:
    """The rank of each row within its column, from 1 on.

    As `scipy.stats.rankdata(values, axis=0)`, without the second that importing it takes.

    Args:
      values: float [n] or [n, ...]; no nan.

    Returns:
      float64 of the same shape.
    """
    values = np.asarray(values)
    ranks = np.empty(values.shape)
    for place in np.ndindex(values.shape[1:]):
        column = values[:, *place]
        ordered = np.sort(column)
        below = np.searchsorted(ordered, column, side="left")
        ranks[:, *place] = (below + np.searchsorted(ordered, column, side="right") + 1) / 2
    return ranks
