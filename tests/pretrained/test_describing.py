import numpy as np
import pytest

from micle_tf import pretrained
from micle_tf.pretrained.__main__ import main
from tests.pretrained.originals import Original, tf1_names, write_checkpoint, write_tf1


def test_what_a_checkpoint_is(tmp_path):
    folder = tmp_path / "r14_sk1"
    described = pretrained.describe(write_checkpoint(folder, Original(14, sk=0.0625, classes=3)))
    assert described.path == str(folder / "ckpt-100")
    assert described.name == f"r14_sk1-{described.sha256[:6]}"
    assert described.layout == "a checkpoint of SimCLR (TF2)"
    assert (described.architecture.depth, described.architecture.width_multiplier) == (14, 1 / 16)
    assert tuple(described.projection_head) == (2, 5, 128)
    assert tuple(described.classifier) == (128, 3)
    assert described.step == 100
    assert described.notes == ()


def test_a_head_that_was_never_trained_is_left_out_and_said(tmp_path):
    net = Original(10, head=2)
    for layer in net.head:
        layer.node.bn_relu.bn.moving_mean.assign(0 * layer.node.bn_relu.bn.moving_mean)
        layer.node.bn_relu.bn.moving_variance.assign(0 * layer.node.bn_relu.bn.gamma + 1)
    described = pretrained.describe(write_checkpoint(tmp_path, net))
    assert described.projection_head is None
    assert described.notes == (
        "the projection head was left out: its batch norms never saw a batch",
    )


def test_heads_that_we_do_not_build_are_left_out_and_said(tmp_path):
    arrays = tf1_names(Original(10, head=2, classes=3))
    arrays["head_contrastive/nl_1/batch_normalization/beta"] = np.zeros(5, np.float32)
    arrays.pop("head_supervised/linear_layer/dense/bias")
    described = pretrained.describe(write_tf1(tmp_path, arrays))
    assert described.projection_head is described.classifier is None
    assert described.notes == (
        "the projection head was left out: it is not built as SimCLR's are",
        "the classifier was left out: it is not one linear layer",
    )


def test_printed_for_a_person(tmp_path, capsys):
    path = write_checkpoint(tmp_path / "mine", Original(10, head=3, classes=3))
    assert main([path]) == 0
    sha256 = pretrained.describe(path).sha256
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: a checkpoint of SimCLR (TF2), step 100",
        "  encoder          ResNet-10 0.0625x, 32 features",
        "  projection head  3 layers, 32 to 5",
        "  classifier       3 outputs, on 32 numbers",
        f"  name             mine-{sha256[:6]}",
        f"  sha256           {sha256}",
    ]


@pytest.mark.parametrize("arguments", [["none"], []])
def test_an_error_is_one_line(arguments, capsys, elsewhere):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("error: ")
