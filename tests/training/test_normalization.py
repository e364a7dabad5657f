"""The fused layer against Keras's own, in values, gradients and statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from micle_tf.training.normalization import FusedBatchNormalization, batch_norm


@pytest.mark.parametrize("shape", [(16, 5, 4, 3), (32, 6)])
@pytest.mark.parametrize("center", [True, False])
def test_equals_keras(shape, center):
    options = dict(momentum=0.9, epsilon=1e-5, center=center, gamma_initializer="random_normal")
    x = tf.constant(np.random.default_rng(0).normal(3, 2, shape), tf.float32)
    results = []
    for layer_class in (FusedBatchNormalization, keras.layers.BatchNormalization):
        keras.utils.set_random_seed(0)
        layer = layer_class(**options)
        for _ in range(3):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
                loss = tf.reduce_sum(y**3)
            gradients = tape.gradient(loss, [x] + [v.value for v in layer.trainable_variables])
        results.append([y, layer(x, training=False), *gradients, *layer.weights])
    for ours, kerass in zip(*results, strict=True):
        ours, kerass = np.array(ours), np.array(kerass)
        np.testing.assert_allclose(ours, kerass, atol=2e-5 * max(1, np.abs(kerass).max()))


def test_bfloat16_keeps_float32_statistics():
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = FusedBatchNormalization(momentum=0.0)
    x = np.random.default_rng(0).normal(3, 2, (64, 4, 4, 2))
    y = layer(tf.constant(x, tf.bfloat16), training=True)
    assert y.dtype == tf.bfloat16
    assert all(v.dtype == "float32" for v in layer.weights)
    np.testing.assert_allclose(layer.moving_variance, x.var((0, 1, 2)), rtol=1e-2)


def test_frozen_layer_neither_uses_nor_moves_batch_statistics():
    layer = FusedBatchNormalization()
    x = tf.random.normal([8, 3], seed=0) + 5.0
    layer.build(x.shape)
    layer.trainable = False
    y = layer(x, training=True)
    np.testing.assert_allclose(y, x / np.sqrt(1 + 1e-3), rtol=1e-6)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))


def test_choice_of_layer():
    assert batch_norm(1) is FusedBatchNormalization
    assert batch_norm(1, "float64") is keras.layers.BatchNormalization
    assert batch_norm(2)(name="n").synchronized


def test_saves_and_loads_without_custom_objects(tmp_path):
    model = keras.Sequential([keras.Input((4,)), FusedBatchNormalization()])
    model.save(tmp_path / "m.keras")
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras")(x), model(x))
