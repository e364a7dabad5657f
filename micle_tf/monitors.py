"""What shows early that contrastive pretraining collapses or learns nothing, as pure functions."""

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from micle_tf.tensors import Gather, Tensor

# Of Garrido et al. (2023), for float32 embeddings.
_RANKME_EPSILON = 1e-7

# As in Wu et al. (2018).
_KNN_TEMPERATURE = 0.07

# How many similarities `knn_accuracy` holds at a time: 64 MiB of them.
_SIMILARITIES_AT_ONCE = 2**24


def spectrum(z1: Tensor, z2: Tensor, gather: Gather | None = None) -> Tensor:
    """A small matrix that knows the singular values of a batch's embeddings; see `effective_rank`.

    With Z the `[2N, d]` embeddings of all replicas, the mean over replicas of what this returns is
    Z^T Z / 2N where d <= 2N, of which each replica returns the part of its own rows, and
    Z Z^T / 2N elsewhere, so that a wide projection costs no `[d, d]` matrix. The non-zero
    eigenvalues of both are s^2 / 2N, where s are the singular values of Z. Without gradient.

    Args:
        z1, z2: `[n, d]`, this replica's embeddings as they leave the projection head, any float
            dtype. Half precisions are raised to float32; float64 stays.
        gather: None for one replica; otherwise as for `losses.nt_xent`, with static shapes. It is
            called only where d > 2n, and with whole embeddings only where d > 2N.

    Returns:
        `[m, m]` with m = min(2N, d), symmetric, float32 or float64.
    """
    z = _rows(z1, z2)
    num_rows, width = z.shape
    total = num_rows
    if gather is not None and width > num_rows:
        total = gather(z[:, :1])[0].shape[0]  # one column says how many there are
    if width <= total:
        return ops.matmul(ops.transpose(z), z) / num_rows
    if gather is not None:
        z, _ = gather(z)
    return ops.matmul(z, ops.transpose(z)) / total


def effective_rank(matrix: ArrayLike) -> float:
    """How many directions embeddings use: RankMe, Equations 1 and 2 of Garrido et al. (2023).

    exp(-sum p log p), where p are the singular values divided by their sum, plus 1e-7. Embeddings
    that all point one way give 1, directions of equal strength their number. The embeddings are
    not centred. An eigenvalue no larger than the most negative one is rounding, and counts as 0.

    Args:
        matrix: `[m, m]` floats, the mean over replicas of `spectrum`; on the host, where the time
            grows as m^3: milliseconds at m = 128, most of a minute at m = 8,192.

    Returns:
        A float in [1, m]; nan if the matrix is not finite; 1 if it is zero.
    """
    matrix = np.asarray(matrix, np.float64)
    if not np.isfinite(matrix).all():
        return float("nan")
    eigenvalues = np.linalg.eigvalsh(matrix)
    eigenvalues[eigenvalues <= max(-eigenvalues[0], 0.0)] = 0.0
    singular_values = np.sqrt(eigenvalues)
    total = singular_values.sum()
    if total == 0.0:
        return 1.0
    p = singular_values / total + _RANKME_EPSILON
    return float(np.clip(np.exp(-np.sum(p * np.log(p))), 1.0, len(matrix)))


def mean_norm(z1: Tensor, z2: Tensor) -> Tensor:
    """Mean Euclidean length of this replica's embeddings.

    NT-Xent does not see it, but its gradient shrinks as the length grows. Without gradient.

    Args:
        z1, z2: `[n, d]`, as for `spectrum`.

    Returns:
        A scalar, at least 0, float32 or float64.
    """
    return ops.mean(ops.sqrt(ops.sum(ops.square(_rows(z1, z2)), axis=1)))


def knn_accuracy(
    train_features: ArrayLike,
    train_labels: ArrayLike,
    features: ArrayLike,
    labels: ArrayLike,
    k: int = 20,
) -> float:
    """Top-1 of the weighted k-nearest-neighbour classifier of Wu et al. (2018), Section 3.4.

    The k training rows of highest cosine similarity s vote for their class with weight
    exp(s / 0.07). Of equally similar rows the earlier one is nearer, of classes with equal votes
    the lower one wins. A row of zeros is at similarity 0 to all.

    Args:
        train_features: floats `[M, d]`; computed with in float32.
        train_labels: integers `[M]`, at least 0. Rows without a label must be left out.
        features: floats `[n, d]`, the rows to classify.
        labels: integers `[n]`, their true classes; one that is not among `train_labels` is a miss.
        k: at least 1; above M it counts as M.

    Returns:
        The share of hits, a float in [0, 1]; nan if a feature is not finite.

    Raises:
        ValueError: shapes do not fit, there are no rows, a training label is negative, or k is
            below 1.
    """
    bank, queries = np.asarray(train_features, np.float32), np.asarray(features, np.float32)
    train_labels, labels = np.asarray(train_labels), np.asarray(labels)
    _check_neighbours(bank, train_labels, queries, labels, k)
    if not (np.isfinite(bank).all() and np.isfinite(queries).all()):
        return float("nan")
    k = min(k, len(bank))
    bank_norms = _positive_norms(bank)
    chunk = max(1, _SIMILARITIES_AT_ONCE // len(bank))
    hits = 0
    for start in range(0, len(queries), chunk):
        rows = queries[start : start + chunk]
        similarities = (rows @ bank.T) / bank_norms / _positive_norms(rows)[:, None]
        nearest = _largest(similarities, k)
        weights = np.take_along_axis(similarities, nearest, axis=1).astype(np.float64)
        votes = np.zeros((len(rows), train_labels.max() + 1))
        np.add.at(
            votes,
            (np.arange(len(rows))[:, None], train_labels[nearest]),
            np.exp(weights / _KNN_TEMPERATURE),
        )
        hits += int(np.count_nonzero(votes.argmax(axis=1) == labels[start : start + chunk]))
    return hits / len(queries)


def _rows(z1: Tensor, z2: Tensor) -> Tensor:
    """[2n, d], at least float32, without gradient."""
    z = ops.concatenate([z1, z2], axis=0)
    return ops.stop_gradient(ops.cast(z, keras.backend.result_type(z.dtype, "float32")))


def _positive_norms(x: np.ndarray) -> np.ndarray:
    norms = np.sqrt(np.einsum("nd,nd->n", x, x))
    return np.where(norms > 0, norms, 1)


def _largest(x: np.ndarray, k: int) -> np.ndarray:
    """Columns [n, k] of the k largest entries of each row; of equal ones the first."""
    smallest = np.partition(x, x.shape[1] - k, axis=1)[:, [x.shape[1] - k]]
    above, level = x > smallest, x == smallest
    missing = k - np.count_nonzero(above, axis=1, keepdims=True)
    chosen = above | (level & (np.cumsum(level, axis=1, dtype=np.int32) <= missing))
    return np.nonzero(chosen)[1].reshape(len(x), k)


def _check_neighbours(
    bank: np.ndarray, train_labels: np.ndarray, queries: np.ndarray, labels: np.ndarray, k: int
) -> None:
    if k < 1:
        raise ValueError(f"knn_accuracy: k is {k}, expected at least 1")
    if not len(bank) or not len(queries):
        raise ValueError(f"knn_accuracy: {len(queries)} rows to classify by {len(bank)} others")
    fits = bank.ndim == queries.ndim == 2 and bank.shape[1] == queries.shape[1]
    if not fits or train_labels.shape != bank.shape[:1] or labels.shape != queries.shape[:1]:
        raise ValueError(
            f"knn_accuracy: features {bank.shape} with labels {train_labels.shape} and features "
            f"{queries.shape} with labels {labels.shape}, expected [M, d], [M], [n, d] and [n]"
        )
    if train_labels.min() < 0:
        raise ValueError(f"knn_accuracy: a training label is {train_labels.min()}")
