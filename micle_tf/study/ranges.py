"""What a metric can be: an interval that comes from a t or a normal law is cut to that."""

import math

import numpy as np

from micle_tf.evaluation.metric_names import MEANS, parsed

# In [0, 1], themselves and as means over classes or findings.
_SHARES = (
    "top1", "top3", "balanced_accuracy", "accuracy", "auc", "average_precision", "sensitivity",
    "specificity", "ppv", "npv", "f1", "ece", "brier",
)  # fmt: skip


def range_of(metric: str) -> tuple[float, float]:
    """The lowest and the highest value that a metric can have.

    Args:
      metric: its name, as in result.json.

    Returns:
      (0, 1), of the Brier score of all classes together (0, 2); infinite for what has no such
      range, as losses, net benefit and the calibration slope.
    """
    of = parsed(metric)
    name = of.metric
    for end in MEANS:
        name = name.removesuffix(end)
    if name not in _SHARES:
        return -math.inf, math.inf
    of_all_classes = of.metric == "brier" and not of.column
    return 0.0, 2.0 if of_all_classes else 1.0


def of_mean(metric: str, low: float, high: float) -> tuple[float, float]:
    """The ends of the interval of a mean, cut to the range of its metric; nan stays nan."""
    return _cut(low, high, *range_of(metric))


def of_difference(metric: str, low: float, high: float) -> tuple[float, float]:
    """The ends of the interval of a difference, cut to those of two values in range: [-1, 1]."""
    lowest, highest = range_of(metric)
    return _cut(low, high, lowest - highest, highest - lowest)


def _cut(low: float, high: float, lowest: float, highest: float) -> tuple[float, float]:
    return float(np.clip(low, lowest, highest)), float(np.clip(high, lowest, highest))
