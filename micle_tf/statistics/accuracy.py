"""Accuracies of a K-class classifier, of rows that count several times."""

import numpy as np

from micle_tf.statistics.columns import Columns
from micle_tf.statistics.counts import ratio
from micle_tf.statistics.statistic import Statistic


def statistic(columns: Columns) -> Statistic:
    """`top1`, `top3` for K > 3, and `balanced_accuracy`.

    As `evaluation.metrics.classification_metrics` defines them, to the bit where each row counts
    once. `balanced_accuracy` is always over the classes that the rows have when each counts once,
    and nan where one of them has no weight.

    Args:
      columns: of classes (`Columns.of_classes`).
    """
    n, num_classes = columns.truths.shape
    truth = np.argmax(columns.truths, axis=1)
    of_truth = columns.scores[np.arange(n), truth][:, None]
    tied_above = (columns.scores == of_truth) & (np.arange(num_classes) > truth[:, None])
    rank = np.count_nonzero((columns.scores > of_truth) | tied_above, axis=1)  # 0 where correct
    present = np.flatnonzero(columns.truths.any(axis=0))
    within = {"top1": rank < 1, "top3": rank < 3} if num_classes > 3 else {"top1": rank < 1}
    within_first = np.stack(list(within.values()), axis=1).astype(np.float64)

    def of_weights(weights: np.ndarray) -> np.ndarray:
        rows = np.bincount(truth, weights, num_classes)[present]
        hits = np.bincount(truth, weights * (rank < 1), num_classes)[present]
        shares = ratio(weights @ within_first, rows.sum())
        return np.append(shares, ratio(hits, rows).mean())

    return Statistic((*within, "balanced_accuracy"), of_weights)
