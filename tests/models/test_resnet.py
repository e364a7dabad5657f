import functools
import re

import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from micle_tf.models.resnet import BranchSum, freeze_through, resnet_encoder

NARROW = 1 / 16  # 4 channels where SimCLR has 64


@pytest.fixture
def float64():
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


# An independent forward pass, in numpy: what the layers mean, from a dict of their weights.


def conv(w, name, x, stride=1):
    kernel = w[f"{name}/kernel"]
    size = kernel.shape[0]
    near, far = (size - 1) // 2, size // 2
    x = np.pad(x, ((0, 0), (near, far), (near, far), (0, 0)))
    windows = sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    out = np.einsum("nhwcij,ijco->nhwo", windows, kernel, optimize=True)
    return out + w.get(f"{name}/bias", 0)


def norm(w, name, x):
    gamma, beta, mean, var = (
        w[f"{name}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return (x - mean) / np.sqrt(var + 1e-5) * gamma + beta


def relu(x):
    return np.maximum(x, 0)


def max_pool(x):
    """3 x 3, stride 2, TensorFlow's SAME: an even side is padded at its far end only."""
    pads = [(0, 1) if side % 2 == 0 else (1, 1) for side in x.shape[1:3]]
    x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-np.inf)
    return sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max((-1, -2))


def shortcut(w, name, x, stride, resnet_d):
    if resnet_d:  # stride 1: outside does not count; stride 2: outside counts as zero
        outside = np.nan if stride == 1 else 0.0
        x = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=outside)
        x = np.nanmean(sliding_window_view(x, (2, 2), axis=(1, 2)), (-1, -2))
        x = x[:, ::stride, ::stride]
        stride = 1
    return norm(w, f"{name}_shortcut_norm", conv(w, f"{name}_shortcut_conv", x, stride))


def selective_kernel(w, name, x, stride):
    x = relu(norm(w, f"{name}_norm2", conv(w, f"{name}_conv2", x, stride)))
    branches = np.stack(np.split(x, 2, axis=-1))
    mixing = branches.sum(0).mean((1, 2), keepdims=True)
    mixing = relu(norm(w, f"{name}_sk_norm1", conv(w, f"{name}_sk_conv1", mixing)))
    logits = np.stack(np.split(conv(w, f"{name}_sk_conv2", mixing), 2, axis=-1))
    weights = np.exp(logits) / np.exp(logits).sum(0)
    return (branches * weights).sum(0)


def forward(w, x, units, bottleneck, *, small=False, sk=False, se=False):
    """Outputs of the four groups, and the pooled features."""
    if sk and not small:
        for part, stride in (("1", 2), ("2", 1)):
            x = relu(norm(w, f"initial_norm{part}", conv(w, f"initial_conv{part}", x, stride)))
        stride = 1
    else:
        stride = 1 if small else 2
    x = relu(norm(w, "initial_norm", conv(w, "initial_conv", x, stride)))
    outputs = []
    if not small:
        x = max_pool(x)
    for group, count in enumerate(units, start=1):
        for unit in range(count):
            name = f"block_group{group}_unit{unit}"
            stride = 2 if unit == 0 and group > 1 else 1
            y = shortcut(w, name, x, stride, sk) if unit == 0 else x
            first_stride = 1 if bottleneck else stride
            x = relu(norm(w, f"{name}_norm1", conv(w, f"{name}_conv1", x, first_stride)))
            if bottleneck and sk:
                x = selective_kernel(w, name, x, stride)
            elif bottleneck:
                x = relu(norm(w, f"{name}_norm2", conv(w, f"{name}_conv2", x, stride)))
            end = 3 if bottleneck else 2
            x = norm(w, f"{name}_norm{end}", conv(w, f"{name}_conv{end}", x))
            if se:
                scale = relu(conv(w, f"{name}_se_conv1", x.mean((1, 2), keepdims=True)))
                x = x / (1 + np.exp(-conv(w, f"{name}_se_conv2", scale)))
            x = relu(x + y)
        outputs.append(x)
    return outputs, x.mean((1, 2))


@pytest.mark.parametrize(
    "depth, sk_ratio, se_ratio, shape, units, bottleneck",
    [
        (10, 0.0, 0.0, (37, 44, 3), (1, 1, 1, 1), False),
        (18, 0.0, 0.5, (40, 36, 1), (2, 2, 2, 2), False),
        (10, 0.0625, 0.0, (37, 44, 3), (1, 1, 1, 1), False),
        (14, 0.0, 0.0, (48, 35, 3), (1, 1, 1, 1), True),
        (14, 0.0625, 0.25, (37, 44, 3), (1, 1, 1, 1), True),
        (14, 0.5, 0.0, (32, 31, 3), (1, 1, 1, 1), True),
    ],
)
def test_equals_numpy_forward_pass(float64, depth, *, sk_ratio, se_ratio, shape, units, bottleneck):
    rng = np.random.default_rng(depth)
    encoder = resnet_encoder(depth, NARROW, sk_ratio, se_ratio, shape)
    weights = {}
    for v in encoder.weights:
        if v.name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, v.shape)
        else:
            fan_in = np.prod(v.shape[:-1])
            value = rng.normal(0, fan_in**-0.5 if v.name == "kernel" else 0.3, v.shape)
        v.assign(value)
        weights[v.path] = value
    images = rng.uniform(0, 1, (2, *shape))

    groups = [encoder.get_layer(f"block_group{g}").output for g in (1, 2, 3, 4)]
    *outputs, features = keras.Model(encoder.input, [*groups, encoder.output])(images)

    small = max(shape[:2]) <= 32
    expected, pooled = forward(
        weights, images, units, bottleneck, small=small, sk=sk_ratio > 0, se=se_ratio > 0
    )
    assert keras.backend.standardize_dtype(features.dtype) == "float64"
    for got, want in zip([*outputs, features], [*expected, pooled], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * np.abs(want).max())


@pytest.mark.parametrize("depth", [10, 14, 18, 34, 50, 101, 152, 200])
def test_depth_counts_the_layers_of_the_main_path(depth):
    encoder = resnet_encoder(depth, 1 / 64, input_shape=(32, 32, 3))
    convs = [x for x in encoder.layers if isinstance(x, keras.layers.Conv2D)]
    assert len([x for x in convs if "shortcut" not in x.name]) == depth - 1  # and a classifier
    assert [x.name for x in convs if "shortcut" in x.name] == [
        f"block_group{g}_unit0_shortcut_conv" for g in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize(
    # torchvision's resnet18 and resnet50 without their classifiers; SimCLR also projects the
    # first shortcut of an 18, by 64 x 64 weights, 64 scales and 64 offsets.
    "depth, parameters, width",
    [(18, 11_689_512 - 513_000 + 64 * 64 + 128, 512), (50, 25_557_032 - 2_049_000, 2048)],
)
def test_parameter_count_and_feature_width(depth, parameters, width):
    encoder = resnet_encoder(depth)
    assert sum(v.value.shape.num_elements() for v in encoder.trainable_variables) == parameters
    assert encoder.input_shape == (None, 224, 224, 3)
    assert encoder.output_shape == (None, width)


@pytest.mark.parametrize(
    "width, filters", [(1, (64, 256)), (2, (128, 512)), (0.5, (32, 128)), (0.3, (19, 77))]
)
def test_width_multiplies_and_rounds_channels(width, filters):
    encoder = resnet_encoder(10, width, input_shape=(32, 32, 3))
    assert encoder.get_layer("initial_conv").filters == filters[0]
    assert encoder.get_layer("block_group3_unit0_conv1").filters == filters[1]


def test_hidden_widths_of_selective_kernels_and_squeeze_excitation():
    encoder = resnet_encoder(14, 1, 0.125, 0.25, (40, 40, 3))
    for group, hidden in ((1, 32), (2, 32), (3, 32), (4, 64)):  # at least 32
        assert encoder.get_layer(f"block_group{group}_unit0_sk_conv1").filters == hidden
        squeeze = encoder.get_layer(f"block_group{group}_unit0_se_conv1")
        assert squeeze.filters == 8 * 2**group
    assert resnet_encoder(14, NARROW, 0, 0.1).get_layer(squeeze.name).filters == 3  # int(3.2)


@pytest.mark.parametrize(
    "side, sides", [(32, (32, 16, 8, 4)), (33, (9, 5, 3, 2)), (224, (56, 28, 14, 7))]
)
def test_stem_and_group_sizes(side, sides):
    encoder = resnet_encoder(10, 1 / 64, input_shape=(side, side, 3))
    for group, expected in enumerate(sides, start=1):
        output = encoder.get_layer(f"block_group{group}").output
        assert output.shape[1:3] == (expected, expected)


def test_free_image_size_takes_the_large_stem():
    encoder = resnet_encoder(10, 1 / 64, input_shape=(None, None, 3))
    assert encoder.get_layer("initial_conv").kernel_size == (7, 7)
    fixed = resnet_encoder(10, 1 / 64, input_shape=(48, 40, 3))
    fixed.set_weights(encoder.get_weights())
    images = np.random.default_rng(0).uniform(size=(2, 48, 40, 3)).astype("float32")
    np.testing.assert_array_equal(encoder(images), fixed(images))


def test_names_are_unique_and_do_not_depend_on_earlier_models():
    build = functools.partial(resnet_encoder, 14, NARROW, 0.0625, 0.25, (40, 40, 3))
    first, second = build(), build()
    paths = [v.path for v in first.weights]
    assert paths == [v.path for v in second.weights]
    assert len(set(paths)) == len(paths)
    assert [x.name for x in first.layers] == [x.name for x in second.layers]
    prefixes = ("images", "initial_", "block_group", "final_avg_pool")
    assert all(x.name.startswith(prefixes) for x in first.layers)
    assert "block_group2_unit0_conv1/kernel" in paths


def test_groups_freeze_by_name():
    encoder = resnet_encoder(10, NARROW, input_shape=(32, 32, 3))
    for layer in encoder.layers:
        layer.trainable = layer.name.startswith(("block_group3", "block_group4"))
    assert {v.path[:12] for v in encoder.trainable_variables} == {"block_group3", "block_group4"}
    frozen = [v for v in encoder.weights if v.path.startswith(("initial", "block_group1"))]
    before = [v.numpy() for v in frozen]
    encoder(np.random.default_rng(0).uniform(size=(4, 32, 32, 3)), training=True)
    for variable, value in zip(frozen, before, strict=True):  # batch-norm moments included
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize("depth, end", [(18, 2), (14, 3)])
def test_batch_norm_settings(depth, end):
    encoder = resnet_encoder(depth, NARROW, input_shape=(32, 32, 3))
    norms = [x for x in encoder.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(norms) == {18: 1 + 16 + 4, 14: 1 + 12 + 4}[depth]
    for layer in norms:
        assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
        scale = 0.0 if re.fullmatch(rf"block_group\d_unit\d_norm{end}", layer.name) else 1.0
        np.testing.assert_array_equal(layer.gamma.numpy(), scale)


def test_residual_branches_start_at_zero():
    encoder = resnet_encoder(18, NARROW, input_shape=(32, 32, 3))
    images = np.random.default_rng(0).uniform(size=(2, 32, 32, 3))
    unit = keras.Model(
        encoder.input,
        [encoder.get_layer(n).output for n in ("block_group1_unit0_relu", "block_group1")],
    )
    before, after = unit(images, training=True)
    assert np.abs(before).max() > 0
    np.testing.assert_array_equal(before, after)


def test_kernels_start_with_variance_one_over_fan_in():
    encoder = resnet_encoder(10, 0.25, input_shape=(32, 32, 3))
    kernel = encoder.get_layer("block_group4_unit0_conv2").kernel.numpy()
    np.testing.assert_allclose(kernel.std(), np.sqrt(1 / (9 * 128)), rtol=0.02)
    assert abs(kernel.mean()) < 0.02 * kernel.std()
    assert not any(v.name == "bias" for v in encoder.weights)
    first, second = (
        encoder.get_layer(f"block_group1_unit0_conv{i}").kernel.numpy().ravel() for i in (1, 2)
    )
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1  # each layer draws its own


def test_norm_factory_makes_every_normalisation_layer():
    names = []

    def norm(name, **kwargs):
        names.append(name)
        return keras.layers.BatchNormalization(name=name, synchronized=True, **kwargs)

    encoder = resnet_encoder(14, NARROW, 0.0625, input_shape=(40, 40, 3), norm=norm)
    norms = [x for x in encoder.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert sorted(names) == sorted(x.name for x in norms)
    assert len(names) == 3 + 4 * (4 + 1) and all(x.synchronized for x in norms)


def test_keras_file_round_trip(tmp_path):
    encoder = resnet_encoder(14, NARROW, 0.0625, 0.25, (40, 40, 3))
    rng = np.random.default_rng(0)
    for v in encoder.weights:
        v.assign(rng.uniform(0.1, 1.0, v.shape))
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    images = rng.uniform(size=(2, 40, 40, 3)).astype("float32")
    assert [v.path for v in loaded.weights] == [v.path for v in encoder.weights]
    np.testing.assert_array_equal(loaded(images), encoder(images))


def test_mixed_precision_keeps_float32_variables():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        encoder = resnet_encoder(14, NARROW, 0.0625, 0.25, (40, 40, 3))
    finally:
        keras.config.set_dtype_policy(policy)
    features = encoder(np.ones((2, 40, 40, 3)))
    assert keras.backend.standardize_dtype(features.dtype) == "bfloat16"
    assert np.isfinite(keras.ops.cast(features, "float32")).all()
    assert {v.dtype for v in encoder.weights} == {"float32"}


def test_branch_sum_weights_by_softmax():
    inputs = np.array([[[[1.0, 2.0, 10.0, 20.0]]]], "float32")
    np.testing.assert_allclose(BranchSum()(inputs), [[[[11.0, 22.0]]]])
    logits = np.log(np.array([[[[1.0, 3.0, 4.0, 1.0]]]], "float32"))  # 1:4 and 3:1
    expected = [[[[(1 + 4 * 10) / 5, (3 * 2 + 20) / 4]]]]
    np.testing.assert_allclose(BranchSum()(inputs, logits), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"depth": 20}, "depth must be one of 10, 14, 18, 34, 50, 101, 152, 200, got 20"),
        ({"width_multiplier": 0}, "width_multiplier must be .* at least 1/64, got 0"),
        ({"width_multiplier": float("nan")}, "width_multiplier .* got nan"),
        ({"width_multiplier": float("inf")}, "width_multiplier .* got inf"),
        ({"width_multiplier": "2"}, "width_multiplier .* got '2'"),
        ({"sk_ratio": -0.1}, r"sk_ratio must be a number in \[0, 1\], got -0.1"),
        ({"se_ratio": 2}, r"se_ratio must be a number in \[0, 1\], got 2"),
        ({"input_shape": (224, 224)}, r"input_shape must be \(height, width, channels\)"),
    ],
)
def test_refuses_values_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        resnet_encoder(**({"depth": 10} | arguments))


def parts_of(paths):
    """The parts of the network that variables lie in: "initial", "block_group1", ..."""
    return {re.match(r"(initial|block_group\d)_", path.split("/")[-2])[1] for path in paths}


@pytest.mark.parametrize("block", range(-1, 5))
@pytest.mark.parametrize("changes", [{}, {"sk_ratio": 0.0625, "se_ratio": 0.25}])
def test_freeze_through(block, changes):
    encoder = resnet_encoder(14, NARROW, input_shape=(33, 33, 3), **changes)
    total, statistics = len(encoder.weights), len(encoder.non_trainable_variables)
    freeze_through(encoder, block)
    groups = ["initial", *(f"block_group{g}" for g in (1, 2, 3, 4))]
    trained = {v.path for v in encoder.trainable_variables}
    assert parts_of(trained) == set(groups[block + 1 :])
    frozen = {v.path for v in encoder.weights} - trained
    assert parts_of(frozen) == set(groups)  # moving statistics are never trained
    assert len(encoder.weights) == total
    assert (block >= 0) == (len(encoder.non_trainable_variables) > statistics)
    before = {v.path: v.numpy() for v in encoder.weights}
    encoder(np.random.default_rng(0).random((4, 33, 33, 3), "float32"), training=True)
    moved = [v.path for v in encoder.weights if (v.numpy() != before[v.path]).any()]
    assert parts_of(moved) == set(groups[block + 1 :]) and not set(moved) & trained


def test_freezing_is_of_this_model_alone():
    frozen, free = (resnet_encoder(10, NARROW, input_shape=(16, 16, 3)) for _ in range(2))
    freeze_through(frozen, 4)
    assert frozen.trainable_variables == [] and len(free.trainable_variables) > 30


@pytest.mark.slow
def test_two_encoders_in_one_model():
    keras.utils.clear_session()
    encoders = [resnet_encoder(10, 1 / 16, input_shape=(16, 16, 3)) for _ in range(2)]
    assert [encoder.name for encoder in encoders] == ["encoder", "encoder_1"]
    named = resnet_encoder(10, 1 / 16, input_shape=(16, 16, 3), name="teacher")
    assert named.name == "teacher"
    paths = [[variable.path for variable in one.variables] for one in (*encoders, named)]
    assert paths[0] == paths[1] == paths[2]
    images = keras.Input((16, 16, 3))
    both = keras.Model(images, keras.ops.concatenate([one(images) for one in encoders], axis=-1))
    batch = np.random.default_rng(0).random((2, 16, 16, 3)).astype("float32")
    expected = np.concatenate([one.predict(batch, verbose=0) for one in encoders], axis=-1)
    np.testing.assert_allclose(both.predict(batch, verbose=0), expected, atol=1e-6)
    assert len(both.variables) == 2 * len(encoders[0].variables)
