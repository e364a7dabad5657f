"""Losses as pure functions of tensors, in `keras.ops`."""

import math
from collections.abc import Callable, Sequence

import keras
from keras import ops

from micle_tf.tensors import Gather, Tensor

# Stands for "not in the denominator": exp() of it is exactly 0, and unlike -inf it stays harmless
# in kernels that multiply the logits by a one-hot target.
_EXCLUDED = -1e30

# Square of the length up to which a vector counts as zero. The gradient of the scaling to length 1
# grows as 1/length, and 1/length**3 on the way must not overflow float32.
_ZERO_SQUARED_NORM = 1e-12


def nt_xent(
    z1: Tensor,
    z2: Tensor,
    *,
    temperature: float = 0.1,
    hidden_norm: bool = True,
    groups: Tensor | None = None,
    gather: Gather | None = None,
) -> Tensor:
    """Contrastive loss of SimCLR (NT-Xent), Equation 1 of Chen et al. (2020).

    Row i of `z1` and row i of `z2` are a positive pair. For each of the 2n embeddings of this
    replica, the loss is the cross-entropy of finding its positive among all others by cosine
    similarity over temperature; the result is the mean over the 2n. Collapsed embeddings give
    log(2N - 1). lightly and solo-learn print the same value; google-research/simclr, which adds
    the means over the two directions, prints twice as much.

    With several replicas, `gather` brings in the embeddings of the others as negatives. The mean
    over replicas of the returned losses then is the loss of the whole batch on one replica, and
    so are its gradients.

    Args:
        z1, z2: `[n, d]`, any float dtype. Rows are scaled to unit length here; rows of length up
            to 1e-6 count as zero. Half precisions are raised to float32; float64 stays.
        temperature: positive; 0.1 is SimCLR's for ImageNet, 0.5 for CIFAR-10.
        hidden_norm: whether rows are scaled to unit length, so that similarities are cosines;
            else they are plain products (`hidden_norm` of google-research/simclr).
        groups: None, or integers `[n]` that say which pairs belong together (e.g. the patient).
            Embeddings of the anchor's own group leave its denominator, except its positive.
        gather: None for one replica. Otherwise `gather(x) -> (everything, offset)`: for x of
            shape `[n, ...]`, the concatenation `[N, ...]` of the x of all replicas in replica
            order, and the row at which this replica's x starts in it. It is called once with the
            embeddings and, with `groups`, once with those. Its gradient must add up what all
            replicas send back to x, as the transpose of a concatenation does.

    Returns:
        A scalar, float32 or float64.

    Raises:
        ValueError: if temperature is not positive, or z1 and z2 are not matrices of one shape.
    """
    logits, positives = _similarities(z1, z2, temperature, hidden_norm, groups, gather)
    return _mean_cross_entropy(logits, positives)


def nt_xent_and_accuracy(
    z1: Tensor,
    z2: Tensor,
    *,
    temperature: float = 0.1,
    hidden_norm: bool = True,
    groups: Tensor | None = None,
    gather: Gather | None = None,
) -> tuple[Tensor, Tensor]:
    """`nt_xent` and the contrastive top-1 accuracy, from the same similarities.

    The accuracy is the share of this replica's 2n embeddings whose most similar other embedding,
    among the 2N - 1 (less those that `groups` removes), is their positive: in [0, 1], without
    gradient, in the dtype of the loss. Arguments and errors are those of `nt_xent`.

    Returns:
        `(loss, accuracy)`, two scalars.
    """
    logits, positives = _similarities(z1, z2, temperature, hidden_norm, groups, gather)
    hits = ops.equal(ops.cast(ops.argmax(logits, axis=1), "int32"), positives)
    return _mean_cross_entropy(logits, positives), ops.mean(ops.cast(hits, logits.dtype))


def softmax_cross_entropy(
    logits: Tensor, labels: Tensor, *, class_weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of a single-label classifier: the mean of w[y] * -log softmax(logits)[y].

    The sum is divided by the n rows, not by the sum of their weights: so the mean over replicas
    with equal numbers of rows is the loss of the whole batch, gradients included. (PyTorch's
    `CrossEntropyLoss` divides by the sum of the weights.)

    Args:
        logits: `[n, C]`, any float dtype. Half precisions are raised to float32; float64 stays.
        labels: integers `[n]` in [0, C). Rows without a label must be left out.
        class_weights: None, or floats `[C]`, e.g. of `class_weights.balanced_class_weights`.

    Returns:
        A scalar in nats, float32 or float64.

    Raises:
        ValueError: if logits, labels and class_weights do not have these shapes.
    """
    logits, labels = _at_least_float32(logits), ops.cast(labels, "int32")
    _check_shapes("labels", logits, labels, logits.shape[:1])
    if class_weights is None:
        return _mean_cross_entropy(logits, labels)
    class_weights = ops.convert_to_tensor(class_weights, dtype=logits.dtype)
    _check_shapes("class_weights", logits, class_weights, logits.shape[1:])
    losses = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return ops.mean(ops.take(class_weights, labels, axis=0) * losses)


def masked_softmax_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    mean_over_replicas: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy and accuracy of a single-label classifier over the rows that have a label.

    Args:
        logits: `[n, C]`, any float dtype. Half precisions are raised to float32; float64 stays.
        labels: integers `[n]` below C; negative without a label.
        mean_over_replicas: as of `masked_sigmoid_cross_entropy`.

    Returns:
        (loss in nats, accuracy in [0, 1]), scalars, float32 or float64; 0 if no row has a label.

    Raises:
        ValueError: if logits and labels do not have these shapes.
    """
    logits, labels = _at_least_float32(logits), ops.cast(labels, "int32")
    _check_shapes("labels", logits, labels, logits.shape[:1])
    known = ops.cast(labels >= 0, logits.dtype)
    losses = ops.sparse_categorical_crossentropy(ops.maximum(labels, 0), logits, from_logits=True)
    hits = ops.cast(ops.equal(ops.cast(ops.argmax(logits, axis=1), "int32"), labels), logits.dtype)
    count = ops.sum(known)
    if mean_over_replicas is not None:
        count = mean_over_replicas(count)
    count = ops.where(count > 0, count, ops.ones_like(count))
    return ops.sum(known * losses) / count, ops.sum(hits) / count


def masked_sigmoid_cross_entropy(
    logits: Tensor,
    findings: Tensor,
    *,
    weights: Tensor | None = None,
    mean_over_replicas: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Binary cross-entropy of findings, the mean over the entries that are known.

    Known are 1 (present) and 0 (absent). All else, such as -1 (uncertain) and -2 (not mentioned),
    takes no part: this is U-Ignore of Irvin et al. (2019, "CheXpert"). The gradient for the logit
    of an unknown entry is exactly 0, whatever that logit is. If nothing is known, the loss is 0.
    The sum is divided by the number of known entries, not by the sum of their weights.

    Replicas know different numbers of entries, so that the plain mean over replicas would not be
    the loss of the whole batch. With `mean_over_replicas` each divides by the mean number instead,
    and it is, gradients included.

    Args:
        logits: `[n, K]`, any float dtype. Half precisions are raised to float32; float64 stays.
        findings: integers `[n, K]`.
        weights: None, or floats `[K, 2]`: the weight of an absent and of a present entry of each
            finding, e.g. of `class_weights.balanced_finding_weights`.
        mean_over_replicas: None for one replica. Otherwise a function from this replica's number
            of known entries, a scalar in the dtype of the loss, to its mean over all replicas.

    Returns:
        A scalar in nats, float32 or float64.

    Raises:
        ValueError: if logits, findings and weights do not have these shapes.
    """
    logits, findings = _at_least_float32(logits), ops.convert_to_tensor(findings)
    _check_shapes("findings", logits, findings, logits.shape)
    present = ops.equal(findings, 1)
    known = ops.logical_or(present, ops.equal(findings, 0))
    # Masked before and after: a logit that is not finite must reach neither loss nor gradient.
    logits = ops.where(known, logits, ops.zeros_like(logits))
    losses = ops.softplus(ops.where(present, -logits, logits))  # -log of the true value's sigmoid
    if weights is not None:
        weights = ops.convert_to_tensor(weights, dtype=logits.dtype)
        _check_shapes("weights", logits, weights, (logits.shape[1], 2))
        losses = losses * ops.where(present, weights[:, 1], weights[:, 0])
    total = ops.sum(ops.where(known, losses, ops.zeros_like(losses)))
    count = ops.sum(ops.cast(known, logits.dtype))
    if mean_over_replicas is not None:
        count = mean_over_replicas(count)  # may lie between 0 and 1
    return total / ops.where(count > 0, count, ops.ones_like(count))


def _at_least_float32(x: Tensor) -> Tensor:
    x = ops.convert_to_tensor(x)
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


def _check_shapes(
    name: str, logits: Tensor, values: Tensor, expected: Sequence[int | None]
) -> None:
    """Raises ValueError unless logits are a matrix and `values` have the expected shape.

    A size that is unknown while a graph is traced fits every other.
    """
    fits = len(logits.shape) == 2 and len(values.shape) == len(expected)
    if not fits or any(
        size != other and None not in (size, other)
        for size, other in zip(values.shape, expected, strict=True)
    ):
        raise ValueError(
            f"{name} {tuple(values.shape)} do not fit logits {tuple(logits.shape)}: "
            f"expected [n, C] logits and {name} {tuple(expected)}"
        )


def _similarities(
    z1: Tensor,
    z2: Tensor,
    temperature: float,
    hidden_norm: bool,
    groups: Tensor | None,
    gather: Gather | None,
) -> tuple[Tensor, Tensor]:
    """Logits `[2n, 2N]` of this replica's anchors, and the column `[2n]` of each positive."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be positive and finite, got {temperature!r}")
    z1, z2 = ops.convert_to_tensor(z1), ops.convert_to_tensor(z2)
    if len(z1.shape) != 2 or tuple(z1.shape) != tuple(z2.shape):
        raise ValueError(
            f"z1 and z2 must be [n, d] of one shape, got {tuple(z1.shape)} and {tuple(z2.shape)}"
        )
    dtype = keras.backend.result_type(z1.dtype, z2.dtype, "float32")
    z1, z2 = ops.cast(z1, dtype), ops.cast(z2, dtype)
    if hidden_norm:
        z1, z2 = _unit_length(z1), _unit_length(z2)
    if gather is None:
        gather = _no_other_replicas

    # One exchange for both views: the pair travels side by side.
    pairs, offset = gather(ops.concatenate([z1, z2], axis=1))
    anchors = ops.concatenate([z1, z2], axis=0)
    candidates = ops.concatenate(ops.split(pairs, 2, axis=1), axis=0)
    logits = ops.matmul(anchors, ops.transpose(candidates)) / temperature

    total = ops.shape(pairs)[0]
    own_rows = ops.cast(offset, "int32") + ops.arange(ops.shape(z1)[0], dtype="int32")
    selves = ops.concatenate([own_rows, own_rows + total], axis=0)
    positives = ops.concatenate([own_rows + total, own_rows], axis=0)
    columns = ops.arange(2 * total, dtype="int32")
    excluded = ops.equal(columns, selves[:, None])
    if groups is not None:
        groups = ops.convert_to_tensor(groups)
        all_groups, _ = gather(groups)
        same = ops.equal(groups[:, None], all_groups)
        same = ops.tile(same, (2, 2))
        not_positive = ops.not_equal(columns, positives[:, None])
        excluded = ops.logical_or(excluded, ops.logical_and(same, not_positive))
    return ops.where(excluded, ops.cast(_EXCLUDED, dtype), logits), positives


def _mean_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return ops.mean(ops.sparse_categorical_crossentropy(targets, logits, from_logits=True))


def _unit_length(x: Tensor) -> Tensor:
    """Rows scaled to length 1; rows that count as zero stay as they are, gradient included."""
    squared_norm = ops.sum(ops.square(x), axis=1, keepdims=True)
    return x * ops.rsqrt(ops.where(squared_norm > _ZERO_SQUARED_NORM, squared_norm, 1.0))


def _no_other_replicas(x: Tensor) -> tuple[Tensor, int]:
    return x, 0
