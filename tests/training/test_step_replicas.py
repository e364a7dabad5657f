"""N replicas take the step that one replica takes on the whole batch."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.config import Config
from micle_tf.data import cases
from micle_tf.losses import nt_xent
from micle_tf.modes import pretrain
from micle_tf.training import contrastive
from micle_tf.training import strategy as strategies
from micle_tf.training.handed import Training
from micle_tf.training.step import make_train_step

STEPS = 3


@pytest.fixture(scope="module")
def reader(small_set):
    config = Config(manifest=str(small_set / "photos/cases.csv"), data_dir=str(small_set / "data"))
    return cases.open_cases(config).open("train")


def make_config(**changes):
    settings = dict(
        image_size=16,
        resnet_depth=10,
        width_multiplier=0.125,
        train_batch_size=8,
        train_steps=STEPS + 1,
        warmup_epochs=0.0,
        optimizer="momentum",
        learning_rate=0.05,
        learning_rate_scaling="none",
        weight_decay=1e-4,
    )
    return Config(**(settings | changes))


@functools.cache
def trained(reader, replicas):
    """{method: (losses, gradients of the first step, weights after three)} in float64.

    The step is traced once per number of replicas and starts from the same weights for
    both methods, which differ in their data alone.
    """
    config = make_config(precision="float64")
    strategies.set_precision(config.precision)
    strategy = strategies.make_strategy(config.replace(virtual_devices=replicas))
    assert strategy.num_replicas_in_sync == replicas
    units = reader.index.num_cases
    models, optimizer, schedule = pretrain.build(config, units, strategy)
    training = Training(
        models=models, optimizer=optimizer, schedule=schedule, total_steps=STEPS, dataset=None,
        forward=functools.partial(contrastive.embed, models),
        loss=pretrain.loss_of(config),
        images_per_step=16, constants={}, note=str,
    )  # fmt: skip
    step = tf.function(make_train_step(training, strategy))
    variables = [v for model in models.values() for v in model.variables]
    start = [v.numpy() for v in variables + optimizer.variables]
    results = {}
    for method in ("simclr", "micle"):
        for variable, value in zip(variables + optimizer.variables, start, strict=True):
            variable.assign(value)
        losses, gradients = [], None
        for batch in batches(config.replace(method=method), reader, strategy):
            losses.append(float(step(batch)["loss"]))
            # SGD's momenta after one step are -rate (gradient + weight decay x weight).
            gradients = gradients or [v.numpy() for v in optimizer.variables[2:]]
        results[method] = losses, gradients, [v.numpy() for v in variables]
    return results


def batches(config, reader, strategy, steps=STEPS):
    replicas = strategy.num_replicas_in_sync
    dataset = lambda _: pretrain.pairs(config, reader, replicas, (0, steps))
    return strategy.distribute_datasets_from_function(dataset)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [2, pytest.param(4, marks=pytest.mark.long)])
@pytest.mark.parametrize("method", ["simclr", "micle"])
def test_float64_replicas_agree_to_1e9(reader, method, replicas):
    losses, gradients, weights = trained(reader, 1)[method]
    assert len(set(losses)) == STEPS and np.isfinite(losses).all()
    other_losses, other_gradients, other_weights = trained(reader, replicas)[method]
    np.testing.assert_allclose(other_losses, losses, rtol=1e-9)
    pairs = zip(gradients + weights, other_gradients + other_weights, strict=True)
    for ours, theirs in pairs:
        scale = np.abs(ours).max() + 1e-30
        np.testing.assert_allclose(theirs / scale, ours / scale, atol=1e-9)


def test_methods_see_other_data(reader):
    assert trained(reader, 1)["simclr"][0] != trained(reader, 1)["micle"][0]


@pytest.mark.slow
def test_float32_loss_and_gradient_on_embeddings(reader):
    """A ResNet with (synchronised) batch norm, and the loss's gradient on its embeddings."""
    config = make_config()
    results = {"simclr": [], "micle": []}
    for replicas in (1, 2, 4):
        strategy = strategies.make_strategy(config.replace(virtual_devices=replicas))
        models, *_ = pretrain.build(config, reader.index.num_cases, strategy)
        run = tf.function(
            functools.partial(strategy.run, functools.partial(embedding_gradient, models, replicas))
        )
        local = strategy.experimental_local_results
        for method, found in results.items():
            data = batches(config.replace(method=method), reader, strategy, 1)
            loss, gradients = run(args=(next(iter(data)),))
            views = [np.concatenate(local(view)) for view in gradients]
            found.append((np.mean([float(part) for part in local(loss)]), np.concatenate(views)))
    for (loss, gradient), *others in results.values():
        for other_loss, other_gradient in others:
            np.testing.assert_allclose(other_loss, loss, rtol=1e-5)
            # Rounding of batch norms reaches the embeddings, so entries are compared as a
            # whole; the loss alone, on equal embeddings, agrees in every entry: see below.
            assert np.linalg.norm(other_gradient - gradient) < 1e-5 * np.linalg.norm(gradient)


def embedding_gradient(models, replicas, batch):
    images = tf.concat([batch["view1"], batch["view2"]], axis=0)
    z = models["projection_head"](models["encoder"](images, training=True), training=True)
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = nt_xent(*tf.split(z, 2), gather=strategies.gather_replicas)
        scaled = loss / replicas
    return loss, tf.split(tape.gradient(scaled, z), 2)


def split_over(strategy, values):
    """Hands replica r the r-th part of the rows."""
    parts = np.split(values, strategy.num_replicas_in_sync)
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group])
    )


@pytest.mark.parametrize("replicas", [2, pytest.param(4, marks=pytest.mark.long)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float64", 1e-12)])
def test_loss_on_equal_embeddings_agrees_in_every_entry(replicas, masked, dtype, tolerance):
    rng = np.random.default_rng(0)
    z1, z2 = rng.normal(size=(2, 16, 32)).astype(dtype)
    groups = rng.integers(0, 6, 16)

    def loss_and_gradient(gather, count, z1, z2, groups):
        with tf.GradientTape() as tape:
            tape.watch([z1, z2])
            loss = nt_xent(z1, z2, groups=groups if masked else None, gather=gather)
            scaled = loss / count
        return loss, tape.gradient(scaled, [z1, z2])

    whole = loss_and_gradient(None, 1, *map(tf.constant, (z1, z2, groups)))
    strategy = strategies.make_strategy(Config(virtual_devices=replicas))

    @tf.function
    def distributed(*parts):
        replica = functools.partial(loss_and_gradient, strategies.gather_replicas, replicas)
        return strategy.run(replica, args=parts)

    losses, gradients = distributed(*(split_over(strategy, x) for x in (z1, z2, groups)))
    local = strategy.experimental_local_results
    np.testing.assert_allclose(np.mean(local(losses)), whole[0], rtol=tolerance)
    for ours, parts in zip(whole[1], gradients, strict=True):
        joined = np.concatenate(local(parts))
        np.testing.assert_allclose(joined, ours, atol=tolerance * np.abs(ours).max())


def test_bfloat16_keeps_float32_weights(reader):
    config = make_config(precision="mixed_bfloat16", optimizer="adam")
    strategies.set_precision(config.precision)
    strategy = strategies.make_strategy(config)
    models, *_ = pretrain.build(config, reader.index.num_cases, strategy)
    batch = next(iter(batches(config, reader, strategy, 1)))
    loss, values = pretrain.loss_of(config)(contrastive.embed(models, batch), batch)
    assert loss.dtype == tf.float32 and np.isfinite(loss)
    assert 0 <= values["contrastive_accuracy"] <= 1
    assert models["encoder"](batch["view1"]).dtype == tf.bfloat16
    assert {v.dtype for model in models.values() for v in model.variables} == {"float32"}
