import os

import keras
import numpy as np
import pytest
from keras import layers

from micle_tf import pretrained
from micle_tf.errors import BadInput
from micle_tf.models.resnet import resnet_encoder
from micle_tf.training.normalization import FusedBatchNormalization
from tests.pretrained.originals import images


def randomised(encoder):
    rng = np.random.default_rng(0)
    for weight in encoder.weights:
        positive = weight.name in ("gamma", "moving_variance")
        weight.assign(
            rng.uniform(0.5, 1.5, weight.shape) if positive else rng.normal(size=weight.shape)
        )
    return encoder


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments, side, norm",
    [
        ((10, 1 / 16), 64, None),
        ((14, 0.3, 0.0625, 0.25), 40, FusedBatchNormalization),
        ((10, 1 / 16, 0.0625), 32, None),  # as many tensors as without ResNet-D
    ],
)
def test_our_export_comes_back_to_the_bit(arguments, side, norm, tmp_path):
    encoder = randomised(resnet_encoder(*arguments, input_shape=(side, side, 3), norm=norm))
    encoder.save(tmp_path / "model.keras")
    loaded, report = pretrained.load_encoder(tmp_path / "model.keras", (side, side, 3))
    np.testing.assert_array_equal(loaded(images(side)), encoder(images(side)))
    assert report.missing == report.unused == ()
    assert report.description.layout == "a Keras model"
    told = report.description.architecture
    assert (told.depth, told.sk_ratio) == (arguments[0], (*arguments, 0)[2])


def test_an_encoder_inside_of_another_model(tmp_path):
    encoder = randomised(resnet_encoder(10, 1 / 16, input_shape=(64, 64, 3)))
    whole = keras.Sequential([encoder, layers.Dense(3, name="mine")])
    whole.save(tmp_path / "whole.keras")
    loaded, report = pretrained.load_encoder(str(tmp_path))
    for ours, theirs in zip(loaded.weights, encoder.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert set(report.unused) == {"mine/0", "mine/1"}


def test_the_name_depends_on_the_weights_alone(tmp_path):
    encoder = randomised(resnet_encoder(10, 1 / 64, input_shape=(32, 32, 3)))
    hashes = []
    for name in ("a", "b", "c"):
        if name == "c":
            encoder.weights[0].assign(encoder.weights[0] + 1)
        os.mkdir(tmp_path / name)
        encoder.save(tmp_path / name / "encoder.keras")
        hashes.append(pretrained.describe(str(tmp_path / name)).sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def test_another_family(tmp_path):
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 7, 2, name="conv1_conv")(inputs)
    x = layers.Conv2D(4, 1, name="conv2_block1_1_conv")(x)
    keras.Model(inputs, x).save(tmp_path / "resnet50.keras")
    with pytest.raises(BadInput, match=r"seem to be of a ResNet of keras.applications; taken are"):
        pretrained.describe(str(tmp_path / "resnet50.keras"))


def test_two_encoders(tmp_path):
    inputs = keras.Input((32, 32, 3))
    both = [resnet_encoder(10, 1 / 64, input_shape=(32, 32, 3)) for _ in range(2)]
    keras.Model(inputs, [encoder(inputs) for encoder in both]).save(tmp_path / "two.keras")
    with pytest.raises(BadInput, match=" twice, so that it has two encoders"):
        pretrained.describe(str(tmp_path / "two.keras"))


def test_a_layer_that_has_one_more_variable(tmp_path):
    inputs = keras.Input((64, 64, 3))
    keras.Model(inputs, layers.Conv2D(4, 7, name="initial_conv")(inputs)).save(
        tmp_path / "odd.keras"
    )
    with pytest.raises(BadInput, match=r"whose encoder is none of ours: its groups have no basic"):
        pretrained.describe(str(tmp_path / "odd.keras"))


@pytest.mark.parametrize("share", [0.4, 0.99])
def test_a_truncated_file(share, tmp_path):
    path = tmp_path / "cut.keras"
    resnet_encoder(10, 1 / 64, input_shape=(32, 32, 3)).save(path)
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(BadInput, match=r"^here=.*: is damaged, or no Keras model"):
        pretrained.describe(str(path), flag="here")


def test_a_remote_file(tmp_path):
    import tensorflow as tf

    encoder = randomised(resnet_encoder(10, 1 / 64, input_shape=(32, 32, 3)))
    encoder.save(tmp_path / "encoder.keras")
    tf.io.gfile.copy(str(tmp_path / "encoder.keras"), "ram://far/encoder.keras", overwrite=True)
    loaded, report = pretrained.load_encoder("ram://far")
    for ours, theirs in zip(loaded.weights, encoder.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert report.description.name.startswith("far-")
