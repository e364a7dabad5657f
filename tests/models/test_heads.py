import functools
import re

import keras
import numpy as np
import pytest

from micle_tf.models.heads import (
    CLASSIFIER_PATH,
    SquareDense,
    classifier_head,
    projection_head,
    select_layers,
)


def randomise(head, seed=0):
    rng = np.random.default_rng(seed)
    for v in head.weights:
        positive = v.name == "moving_variance"
        v.assign(rng.uniform(0.5, 1.5, v.shape) if positive else rng.normal(size=v.shape))


def forward(weights, x, num_layers, after):
    """The head in inference mode, in numpy, from a dict of weights by `layer/variable`."""
    for number in range(1, after + 1):
        x = x @ weights[f"dense{number}/kernel"]
        mean, var, gamma = (
            weights[f"norm{number}/{part}"] for part in ("moving_mean", "moving_variance", "gamma")
        )
        x = (x - mean) / np.sqrt(var + 1e-5) * gamma
        if number < num_layers:
            x = np.maximum(x + weights[f"norm{number}/beta"], 0)
    return x


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_equals_numpy_at_every_layer(num_layers):
    h = np.random.default_rng(1).normal(size=(5, 12)).astype("float32")
    head = projection_head(num_layers, out_dim=7)
    head.build(h.shape)
    randomise(head)
    weights = {v.path.removeprefix("projection_head/"): v.numpy() for v in head.weights}
    assert f"norm{num_layers}/beta" not in weights
    for selector in (*range(num_layers + 1), -1):
        expected = forward(weights, h, num_layers, num_layers if selector == -1 else selector)
        np.testing.assert_allclose(select_layers(head, selector)(h), expected, rtol=2e-5, atol=1e-5)
    np.testing.assert_array_equal(head(h), select_layers(head, -1)(h))
    assert head(h).shape == (5, 7)


def test_hidden_width_is_input_width_and_names_are_stable():
    for width in (6, 10):
        head = projection_head(3, out_dim=4)
        assert not head.built
        head(np.zeros((2, width)))
        shapes = {v.path: tuple(v.shape) for v in head.trainable_variables}
        assert shapes == {
            "projection_head/dense1/kernel": (width, width),
            "projection_head/norm1/gamma": (width,),
            "projection_head/norm1/beta": (width,),
            "projection_head/dense2/kernel": (width, width),
            "projection_head/norm2/gamma": (width,),
            "projection_head/norm2/beta": (width,),
            "projection_head/dense3/kernel": (width, 4),
            "projection_head/norm3/gamma": (4,),
        }


def test_selected_part_shares_weights_and_has_no_others():
    head = projection_head(3, out_dim=4)
    part = select_layers(head, 1)  # before anything is built
    part(np.zeros((2, 6)))
    assert [v.path for v in part.trainable_variables] == [
        "projection_head/dense1/kernel",
        "projection_head/norm1/gamma",
        "projection_head/norm1/beta",
    ]
    head(np.zeros((2, 6)))
    assert part.trainable_variables[0] is head.trainable_variables[0]
    assert len(head.trainable_variables) == 8
    assert select_layers(head, 0).weights == []


def test_initial_kernels_and_training_statistics():
    head = projection_head(2, out_dim=128)
    h = np.random.default_rng(0).normal(size=(64, 256)).astype("float32")
    z = np.asarray(head(h, training=True))
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-4)  # a batch norm ends the head
    assert np.all(z.std(0) < 1) and np.all(z.std(0) > 0.9)
    for name in ("dense1", "dense2"):
        kernel = head.get_layer(name).kernel.numpy()
        np.testing.assert_allclose(kernel.std(), 0.01, rtol=0.03)
        assert abs(kernel.mean()) < 3e-4
    for name in ("norm1", "norm2"):
        assert head.get_layer(name).momentum == 0.9 and head.get_layer(name).epsilon == 1e-5


@pytest.mark.parametrize("built", [False, True])
def test_config_round_trip_keeps_the_norm(built):
    norm = functools.partial(keras.layers.BatchNormalization, synchronized=True)
    head = projection_head(3, out_dim=4, norm=norm)
    if built:
        head(np.zeros((2, 6)))
    copy = keras.layers.deserialize(keras.layers.serialize(head))
    assert copy.get_config() == head.get_config()
    assert copy.get_layer("norm2").synchronized
    assert copy(np.zeros((2, 6))).shape == (2, 4)
    assert [x.name for x in copy.layers] == [x.name for x in head.layers]


def test_keras_file_round_trip(tmp_path):
    inputs = keras.Input((6,))
    head = projection_head(2, out_dim=4)
    model = keras.Model(inputs, head(inputs))
    randomise(head)
    model.save(tmp_path / "head.keras")
    loaded = keras.models.load_model(tmp_path / "head.keras")
    h = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")
    np.testing.assert_array_equal(loaded(h), model(h))
    assert isinstance(loaded.get_layer("projection_head").layers[0], SquareDense)


def test_float64():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        head = projection_head(2, out_dim=4)
        z = head(np.ones((2, 6)))
    finally:
        keras.config.set_dtype_policy(policy)
    assert keras.backend.standardize_dtype(z.dtype) == "float64"
    assert {v.dtype for v in head.weights} == {"float64"}


@pytest.mark.parametrize("arguments", [{"num_layers": -1}, {"num_layers": 1.5}, {"out_dim": 0}])
def test_refuses_nonsense(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least [01]"):
        projection_head(**arguments)


@pytest.mark.parametrize("selector", [-2, 3])
def test_refuses_layers_that_do_not_exist(selector):
    with pytest.raises(ValueError, match="selector must be one of -1 to 2"):
        select_layers(projection_head(2), selector)


def test_classifier_is_one_affine_map_with_small_kernel_and_no_bias_at_first():
    head = classifier_head(3)
    head.build((None, 4096))
    kernel, bias = head.weights
    assert [v.path for v in head.weights] == ["classifier/logits/kernel", "classifier/logits/bias"]
    assert all(re.search(CLASSIFIER_PATH, v.path) for v in head.weights)
    np.testing.assert_allclose(kernel.numpy().std(), 0.01, rtol=0.03)
    assert not bias.numpy().any()
    randomise(head)
    h = np.random.default_rng(1).normal(size=(5, 4096)).astype("float32")
    expected = h.astype("float64") @ kernel.numpy() + bias.numpy()
    np.testing.assert_allclose(head(h), expected, atol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "float64"])
def test_logits_are_never_of_half_precision(precision):
    keras.config.set_floatx("float64" if precision == "float64" else "float32")
    keras.config.set_dtype_policy(precision)
    logits = classifier_head(3)(np.ones((2, 8), "float32"))
    wanted = "float64" if precision == "float64" else "float32"
    assert keras.backend.standardize_dtype(logits.dtype) == wanted


def test_no_head_is_the_identity():
    head = projection_head(0, out_dim=4)
    head.build((None, 6))
    features = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")
    np.testing.assert_array_equal(head(features), features)
    assert head.variables == [] and head.output_shape == (None, 6)
    np.testing.assert_array_equal(select_layers(head, 0)(features), features)


def test_a_classifier_may_start_with_zeros():
    head = classifier_head(3, zeros=True)
    assert not np.any(head(np.ones((2, 8), "float32")))
