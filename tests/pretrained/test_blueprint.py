import math

import pytest

from micle_tf.models.resnet import DEPTHS, resnet_encoder
from micle_tf.pretrained.blueprint import Architecture, NoResNet, infer, tensors

SMALL = (32, 32, 3)
LARGE = (64, 64, 3)


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(10, 1 / 16),
        Architecture(14, 1 / 16, sk_ratio=0.0625, se_ratio=0.25),
        Architecture(18, 0.3, sk_ratio=0.0625),
        Architecture(34, 1 / 64, se_ratio=0.5, small_stem=True),
        Architecture(50, 1 / 16, sk_ratio=0.5),
        Architecture(14, 1 / 16, sk_ratio=0.0625, small_stem=True, channels=1),
    ],
)
def test_lists_what_the_encoder_is_built_of(architecture):
    side = 32 if architecture.small_stem else 64
    encoder = resnet_encoder(
        architecture.depth,
        architecture.width_multiplier,
        architecture.sk_ratio,
        architecture.se_ratio,
        (side, side, architecture.channels),
    )
    expected = {weight.path: tuple(weight.shape) for weight in encoder.weights}
    assert tensors(architecture) == expected
    assert architecture.feature_dim == encoder.output_shape[-1]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("sk_ratio", [0.0, 0.0625])
@pytest.mark.parametrize("width", [1 / 64, 0.25, 0.3, 1, 3, 4])
@pytest.mark.parametrize("small_stem", [False, True])
def test_an_encoder_is_told_from_its_tensors(depth, sk_ratio, width, small_stem):
    for se_ratio in (0.0, 0.25):
        architecture = Architecture(depth, width, sk_ratio, se_ratio, small_stem)
        there = tensors(architecture)
        told = infer(there, resnet_d=sk_ratio > 0)
        assert tensors(told) == there
        if width >= 0.25:
            assert told == architecture


@pytest.mark.parametrize("ratio", [0.1, 0.125, 0.25, 1 / 3, 0.7, 1.0])
@pytest.mark.parametrize("width", [0.3, 1, 2])
def test_ratios_that_give_the_same_hidden_layers(ratio, width):
    there = tensors(Architecture(50, width, ratio, ratio))
    assert tensors(infer(there)) == there


@pytest.mark.parametrize(
    # SimCLRv2's table of published networks, and of SimCLR's own what it calls 1x, 2x and 4x.
    "architecture, millions",
    [
        (Architecture(50, 1), 24),
        (Architecture(50, 1, 0.0625), 35),
        (Architecture(50, 2), 94),
        (Architecture(50, 4), 376),
        (Architecture(101, 1), 43),
        (Architecture(152, 1), 58),
        (Architecture(152, 2), 233),
        (Architecture(152, 2, 0.0625), 354),
        (Architecture(152, 3, 0.0625), 795),
    ],
)
def test_parameter_counts_as_published(architecture, millions):
    assert round(sum(map(math.prod, tensors(architecture).values())) / 1e6) == millions


def test_what_is_no_resnet_of_ours():
    there = tensors(Architecture(50, 1 / 16))
    with pytest.raises(NoResNet, match="no convolution of a stem"):
        infer({name: shape for name, shape in there.items() if "initial" not in name})
    one_less = {n: s for n, s in there.items() if not n.startswith("block_group3_unit5")}
    with pytest.raises(NoResNet, match="groups have 3, 4, 5, 3 bottleneck units"):
        infer(one_less)
    with pytest.raises(NoResNet, match="groups have no basic units"):
        infer({"initial_conv/kernel": (7, 7, 3, 64)})


def test_text_for_people():
    assert str(Architecture(152, 2, 0.0625)) == "ResNet-152 2x, sk_ratio 0.0625"
    assert str(Architecture(18, 0.5, 0, 0.25, True)) == (
        "ResNet-18 0.5x, se_ratio 0.25, small stem"
    )
