"""What a resampling asks: numbers of n rows, of which each counts so many times.

A statistic is prepared once from its rows (sorted, say) and then asked a thousand times with how
often each row counts, which costs no copy of the rows and no second sort.
"""

from collections.abc import Callable, Sequence

import numpy as np


class Statistic:
    """Named numbers of n rows.

    Args:
      names: [M] distinct names of the numbers.
      of_weights: `weights -> values`: int64 [n], how often each row counts, not negative, to
        float64 [M]; nan where the rows that count do not define a number.
    """

    def __init__(
        self, names: Sequence[str], of_weights: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self.names = tuple(names)
        self._of_weights = of_weights

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """float64 [M] of int64 [n]."""
        return self._of_weights(weights)


def joined(*statistics: Statistic, prefix: str = "") -> Statistic:
    """The numbers of several statistics of the same rows, one after the other.

    Args:
      *statistics: of n rows each.
      prefix: before every name.

    Raises:
      ValueError: a name is there twice.
    """
    names = [prefix + name for statistic in statistics for name in statistic.names]
    if len(set(names)) != len(names):
        raise ValueError("joined: a name is there twice")
    return Statistic(
        names,
        lambda weights: np.concatenate([np.zeros(0), *(one(weights) for one in statistics)]),
    )


def difference(a: Statistic, b: Statistic) -> Statistic:
    """What b has more than a, number by number: the two are judged on the same rows.

    Args:
      a, b: of the same n rows, such as the predictions of two models.

    Raises:
      ValueError: their names differ.
    """
    if a.names != b.names:
        raise ValueError("difference: the two statistics have different names")
    return Statistic(a.names, lambda weights: b(weights) - a(weights))


def selected(statistic: Statistic, names: Sequence[str]) -> Statistic:
    """Those numbers of a statistic, in the order of `names`."""
    place = {name: i for i, name in enumerate(statistic.names)}
    places = np.array([place[name] for name in names], np.int64)
    return Statistic(names, lambda weights: statistic(weights)[places])


def with_mean(statistic: Statistic, name: str, of: Sequence[str] | None = None) -> Statistic:
    """A statistic with the mean of some of its numbers before the first of these.

    The mean is over the numbers that all rows once define, in every resample: where one of them
    is not defined, the mean is not either (so that it is always a mean over the same classes).

    Args:
      statistic: of n rows.
      name: of the mean.
      of: names of the numbers, those of classes that the rows define; None for all of them. The
        mean of none is nan.
    """
    place = {one: i for i, one in enumerate(statistic.names)}
    places = np.array([place[one] for one in (statistic.names if of is None else of)], np.int64)
    first = int(places.min()) if len(places) else 0

    def of_weights(weights: np.ndarray) -> np.ndarray:
        values = statistic(weights)
        return np.insert(values, first, values[places].mean() if len(places) else np.nan)

    return Statistic((*statistic.names[:first], name, *statistic.names[first:]), of_weights)
