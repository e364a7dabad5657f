"""Weights in models of ours: what comes in, what does not, and what contradicts."""

import keras
import numpy as np
import pytest

from micle_tf import pretrained
from micle_tf.errors import BadInput
from micle_tf.models.heads import classifier_head, projection_head
from micle_tf.models.resnet import resnet_encoder
from micle_tf.pretrained.blueprint import Architecture
from micle_tf.training.normalization import FusedBatchNormalization
from tests.pretrained.originals import (
    Original,
    distances,
    images,
    tf1_names,
    write_checkpoint,
    write_tf1,
)


@pytest.fixture(scope="module")
def net():
    return Original(10, head=2, classes=3)


@pytest.fixture(scope="module")
def path(net, tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "r10", net)


def test_models_are_those_that_we_build(net, path):
    loaded = pretrained.load(path, (64, 64, 3), norm=FusedBatchNormalization)
    assert max(distances(loaded, net, images()).values()) < 1e-5
    assert isinstance(loaded.encoder.get_layer("initial_norm"), FusedBatchNormalization)
    assert isinstance(loaded.projection_head.get_layer("norm1"), FusedBatchNormalization)
    fresh = resnet_encoder(10, 1 / 16, input_shape=(64, 64, 3))
    assert [w.path for w in loaded.encoder.weights] == [w.path for w in fresh.weights]
    report = loaded.report
    assert len(report.restored) == len(
        [*loaded.encoder.weights, *loaded.projection_head.weights, *loaded.classifier.weights]
    )
    assert report.parts == ("encoder", "projection head", "classifier")
    of = report.description
    assert report.line() == (
        f"{of.name}, a checkpoint of SimCLR (TF2): encoder, projection head and classifier of a "
        f"ResNet-10 0.0625x came in ({len(report.restored)} tensors); 2 other tensors not used"
    )


def test_the_encoder_alone(net, path):
    encoder, report = pretrained.load_encoder(path)
    assert encoder.input_shape == (None, 224, 224, 3)
    assert report.parts == ("encoder",)
    assert report.missing == ()
    heads = [name for name in report.unused if "head" in name]
    assert len(heads) == 5 + 4 + 2
    kernel = encoder.get_layer("block_group4_unit0_conv2").kernel
    np.testing.assert_array_equal(kernel, net.convs[-1].kernel)


def test_models_that_are_there_already(net, path):
    encoder = resnet_encoder(10, 1 / 16, input_shape=(64, 64, 3))
    head, classifier = projection_head(2, 5), classifier_head(3)
    report = pretrained.restore(path, encoder, head, classifier)
    loaded = pretrained.Pretrained(encoder, head, classifier, report)
    assert max(distances(loaded, net, images()).values()) < 1e-5
    assert report.missing == ()


def test_a_head_of_another_shape_stays_new_and_is_said(net, path):
    encoder = resnet_encoder(10, 1 / 16, input_shape=(64, 64, 3))
    head = projection_head(3, 5)
    head.build((None, 32))
    before = [weight.numpy() for weight in head.weights]
    report = pretrained.restore(path, encoder, head)
    for weight, value in zip(head.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert set(report.missing) == {weight.path for weight in head.weights}
    assert report.parts == ("encoder",)
    said = "left out: projection head (2 layers, 32 to 5), classifier (3 outputs, on 32 numbers)"
    assert f"; {said}; new: projection head; 2 other tensors not used" in report.line()


@pytest.mark.parametrize(
    "arguments, said",
    [
        ((10, 1 / 8), r"initial_conv/kernel is \[7, 7, 3, 4\] in the file, and \[7, 7, 3, 8\]"),
        ((14, 1 / 16), r"unit0_conv1/kernel is \[3, 3, 4, 4\] in the file, and \[1, 1, 4, 4\]"),
        ((18, 1 / 16), r"block_group1_unit1_conv1/kernel is not there in the file, and \[3, 3, 4"),
        ((10, 1 / 16, 0.0625), r"initial_conv1/kernel is not there in the file, and \[3, 3, 3, 2"),
    ],
)
def test_an_encoder_of_another_architecture(arguments, said, path):
    encoder = resnet_encoder(*arguments, input_shape=(64, 64, 3))
    before = [weight.numpy() for weight in encoder.weights]
    with pytest.raises(BadInput, match=f"^--checkpoint=.*: is a ResNet-10 0.0625x: .*{said}"):
        pretrained.restore(path, encoder, flag="--checkpoint")
    for weight, value in zip(encoder.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_the_stem_must_suit_the_images():
    build = pretrained.build_encoder
    large, small = Architecture(10, 1 / 64), Architecture(10, 1 / 64, small_stem=True)
    with pytest.raises(BadInput, match="large stem, of images of more than 32 x 32, and 32 x 32"):
        build(large, (32, 32, 3), where="here")
    with pytest.raises(BadInput, match="small stem, of images of at most 32 x 32, and 64 x 32"):
        build(small, (64, 32, 3), where="here")
    with pytest.raises(BadInput, match="of at most 32 x 32, and any x any is asked for"):
        build(small, (None, None, 3), where="here")
    with pytest.raises(BadInput, match="its images have 3 channels, not 1"):
        build(large, (64, 64, 1), where="here")
    assert build(small).input_shape == (None, 32, 32, 3)
    assert build(large, (None, 40, 3)).input_shape == (None, None, 40, 3)


def test_numbers_that_are_none(net, tmp_path):
    arrays = tf1_names(net)
    name = "base_model/conv2d_2/kernel"
    integers = arrays | {name: arrays[name].astype(np.int32)}
    with pytest.raises(BadInput, match=f"{name} has no floating-point numbers, but int32"):
        pretrained.load(write_tf1(tmp_path / "a", integers), (64, 64, 3))
    holes = arrays | {name: np.full_like(arrays[name], np.nan)}
    with pytest.raises(BadInput, match=f"{name} has numbers that are not finite"):
        pretrained.load(write_tf1(tmp_path / "b", holes), (64, 64, 3))


def test_double_precision_keeps_the_weights(net, path):
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    encoder, _ = pretrained.load_encoder(path, (64, 64, 3))
    assert encoder.weights[0].dtype == "float64"
    np.testing.assert_array_equal(encoder.weights[0].numpy(), net.convs[0].kernel.numpy())


def test_names_of_the_package():
    assert set(pretrained.__all__) <= {*dir(pretrained), *pretrained._MODULES}
    for name in pretrained.__all__:
        assert getattr(pretrained, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'none'"):
        pretrained.none  # noqa: B018 - the access itself is what fails
