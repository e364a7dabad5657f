import keras
import numpy as np
import pytest

from micle_tf.models.resnet import resnet_encoder
from micle_tf.pretrained import rescale_kernels


@pytest.fixture
def large():
    """An encoder whose kernels are up to 17 times as large as at the start, and whose norms fit."""
    encoder = resnet_encoder(14, 1 / 4, 0, 0.25, (48, 48, 3))
    rng = np.random.default_rng(0)
    for weight in encoder.weights:
        if weight.name == "gamma":
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    # Norms of what comes in, so that every variance is in proportion to the kernels before it.
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.Conv2D) and "_se_" not in layer.name:
            layer.kernel.assign(layer.kernel * rng.uniform(1, 17))
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    encoder(images(), training=True)
    return encoder


def images():
    return np.random.default_rng(1).random((16, 48, 48, 3), np.float32)


def test_features_stay_and_kernels_have_the_spread_of_fresh_ones(large):
    before = np.asarray(large(images(), training=False))
    others = {
        weight.path: weight.numpy()
        for weight in large.weights
        if any(part in weight.path for part in ("se_", "gamma", "beta"))
    }
    factors = rescale_kernels(large)
    after = np.asarray(large(images(), training=False))
    assert np.abs(after - before).max() < 0.01 * np.abs(before).max()
    convs = {x.name for x in large.layers if isinstance(x, keras.layers.Conv2D)}
    assert factors.keys() == {name for name in convs if "_se_" not in name}
    assert min(factors.values()) < 0.2
    for name in factors:
        kernel = large.get_layer(name).kernel.numpy()
        np.testing.assert_allclose(kernel.std(), np.prod(kernel.shape[:-1]) ** -0.5, rtol=1e-4)
    for path, value in others.items():
        weight = next(weight for weight in large.weights if weight.path == path)
        np.testing.assert_array_equal(weight.numpy(), value)
    again = rescale_kernels(large)
    np.testing.assert_allclose(list(again.values()), 1, rtol=1e-4)


def test_the_mixing_of_a_selective_kernel_has_no_norm_behind_it():
    encoder = resnet_encoder(14, 1 / 16, 0.0625, 0, (40, 40, 3))
    mixing = encoder.get_layer("block_group1_unit0_sk_conv2").kernel
    mixing.assign(9 * mixing)
    before = mixing.numpy()
    factors = rescale_kernels(encoder)
    convs = {x.name for x in encoder.layers if isinstance(x, keras.layers.Conv2D)}
    assert convs - factors.keys() == {f"block_group{g}_unit0_sk_conv2" for g in (1, 2, 3, 4)}
    np.testing.assert_array_equal(mixing.numpy(), before)


def test_a_kernel_without_spread_stays(large):
    large.get_layer("initial_conv").kernel.assign(0 * large.get_layer("initial_conv").kernel)
    assert "initial_conv" not in rescale_kernels(large)
    assert all(np.isfinite(weight.numpy()).all() for weight in large.weights)
