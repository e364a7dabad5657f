"""Checkpoints and SavedModels of SimCLR's TF2 code give the outputs of the networks they are of."""

import pytest
import tensorflow as tf

from micle_tf import pretrained
from micle_tf.errors import BadInput
from micle_tf.pretrained.blueprint import tensors
from micle_tf.pretrained.opening import open_weights
from tests.pretrained.originals import (
    Node,
    Original,
    distances,
    images,
    write_checkpoint,
    write_saved_model,
)

NETWORKS = {
    "basic": lambda: Original(10, head=1, classes=3),
    "basic, ResNet-D": lambda: Original(10, sk=0.0625, se=0.5, classes=2),
    "bottleneck": lambda: Original(14, se=0.25, head=4),
    "selective kernels": lambda: Original(14, 1 / 8, sk=0.5, se=0.25, head=3, classes=3),
    "small stem": lambda: Original(14, sk=0.0625, small=True, head=0, classes=3),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_output_of_a_checkpoint(name, tmp_path):
    check_outputs(NETWORKS[name](), name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("depth, sk, head", [(50, 0.0625, 3), (34, 0, 2)])
def test_every_output_of_deeper_networks(depth, sk, head, tmp_path):
    check_outputs(Original(depth, 1 / 32, sk=sk, head=head), "", tmp_path)


def check_outputs(net, name, tmp_path):
    x = images(32 if "small" in name else 64)
    loaded = pretrained.load(write_checkpoint(tmp_path, net), x.shape[1:])
    assert max(distances(loaded, net, x).values()) < 1e-5
    assert loaded.report.missing == ()
    assert not [name for name in loaded.report.unused if "optimizer" not in name]
    assert loaded.report.description.step == 100


@pytest.mark.parametrize("listed", [True, False])
def test_every_output_of_a_saved_model(listed, tmp_path):
    net = Original(14, sk=0.0625, head=3, classes=3)
    folder = write_saved_model(tmp_path / "r50" / "saved_model", net, listed)
    keys = tf.train.load_checkpoint(f"{folder}/variables/variables").get_variable_to_shape_map()
    numbered = [key for key in keys if key.startswith(("trainable_var", "model/resnet_model/var"))]
    assert len(numbered) > 40  # so that names alone say nothing
    loaded = pretrained.load(folder, (64, 64, 3))
    assert max(distances(loaded, net, images()).values()) < 1e-5
    assert loaded.report.unused == loaded.report.missing == ()
    assert loaded.report.description.layout == "a SavedModel of SimCLR (TF2)"
    assert loaded.report.description.name.startswith("r50-")


@pytest.mark.parametrize("depth, sk", [(101, 0.0625), (152, 0.0625), (200, 0)])
def test_every_layer_of_deep_networks_is_found(depth, sk, tmp_path):
    net = Original(depth, 1 / 32, sk=sk, head=3)
    contents, architecture = open_weights(write_checkpoint(tmp_path, net), "here")[1:]
    assert (architecture.depth, architecture.width_multiplier) == (depth, 1 / 32)
    assert bool(architecture.sk_ratio) == bool(sk)
    assert contents.encoder.keys() == tensors(architecture).keys()
    kernels = [name for name in contents.encoder if name.endswith("conv1/kernel")]
    assert len(kernels) >= depth // 3
    for name in kernels:  # of the unit that the object is in
        key = contents.encoder[name].key
        if name.startswith("block_group") and "sk" not in name:
            group, unit = name.removeprefix("block_group").split("_")[:2]
            assert f"block_groups/{int(group) - 1}/layers/{unit.removeprefix('unit')}/" in key


def test_swapped_tensors_of_one_shape_are_noticed(tmp_path):
    """The shortcut and the third convolution of a first unit; so that the comparison can fail."""
    net, swapped = (Original(14, head=2, seed=3) for _ in range(2))
    first, second = (swapped.convs[number].kernel for number in (1, 4))
    assert first.shape == second.shape
    keep = first.numpy()
    first.assign(second)
    second.assign(keep)
    right = pretrained.load(write_checkpoint(tmp_path / "right", net), (64, 64, 3))
    wrong = pretrained.load(write_checkpoint(tmp_path / "wrong", swapped), (64, 64, 3))
    assert max(distances(right, net, images()).values()) < 1e-5
    assert min(distances(wrong, net, images()).values()) > 1e-2
    assert max(distances(wrong, swapped, images()).values()) < 1e-5


def test_what_belongs_to_the_encoder_and_has_no_place(tmp_path):
    net = Original(10)
    net.resnet.attention = Node(kernel=tf.Variable(tf.ones((2, 3))))
    with pytest.raises(
        BadInput, match=r"resnet_model/attention/kernel \(.*\) \[2, 3\] has no place"
    ):
        pretrained.describe(write_checkpoint(tmp_path, net))


def test_a_model_at_the_root(tmp_path):
    net = Original(10, head=2)
    tf.train.Checkpoint(net.node).write(str(tmp_path / "weights"))
    described = pretrained.describe(str(tmp_path))
    assert str(described.architecture) == "ResNet-10 0.0625x"
    assert described.projection_head.num_layers == 2
    assert described.step is None
