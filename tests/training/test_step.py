"""A step in microbatches is the step on the whole batch; several steps in one call; XLA."""

import functools
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from micle_tf.config import Config, Pace
from micle_tf.data.targets import Targets
from micle_tf.losses import nt_xent
from micle_tf.models import projection_head, resnet_encoder
from micle_tf.modes.pretrain import loss_of
from micle_tf.optimizers import LARS, SGDL2
from micle_tf.training import strategy as strategies
from micle_tf.training.classification import classification_loss
from micle_tf.training.clock import Clock
from micle_tf.training.contrastive import embed
from micle_tf.training.normalization import batch_norm
from micle_tf.training.plan import seconds_a_step
from micle_tf.training.step import (
    as_graph,
    batches_of,
    make_device_loop,
    make_step_taker,
    make_train_step,
    trainable_variables,
)

PAIRS = 8
DESCENT = functools.partial(SGDL2, 1.0, momentum=0.0)  # weights change by the gradient
MOMENTUM = functools.partial(SGDL2, 0.1, momentum=0.9)


def layer_norm(momentum, **options):
    """Without statistics of the batch: a row does not depend on the others."""
    return keras.layers.LayerNormalization(**options)


def strategy_of(replicas, precision="float64"):
    strategies.set_precision(precision)
    return strategies.make_strategy(Config(virtual_devices=replicas))


def contrastive(strategy, norm, make_optimizer, build_encoder, **config):
    """A pretraining of an encoder with a projection head."""
    with strategy.scope():
        keras.utils.set_random_seed(0)
        models = {"encoder": build_encoder(norm), "projection_head": projection_head(2, 8, norm)}
        models["projection_head"].build(models["encoder"].output_shape)
        optimizer = make_optimizer()
        optimizer.build(trainable_variables(models))
    return SimpleNamespace(
        models=models,
        optimizer=optimizer,
        forward=functools.partial(embed, models),
        loss=loss_of(Config(**config)),
    )


def resnet(norm):
    return resnet_encoder(10, 0.125, input_shape=(16, 16, 3), norm=norm)


def dense(norm):
    """Features [n, 5] of inputs [n, 3]."""
    layers = [keras.Input([3]), keras.layers.Dense(5), norm(name="norm", momentum=0.9)]
    return keras.Sequential(layers, name="encoder")


def conv(norm):
    """Features [n, 8] of images [n, 16, 16, 3]."""
    layers = [
        keras.Input([16, 16, 3]),
        keras.layers.Conv2D(8, 3, strides=2),
        norm(name="norm", momentum=0.9),
        keras.layers.ReLU(),
        keras.layers.GlobalAveragePooling2D(),
    ]
    return keras.Sequential(layers, name="encoder")


def split_over(strategy, batch):
    """Replica r gets the r-th part of the rows of every array."""

    def part(context, values):
        number, count = context.replica_id_in_sync_group, context.num_replicas_in_sync
        return tf.constant(np.split(values, count)[number])

    if strategy.num_replicas_in_sync == 1:
        return {name: tf.constant(values) for name, values in batch.items()}
    return {
        name: strategy.experimental_distribute_values_from_function(
            functools.partial(part, values=values)
        )
        for name, values in batch.items()
    }


def weights_of(training):
    return [v.numpy() for v in trainable_variables(training.models)]


def gradients_by_step(training, strategy, batch, size):
    """(values, gradients) of a step of gradient descent at rate 1."""
    before = weights_of(training)
    step = tf.function(make_train_step(training, strategy, size))
    values = {name: x.numpy() for name, x in step(split_over(strategy, batch)).items()}
    return values, [x - y for x, y in zip(before, weights_of(training), strict=True)]


def assert_close(found, expected, tolerance):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance * np.abs(theirs).max())


@functools.cache
def pairs(shape, dtype="float64"):
    views = np.random.default_rng(0).uniform(size=(2, PAIRS, *shape)).astype(dtype)
    groups = np.array([0, 1, 1, 2, 0, 3, 4, 4])
    return {"view1": views[0], "view2": views[1], "group": groups}


# ---------------------------------------------------------------- the whole batch's gradient


@functools.cache
def expected_of_resnet():
    """(loss, gradients) of the whole batch by a tape, without the step."""
    training = contrastive(strategy_of(1), layer_norm, DESCENT, resnet)
    batch = pairs((16, 16, 3))
    with tf.GradientTape() as tape:
        z1, z2 = training.forward(split_over(tf.distribute.get_strategy(), batch))
        loss = nt_xent(z1, z2, groups=batch["group"])
    return float(loss), [
        x.numpy() for x in tape.gradient(loss, trainable_variables(training.models))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("replicas, size", [(1, 0), (1, 2), (2, 0), (2, 2), (4, 1)])
def test_contrastive_gradient_is_the_whole_batchs(replicas, size):
    strategy = strategy_of(replicas)
    training = contrastive(
        strategy, layer_norm, DESCENT, resnet, mask_negatives="patient"
    )  # fmt: skip
    values, gradients = gradients_by_step(training, strategy, pairs((16, 16, 3)), size)
    loss, expected = expected_of_resnet()
    np.testing.assert_allclose(values["loss"], loss, rtol=1e-9)
    assert_close(gradients, expected, 1e-9)
    norm = np.sqrt(sum((x**2).sum() for x in expected))
    np.testing.assert_allclose(values["gradient_norm"], norm, rtol=1e-9)
    assert values["contrastive_accuracy"] * 2 * PAIRS % 1 == 0


@pytest.mark.parametrize("replicas, size", [(1, 3), (2, 2)])
@pytest.mark.parametrize("multilabel", [False, True])
def test_classification_gradient_is_the_whole_batchs(multilabel, replicas, size):
    rng = np.random.default_rng(1)
    targets = Targets(("a", "b", "c"), multilabel)
    x = rng.normal(size=(12, 4))
    if multilabel:  # the replicas know different numbers of entries
        labels = np.concatenate([rng.choice([0, 1], (6, 3)), rng.choice([0, 1, -1, -2], (6, 3))])
        weights = rng.uniform(1, 2, size=(3, 2))
    else:
        labels, weights = rng.integers(0, 3, 12), np.array([1.0, 2.0, 3.0])
    found = []
    for devices, rows in ((1, 0), (replicas, size)):
        strategy = strategy_of(devices)
        with strategy.scope():
            keras.utils.set_random_seed(0)
            model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3)])
            optimizer = DESCENT()
            optimizer.build(model.trainable_variables)
        training = SimpleNamespace(
            models={"classifier": model},
            optimizer=optimizer,
            forward=lambda batch, model=model: model(batch["image"]),
            loss=functools.partial(classification_loss, targets, weights),
        )
        batch = {"image": x, "label": labels}
        found.append(gradients_by_step(training, strategy, batch, rows))
    (values, gradients), (other_values, other_gradients) = found
    assert values.keys() == other_values.keys() and max(np.abs(x).max() for x in gradients) > 0.1
    for name, value in values.items():
        np.testing.assert_allclose(other_values[name], value, rtol=1e-9)
    assert_close(other_gradients, gradients, 1e-9)


# ---------------------------------------------------------------- batch norm and the graph


@pytest.mark.parametrize("replicas", [1, 2])
def test_moving_statistics_are_updated_once_per_microbatch(replicas):
    strategy = strategy_of(replicas)
    norm = batch_norm(replicas, "float64")
    training = contrastive(strategy, norm, functools.partial(SGDL2, 0.0), dense)
    traced = []
    forward = training.forward
    training.forward = lambda batch: traced.append(batch["view1"].shape) or forward(batch)
    size, steps = 2, 2
    step = tf.function(make_train_step(training, strategy, size))
    for _ in range(steps):
        step(split_over(strategy, pairs((3,))))

    kernel, bias, _, _, moving_mean, moving_variance = training.models["encoder"].get_weights()
    mean, variance = np.zeros(5), np.ones(5)
    views = np.stack([pairs((3,))[name] for name in ("view1", "view2")])
    parts = views.reshape(2, replicas, -1, size, 3)  # microbatch i has rows of every replica
    for _ in range(steps):
        for number in range(PAIRS // replicas // size):
            x = parts[:, :, number].reshape(-1, 3) @ kernel + bias
            mean, variance = 0.9 * mean + 0.1 * x.mean(0), 0.9 * variance + 0.1 * x.var(0)
    np.testing.assert_allclose(moving_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(moving_variance, variance, rtol=1e-12)
    # In the graph there are one first and one second pass, whatever the number of microbatches.
    assert traced == [(size, 3)] * 2 * replicas


def test_a_step_is_compiled_if_that_is_asked_for():
    x = tf.constant([3.0, 4.0])
    step = lambda x: tf.reduce_sum(x * x)
    compiled, usual = as_graph(step, jit_compile=True), as_graph(step)
    assert float(compiled(x)) == float(usual(x)) == 25.0
    assert "HloModule" in compiled.experimental_get_compiler_ir(x)()
    with pytest.raises(ValueError, match="jit_compile=True"):
        usual.experimental_get_compiler_ir(x)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("steps_per_loop", [1, 2])
def test_a_run_and_its_plan_take_steps_that_are_compiled(steps_per_loop, compiled):
    """XLA knows no function of numpy."""
    on_the_host = lambda x: tf.reshape(tf.numpy_function(np.copy, [x], x.dtype), x.shape)
    strategy = strategy_of(1, "float32")
    training = contrastive(strategy, batch_norm(1), DESCENT, dense)
    loss, batch = training.loss, pairs((3,), "float32")
    training.loss = lambda *given: (loss(*given)[0], {"seen": on_the_host(loss(*given)[0])})
    training.dataset = lambda steps, shard: tf.data.Dataset.from_tensors(batch)
    training.total_steps = 2
    pace = Pace(jit_compile=compiled, steps_per_loop=steps_per_loop)
    take = make_step_taker(training, strategy, Clock(PAIRS, 1), pace)
    for taken in (
        lambda: take(batches_of(training, strategy, 0, 2), steps_per_loop),
        lambda: seconds_a_step(training, strategy, pace),
    ):
        if not compiled:
            assert taken()
            continue
        with pytest.raises(tf.errors.InvalidArgumentError, match="XLA"):
            taken()


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision, size, encoder, tolerance",
    [
        ("float32", 0, resnet, 1e-4),
        ("float32", 4, conv, 1e-4),
        # Three digits, and processors with bfloat16 units of their own round elsewhere: one was
        # seen to differ by 0.055.
        ("mixed_bfloat16", 0, conv, 0.075),
        ("mixed_bfloat16", 4, resnet, 0.05),
    ],
)
def test_compiled_step_has_the_numbers_of_the_uncompiled_one(precision, size, encoder, tolerance):
    found = []
    for compiled in (False, True):
        strategy = strategy_of(1, precision)
        optimizer = functools.partial(LARS, 1.0, eta=0.01)
        training = contrastive(
            strategy, batch_norm(1, precision), optimizer, encoder, temperature=0.5
        )
        batch = split_over(strategy, pairs((16, 16, 3), "float32"))
        step = as_graph(make_train_step(training, strategy, size), jit_compile=compiled)
        before, values = weights_of(training), step(batch)
        changes = [x - y for x, y in zip(weights_of(training), before, strict=True)]
        found.append((values, np.concatenate([x.ravel() for x in changes])))
    (values, changes), (other_values, other_changes) = found
    assert {v.dtype for v in trainable_variables(training.models)} == {"float32"}
    for name in ("loss", "gradient_norm"):
        np.testing.assert_allclose(other_values[name], values[name], rtol=tolerance)
    difference = np.linalg.norm(other_changes - changes)
    assert difference < 10 * tolerance * np.linalg.norm(changes)


# ---------------------------------------------------------------- several steps in one call


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("size", [0, 2])
def test_device_loop_takes_the_same_steps(replicas, size):
    strategy = strategy_of(replicas)
    views = np.random.default_rng(2).normal(size=(7, 2, PAIRS, 3))
    dataset = tf.data.Dataset.from_tensor_slices(
        {"view1": views[:, 0].reshape(-1, 3), "view2": views[:, 1].reshape(-1, 3)}
    ).batch(PAIRS // replicas, drop_remainder=True)
    iterator = lambda: iter(strategy.distribute_datasets_from_function(lambda _: dataset))
    training = contrastive(strategy, layer_norm, MOMENTUM, dense)
    variables = trainable_variables(training.models) + training.optimizer.variables
    start = [v.numpy() for v in variables]
    step = tf.function(make_train_step(training, strategy, size))
    expected = [step(batch) for batch in iterator()]
    weights = weights_of(training)

    for variable, value in zip(variables, start, strict=True):
        variable.assign(value)
    device_loop = make_device_loop(step)
    batches, taken = iterator(), 0
    for count in (1, 4, 2):
        values, finite = device_loop(batches, tf.constant(count))
        taken += count
        assert int(finite) == count
        assert values.keys() == expected[taken - 1].keys()
        for name, value in expected[taken - 1].items():
            np.testing.assert_array_equal(values[name], value)
    for ours, theirs in zip(weights_of(training), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert step.experimental_get_tracing_count() == 1
    assert device_loop.experimental_get_tracing_count() == 1


class Idle(keras.optimizers.SGD):
    """Leaves the weights alone, so that a damaged batch does not spoil later losses."""

    def update_step(self, gradient, variable, learning_rate):
        del gradient, variable, learning_rate


@pytest.mark.parametrize("bad, finite", [(None, 5), (0, 0), (3, 3)])
def test_device_loop_counts_the_finite_steps(bad, finite):
    strategy = strategy_of(1)
    views = np.random.default_rng(2).normal(size=(5, 2, PAIRS, 3))
    if bad is not None:
        views[bad, 0, 0] = np.nan
    data = tf.data.Dataset.from_tensor_slices({"view1": views[:, 0], "view2": views[:, 1]})
    training = contrastive(strategy, layer_norm, Idle, dense)
    device_loop = make_device_loop(tf.function(make_train_step(training, strategy)))
    values, found = device_loop(iter(data), tf.constant(5))
    assert int(found) == finite and np.isfinite(values["loss"])
