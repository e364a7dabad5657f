"""N replicas take the step that one replica takes on the whole batch."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.config import Config
from micle_tf.data import cases
from micle_tf.losses import nt_xent
from micle_tf.training import loop, pretrain
from micle_tf.training import strategy as strategies
from tests.generated_cases import write_cases

STEPS = 3


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    config = Config(
        dataset="derm_cases", manifest=str(write_cases(folder / "photos")), data_dir=str(folder)
    )
    return cases.open_cases(config).open("train")


def make_config(**changes):
    settings = dict(
        image_size=16, resnet_depth=18, width_multiplier=0.125, train_batch_size=8,
        train_steps=STEPS + 1, warmup_epochs=0.0, learning_rate=3.0, weight_decay=1e-4,
    )  # fmt: skip
    return Config(**(settings | changes))


@functools.cache
def trained(reader, replicas):
    """{method: (losses, LARS momenta after the first step, weights after three)} in float64.

    The step is traced once per number of replicas and starts from the same weights for
    both methods, which differ in their data alone.
    """
    config = make_config(precision="float64")
    strategies.set_precision(config.precision)
    strategy = strategies.make_strategy(config.replace(virtual_devices=replicas))
    assert strategy.num_replicas_in_sync == replicas
    models, optimizer, schedule, total = pretrain.build(config, reader.index, strategy)
    training = loop.Training(
        models=models, optimizer=optimizer, schedule=schedule, total_steps=total, dataset=None,
        loss=lambda batch: pretrain.contrastive_loss(config, models, batch),
        images_per_step=16, constants={}, note=str,
    )  # fmt: skip
    step = loop.make_train_step(training, strategy)
    variables = [v for model in models.values() for v in model.variables]
    start = [v.numpy() for v in variables + optimizer.variables]
    results = {}
    for method in ("simclr", "micle"):
        for variable, value in zip(variables + optimizer.variables, start):
            variable.assign(value)
        losses, momenta = [], None
        for batch in batches(config.replace(method=method), reader, strategy):
            losses.append(float(step(batch)["loss"]))
            momenta = momenta or [v.numpy() for v in optimizer.variables[2:]]
        results[method] = losses, momenta, [v.numpy() for v in variables]
    return results


def batches(config, reader, strategy, steps=STEPS):
    replicas = strategy.num_replicas_in_sync
    dataset = lambda _: pretrain.pairs(config, reader, replicas, 0, steps)
    return strategy.distribute_datasets_from_function(dataset)


@pytest.mark.parametrize("replicas", [2, 4])
@pytest.mark.parametrize("method", ["simclr", "micle"])
def test_float64_replicas_agree_to_1e9(reader, method, replicas):
    losses, momenta, weights = trained(reader, 1)[method]
    assert len(set(losses)) == STEPS and np.isfinite(losses).all()
    other_losses, other_momenta, other_weights = trained(reader, replicas)[method]
    np.testing.assert_allclose(other_losses, losses, rtol=1e-9)
    # After one step LARS's momentum is the learning rate times the scaled gradient.
    for ours, theirs in zip(momenta + weights, other_momenta + other_weights, strict=True):
        scale = np.abs(ours).max() + 1e-30
        np.testing.assert_allclose(theirs / scale, ours / scale, atol=1e-9)


def test_methods_see_other_data(reader):
    assert trained(reader, 1)["simclr"][0] != trained(reader, 1)["micle"][0]


@pytest.mark.parametrize("method", ["simclr", "micle"])
def test_float32_loss_and_gradient_on_embeddings(reader, method):
    """ResNet-18 with (synchronised) batch norm, and the loss's gradient on its embeddings."""
    config = make_config(method=method)
    results = []
    for replicas in (1, 2, 4):
        strategy = strategies.make_strategy(config.replace(virtual_devices=replicas))
        models, *_ = pretrain.build(config, reader.index, strategy)

        def loss_and_gradient(batch):
            images = tf.concat([batch["view1"], batch["view2"]], axis=0)
            z = models["projection_head"](models["encoder"](images, training=True), training=True)
            with tf.GradientTape() as tape:
                tape.watch(z)
                loss = nt_xent(*tf.split(z, 2), gather=strategies.gather_replicas)
                scaled = loss / replicas
            return loss, tf.split(tape.gradient(scaled, z), 2)

        run = tf.function(lambda batch: strategy.run(loss_and_gradient, args=(batch,)))
        loss, gradients = run(next(iter(batches(config, reader, strategy, 1))))
        local = strategy.experimental_local_results
        results.append((
            np.mean([float(part) for part in local(loss)]),
            np.concatenate([np.concatenate(local(view)) for view in gradients]),
        ))  # fmt: skip
    loss, gradient = results[0]
    for other_loss, other_gradient in results[1:]:
        np.testing.assert_allclose(other_loss, loss, rtol=1e-5)
        np.testing.assert_allclose(other_gradient, gradient, atol=1e-5 * np.abs(gradient).max())


def test_masked_negatives_agree_over_replicas():
    rng = np.random.default_rng(0)
    z, groups = rng.normal(size=(2, 8, 16)), rng.integers(0, 4, 8)
    whole = float(nt_xent(*map(tf.constant, z), groups=tf.constant(groups)))
    assert whole < float(nt_xent(*map(tf.constant, z)))  # a smaller denominator
    strategy = strategies.make_strategy(Config(virtual_devices=2))

    def part(values):
        halves = np.split(values, 2)
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(halves[context.replica_id_in_sync_group])
        )

    masked = lambda z1, z2, group: nt_xent(
        z1, z2, groups=group, gather=strategies.gather_replicas
    )
    run = tf.function(lambda *parts: strategy.run(masked, args=parts))
    losses = strategy.experimental_local_results(run(part(z[0]), part(z[1]), part(groups)))
    np.testing.assert_allclose(np.mean(losses), whole, rtol=1e-12)


def test_bfloat16_keeps_float32_weights(reader):
    config = make_config(resnet_depth=10, precision="mixed_bfloat16", optimizer="adam")
    strategies.set_precision(config.precision)
    strategy = strategies.make_strategy(config)
    models, *_ = pretrain.build(config, reader.index, strategy)
    batch = next(iter(batches(config, reader, strategy, 1)))
    loss, values = pretrain.contrastive_loss(config, models, batch)
    assert loss.dtype == tf.float32 and np.isfinite(loss)
    assert 0 <= values["contrastive_accuracy"] <= 1
    assert models["encoder"](batch["view1"]).dtype == tf.bfloat16
    assert {v.dtype for model in models.values() for v in model.variables} == {"float32"}
