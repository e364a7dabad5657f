"""The loss of labelled images and the weights of their classes."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from micle_tf.class_weights import balanced_finding_weights
from micle_tf.data.targets import Targets
from micle_tf.training.classification import classification_loss, weights_in_loss


def test_weights_of_classes_in_the_loss():
    rng, targets = np.random.default_rng(0), Targets(("a", "b", "c"), False)
    labels = rng.choice(3, 50, p=(0.6, 0.3, 0.1))
    split = type("Split", (), {"labels": labels, "images": np.arange(5, 50)})
    weights = weights_in_loss("balanced", split, targets)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels[5:])
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights_in_loss("none", split, targets) is None
    logits = rng.normal(size=(50, 3))
    batch = {"label": tf.constant(labels)}
    nll = np.log(np.exp(logits).sum(1)) - logits[np.arange(50), labels]
    for given, each in ((weights, expected[labels]), (None, np.ones(50))):
        loss, values = classification_loss(targets, given, tf.constant(logits), batch)
        np.testing.assert_allclose(loss, (each * nll).mean(), rtol=1e-6)
        np.testing.assert_allclose(values["accuracy"], (logits.argmax(1) == labels).mean())


def test_weights_of_findings_in_the_loss():
    rng, targets = np.random.default_rng(0), Targets(("a", "b"), True)
    labels = rng.choice([0, 1, -1], (40, 2)).astype(np.int8)
    split = type("Split", (), {"labels": labels, "images": np.arange(30)})
    found = weights_in_loss("balanced", split, targets)
    np.testing.assert_array_equal(found, balanced_finding_weights(labels[:30]))
    logits = tf.constant(rng.normal(size=(40, 2)))
    loss, values = classification_loss(targets, None, logits, {"label": tf.constant(labels)})
    known, p = labels >= 0, 1 / (1 + np.exp(-logits.numpy()))
    terms = -np.log(np.where(labels == 1, p, 1 - p))
    assert float(loss) == pytest.approx(terms[known].mean(), rel=1e-6) and values == {}
