"""N replicas take the step that one replica takes on the whole batch."""

import keras
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


def take_steps(config, reader, replicas):
    """Losses, the first step's gradients, and the weights after three steps."""
    strategies.set_precision(config.precision)
    strategy = strategies.make_strategy(config.replace(virtual_devices=replicas))
    assert strategy.num_replicas_in_sync == replicas
    models, optimizer, schedule, total = pretrain.build(config, reader.index, strategy)
    training = loop.Training(
        models=models, optimizer=optimizer, schedule=schedule, total_steps=total,
        dataset=lambda first, end: pretrain.pairs(config, reader, replicas, first, end),
        loss=lambda batch: pretrain.contrastive_loss(config, models, batch),
        images_per_step=16, constants={}, note=str,
    )  # fmt: skip
    first = None
    step = loop.make_train_step(training, strategy)
    batches = iter(strategy.distribute_datasets_from_function(lambda _: training.dataset(0, total)))
    losses = []
    for number in range(STEPS):
        losses.append(float(step(next(batches))["loss"]))
        if number == 0:  # LARS's momentum after one step is rate x trust x gradient
            first = [v.numpy() for v in optimizer.variables[2:]]
    weights = [v.numpy() for model in models.values() for v in model.variables]
    return losses, first, weights


@pytest.mark.parametrize("method", ["simclr", "micle"])
def test_float64_replicas_agree_to_1e9(reader, method):
    config = make_config(method=method, precision="float64")
    losses, momenta, weights = take_steps(config, reader, 1)
    assert len(set(losses)) == STEPS and np.isfinite(losses).all()
    for replicas in (2, 4):
        other_losses, other_momenta, other_weights = take_steps(config, reader, replicas)
        np.testing.assert_allclose(other_losses, losses, rtol=1e-9)
        for ours, theirs in zip(momenta + weights, other_momenta + other_weights, strict=True):
            scale = np.abs(ours).max() + 1e-30
            np.testing.assert_allclose(theirs / scale, ours / scale, atol=1e-9)


def test_masked_negatives_agree_over_replicas(reader):
    config = make_config(method="simclr", precision="float64", mask_negatives="patient")
    one, two = (take_steps(config, reader, replicas)[0] for replicas in (1, 2))
    np.testing.assert_allclose(two, one, rtol=1e-9)
    unmasked = take_steps(config.replace(mask_negatives="none"), reader, 1)[0]
    assert unmasked[0] > one[0]  # a smaller denominator


@pytest.mark.parametrize("replicas", [2, 4])
def test_float32_loss_and_gradient_on_embeddings(replicas):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2, 16, 32)).astype(np.float32)

    def loss_and_gradient(z1, z2, gather, count):
        with tf.GradientTape() as tape:
            tape.watch([z1, z2])
            loss = nt_xent(z1, z2, temperature=0.1, gather=gather)
            scaled = loss / count
        return loss, tape.gradient(scaled, [z1, z2])

    loss, gradients = loss_and_gradient(*map(tf.constant, z), None, 1)
    strategy = strategies.make_strategy(Config(virtual_devices=replicas))
    part = lambda view: strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(
            np.split(z[view], replicas)[context.replica_id_in_sync_group]
        )
    )

    @tf.function
    def distributed(z1, z2):
        return strategy.run(
            loss_and_gradient, args=(z1, z2, strategies.gather_replicas, replicas)
        )

    losses, parts = distributed(part(0), part(1))
    mean = np.mean([float(value) for value in strategy.experimental_local_results(losses)])
    np.testing.assert_allclose(mean, float(loss), rtol=1e-5)
    for whole, split in zip(gradients, parts):
        joined = np.concatenate(strategy.experimental_local_results(split))
        np.testing.assert_allclose(joined, whole, atol=1e-5 * np.abs(whole).max())


@pytest.mark.parametrize("method", ["simclr", "micle"])
def test_float32_first_loss_agrees(reader, method):
    config = make_config(method=method)
    first = [take_steps(config, reader, replicas)[0][0] for replicas in (1, 2, 4)]
    np.testing.assert_allclose(first, first[0], rtol=1e-5)


def test_bfloat16_keeps_float32_weights(reader):
    config = make_config(precision="mixed_bfloat16", train_steps=40, optimizer="adam",
                         learning_rate=3e-3, learning_rate_scaling="none")  # fmt: skip
    losses, _, weights = take_steps(config, reader, 1)
    assert np.isfinite(losses).all()
    assert all(w.dtype == np.float32 for w in weights)
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
