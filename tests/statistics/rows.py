"""Made-up rows for the tests of statistics, and what every statistic must hold."""

import numpy as np

from micle_tf.statistics.columns import Columns
from micle_tf.statistics.statistic import Statistic


def of_classes(seed: int, n: int = 60, num_classes: int = 4, decimals: int | None = 1):
    """(labels int [n], probabilities float64 [n, K], names), with ties where there are decimals."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, num_classes, n)
    p = rng.dirichlet(np.ones(num_classes), n)
    p[np.arange(n), y] += 0.3
    p /= p.sum(axis=1, keepdims=True)
    return y, p if decimals is None else np.round(p, decimals), names(num_classes)


def of_findings(seed: int, n: int = 60, num_findings: int = 3, decimals: int | None = 1):
    """(findings int [n, K] with -1 and -2 among them, probabilities float64 [n, K], names)."""
    rng = np.random.default_rng(seed)
    y = rng.choice([1, 0, -1, -2], (n, num_findings), p=[0.35, 0.45, 0.1, 0.1])
    p = np.clip(0.5 * rng.random(y.shape) + 0.3 * (y == 1) + 0.1, 0, 1)
    return y, p if decimals is None else np.round(p, decimals), names(num_findings)


def names(number: int) -> list[str]:
    """As many names."""
    return [f"c{k}" for k in range(number)]


def weights_of(seed: int, n: int) -> np.ndarray:
    """int64 [n]: how often each row was drawn, in n draws."""
    return np.bincount(np.random.default_rng([1, seed]).integers(0, n, n), minlength=n)


def repeated(columns: Columns, weights: np.ndarray) -> Columns:
    """The rows, each as often as it counts."""
    arrays = (columns.truths, columns.scores, columns.decisions, columns.known)
    return Columns(columns.names, *(np.repeat(array, weights, axis=0) for array in arrays))


def once(statistic: Statistic, n: int) -> dict[str, float]:
    """The numbers where each of n rows counts once, by name."""
    values = statistic(np.ones(n, np.int64))
    return dict(zip(statistic.names, values.tolist(), strict=True))


def assert_weights_repeat(statistic_of, columns: Columns, weights: np.ndarray, rtol: float = 0):
    """That rows which count several times are as good as rows that are there several times."""
    of_weights = statistic_of(columns)(weights)
    there_twice = statistic_of(repeated(columns, weights))
    of_rows = there_twice(np.ones(int(weights.sum()), np.int64))
    np.testing.assert_allclose(of_weights, of_rows, rtol=rtol, atol=rtol)
