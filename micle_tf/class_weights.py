"""Weights that make rare labels count as much as common ones, for the losses in `losses.py`."""

import numpy as np
from numpy.typing import ArrayLike


def balanced_class_weights(labels: ArrayLike, num_classes: int) -> np.ndarray:
    """Weight of each class, so that all classes present weigh the same in total.

    n / (C' n_c), for the n_c rows of class c and the C' classes that have rows: the weights of
    the n rows average 1. The heuristic of King and Zeng (2001, "Logistic regression in rare
    events data"), and `class_weight="balanced"` of scikit-learn.

    Args:
      labels: int [n], classes in [0, num_classes). Rows without a label must be left out.
      num_classes: C.

    Returns:
      float32 [C]; 0 for a class without rows.

    Raises:
      ValueError: no rows, or a label that is no integer in [0, num_classes).
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels):
        raise ValueError(f"balanced_class_weights: labels {labels.shape}, expected [n] with n > 0")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"balanced_class_weights: labels are {labels.dtype}, expected integers")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"balanced_class_weights: labels from {labels.min()} to {labels.max()}, expected 0 to "
            f"{num_classes - 1}"
        )
    return _balanced(np.bincount(labels, minlength=num_classes))


def balanced_finding_weights(findings: ArrayLike) -> np.ndarray:
    """Weights of absent and present per finding, so that both weigh the same in total.

    For a finding with both, n_known / (2 n_absent) and n_known / (2 n_present): its known entries
    average 1, however rare it is. A finding that is only ever absent, or only ever present, has
    weight 1 for that.

    Args:
      findings: int [n, K], 1 present, 0 absent; -1 (uncertain) and -2 (not mentioned) do not count.

    Returns:
      float32 [K, 2], columns absent and present; 0 for what has no entries.

    Raises:
      ValueError: not [n, K].
    """
    findings = np.asarray(findings)
    if findings.ndim != 2:
        raise ValueError(f"balanced_finding_weights: findings {findings.shape}, expected [n, K]")
    return _balanced(np.stack([(findings == value).sum(axis=0) for value in (0, 1)], axis=-1))


def _balanced(counts: np.ndarray) -> np.ndarray:
    """Weights that give all counts above 0, along the last axis, an equal share of their sum."""
    share = counts.sum(axis=-1, keepdims=True) / np.maximum(
        np.count_nonzero(counts, axis=-1, keepdims=True), 1
    )
    return np.where(counts > 0, share / np.maximum(counts, 1), 0).astype(np.float32)
