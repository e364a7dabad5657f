"""What is opened, and what is refused in one line that names a tensor or says what it seems."""

import keras
import pytest
import tensorflow as tf

from micle_tf.errors import BadInput
from micle_tf.pretrained.opening import open_weights
from tests.pretrained.originals import Node, Original, images, write_checkpoint


def test_what_is_of_the_encoder_is_all_there(tmp_path):
    net = Original(14, sk=0.0625, head=3, classes=3)
    opened = open_weights(write_checkpoint(tmp_path, net), "here")
    assert str(opened.architecture) == "ResNet-14 0.0625x, sk_ratio 0.0625"
    assert opened.architecture.feature_dim == net.outputs(images())["final_avg_pool"].shape[-1]
    assert len(opened.contents.encoder) == len(net.convs) + 4 * len(net.norms)
    assert len(opened.contents.projection_head) == 5 + 5 + 4
    assert len(opened.contents.classifier) == 2


def spoilt(change):
    """A network that `change` does something to."""
    net = Original(14, head=2)
    change(net)
    return net


def wider(net):
    net.convs[3].kernel = net.random(3, 3, 4, 5)


def lost(net):
    del net.norms[3].moving_mean


def one_unit_more(net):
    net.resnet.block_groups[2].layers.append(Node())
    net.resnet.block_groups[2].layers[1].conv_relu_dropblock_layers = [
        Node(conv2d=Node(kernel=net.random(1, 1, 64, 16)))
    ]


def no_stem(net):
    net.resnet.initial_conv_relu_max_pool = []


@pytest.mark.parametrize(
    "change, said",
    [
        (wider, r"layers/3/conv2d/kernel has the shape \[3, 3, 4, 5\], and in a ResNet-14 0.0625x "
                r"block_group1_unit0_conv2/kernel has \[3, 3, 4, 4\]"),
        (lost, r"block_group1_unit0_norm2/moving_mean \[4\] of a ResNet-14 0.0625x is missing"),
        (one_unit_more, "encoder is none of ours: its groups have 1, 1, 2, 1 bottleneck units"),
        (no_stem, "encoder is none of ours: there is no convolution of a stem"),
    ],
)  # fmt: skip
def test_an_encoder_that_is_not_one_of_ours(change, said, tmp_path):
    path = write_checkpoint(tmp_path, spoilt(change))
    with pytest.raises(BadInput, match=f"^--checkpoint=X: .*{said}") as told:
        open_weights(path, "--checkpoint=X")
    assert "\n" not in str(told.value)


def test_other_things_in_a_checkpoint(tmp_path):
    kernel = lambda: tf.Variable(tf.ones((3, 3)))
    dense = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="conv1_conv")])
    optimizer = keras.optimizers.SGD(momentum=0.9)
    optimizer.build(dense.trainable_variables)
    for name, objects, said in (
        ("other", {"net": Node(w=kernel())}, "no encoder of SimCLR, but tensors such as net/w"),
        ("applications", {"model": dense}, "seem to be of a ResNet of keras.applications"),
        ("optimizer", {"optimizer": optimizer}, "state of an optimizer alone"),
    ):
        path = tf.train.Checkpoint(**objects).write(str(tmp_path / name / "ckpt-1"))
        with pytest.raises(BadInput, match=f"^here: .*{said}; taken are SimCLR"):
            open_weights(path, "here")


def test_a_checkpoint_of_a_run_names_the_run(tmp_path):
    prefix = tmp_path / "run" / "checkpoints" / "ckpt-1"
    tf.train.Checkpoint(encoder=Node(w=tf.Variable(1.0))).write(str(prefix))
    prefix.with_name("ckpt-1.complete").write_text("{}")
    with pytest.raises(BadInput, match=f"a checkpoint of a run; name its folder, {tmp_path}/run$"):
        open_weights(str(prefix), "here")


def test_a_saved_model_of_an_export_names_the_keras_file(tmp_path):
    root = Node(max_pixels=tf.Variable(1), variables=[tf.Variable(1.0)])
    tf.saved_model.save(root, str(tmp_path))
    with pytest.raises(BadInput, match=r"SavedModel of --mode=export.* the .keras file"):
        open_weights(str(tmp_path), "here")
