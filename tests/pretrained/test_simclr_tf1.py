"""Checkpoints of SimCLR's TF1 code, which have names of variables alone."""

import numpy as np
import pytest

from micle_tf import pretrained
from micle_tf.errors import BadInput
from micle_tf.pretrained.blueprint import tensors
from micle_tf.pretrained.opening import open_weights
from tests.pretrained.originals import Original, distances, images, tf1_names, write_tf1


@pytest.mark.parametrize(
    "arguments",
    [
        {"depth": 14, "head": 2},
        {"depth": 14, "sk": 0.0625, "head": 3, "classes": 3},
        {"depth": 18, "se": 0.25, "head": 1},
        {"depth": 14, "sk": 0.25, "se": 0.5, "small": True, "head": 4},
    ],
)
def test_every_output(arguments, tmp_path):
    net = Original(**arguments)
    x = images(32 if arguments.get("small") else 64)
    loaded = pretrained.load(write_tf1(tmp_path, tf1_names(net)), x.shape[1:])
    assert max(distances(loaded, net, x).values()) < 1e-5
    assert loaded.report.missing == loaded.report.unused == ()
    assert loaded.report.description.step == 100
    assert loaded.report.description.layout == "a checkpoint of SimCLR (TF1)"


@pytest.mark.parametrize("depth", [34, 152])
def test_every_layer_of_deep_networks_is_found(depth, tmp_path):
    net = Original(depth, 1 / 32)
    contents, architecture = open_weights(write_tf1(tmp_path, tf1_names(net)), "here")[1:]
    assert architecture.depth == depth and architecture.sk_ratio == 0
    assert contents.encoder.keys() == tensors(architecture).keys()
    last = len(net.convs) - 1
    end = "conv2" if depth == 34 else "conv3"
    assert contents.encoder[f"block_group4_unit2_{end}/kernel"].key == (
        f"base_model/conv2d_{last}/kernel"
    )


def test_slots_are_left_out_and_averages_said(tmp_path):
    net = Original(14, head=2)
    arrays = tf1_names(net)
    slots = {f"{name}/Momentum": array for name, array in arrays.items() if "kernel" in name}
    averages = {f"ema_model/{name}": 0 * array for name, array in arrays.items() if "/" in name}
    loaded = pretrained.load(write_tf1(tmp_path, arrays | slots | averages), (64, 64, 3))
    assert max(distances(loaded, net, images()).values()) < 1e-5
    assert set(loaded.report.unused) == slots.keys() | averages.keys()
    assert "the averaged weights of ema_model/ were not taken" in loaded.report.line()


def test_swapped_names_of_one_shape_are_noticed(tmp_path):
    net = Original(14, head=2)
    arrays = tf1_names(net)
    one, other = "base_model/conv2d_1/kernel", "base_model/conv2d_4/kernel"
    assert arrays[one].shape == arrays[other].shape
    swapped = arrays | {one: arrays[other], other: arrays[one]}
    loaded = pretrained.load(write_tf1(tmp_path, swapped), (64, 64, 3))
    assert min(distances(loaded, net, images()).values()) > 1e-2


def test_a_call_that_is_missing_or_too_many_is_named(tmp_path):
    arrays = tf1_names(Original(14))
    fewer = {name: array for name, array in arrays.items() if "conv2d_7/" not in name}
    with pytest.raises(BadInput, match=r"block_group2_unit0_conv2/kernel \[3, 3, 8, 8\].* missing"):
        pretrained.describe(write_tf1(tmp_path / "fewer", fewer))
    more = arrays | {"base_model/conv2d_17/kernel": np.ones((1, 1, 128, 32), np.float32)}
    with pytest.raises(BadInput, match=r"base_model/conv2d_17/kernel \[1, 1, 128, 32\] has no pl"):
        pretrained.describe(write_tf1(tmp_path / "more", more))
    other = arrays | {"base_model/conv2d_7/kernel": np.ones((3, 3, 8, 7), np.float32)}
    with pytest.raises(
        BadInput, match=r"conv2d_7/kernel has the shape \[3, 3, 8, 7\].* has \[3, 3, 8, 8\]"
    ):
        pretrained.describe(write_tf1(tmp_path / "other", other))


def test_basic_units_that_average_the_main_path_are_refused(tmp_path):
    arrays = tf1_names(Original(10, 1 / 8, sk=0.0625))
    with pytest.raises(BadInput, match="averages the main path too"):
        pretrained.describe(write_tf1(tmp_path, arrays))
