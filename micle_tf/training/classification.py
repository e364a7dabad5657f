"""Training on labels: the loss of a replica's images, and what of them counts how much."""

import tensorflow as tf

from micle_tf.class_weights import balanced_class_weights, balanced_finding_weights
from micle_tf.losses import (
    masked_sigmoid_cross_entropy,
    masked_softmax_cross_entropy,
    softmax_cross_entropy,
)
from micle_tf.training.strategy import mean_over_replicas


def weights_in_loss(kind, split, targets):
    """Weights of --class_weights, from the labels that are learned from; None for none."""
    if kind == "none":
        return None
    labels = split.labels[split.images]
    if targets.multilabel:
        return balanced_finding_weights(labels)
    return balanced_class_weights(labels, len(targets.names))


def classification_loss(targets, weights, logits, batch):
    """The loss of one replica's images, from their logits [n, K] and batch["label"].

    Returns:
      (loss, {"accuracy"}), the latter for classes only.
    """
    labels = batch["label"]
    if targets.multilabel:
        loss = masked_sigmoid_cross_entropy(
            logits, labels, weights=weights, mean_over_replicas=mean_over_replicas
        )
        return loss, {}
    hits = tf.cast(tf.argmax(logits, axis=-1) == labels, logits.dtype)
    loss = softmax_cross_entropy(logits, labels, class_weights=weights)
    return loss, {"accuracy": tf.reduce_mean(hits)}


def partly_labelled_loss(targets, logits, labels):
    """The loss of one replica's images, some of which have no label.

    Args:
      targets: `Targets`.
      logits: [n, K].
      labels: of the images, as of `Targets.labels`: [n], or [n, K] findings.

    Returns:
      (loss, {"linear_loss", and "linear_accuracy" for classes}).
    """
    if targets.multilabel:
        loss = masked_sigmoid_cross_entropy(logits, labels, mean_over_replicas=mean_over_replicas)
        return loss, {"linear_loss": loss}
    loss, accuracy = masked_softmax_cross_entropy(
        logits, labels, mean_over_replicas=mean_over_replicas
    )
    return loss, {"linear_loss": loss, "linear_accuracy": accuracy}
