"""A training of a linear model for the tests of the loop: each step takes a millisecond."""

import keras
import numpy as np
import tensorflow as tf

from micle_tf.cluster import Cluster
from micle_tf.config import Config, Pace
from micle_tf.optimizers import SGDL2
from micle_tf.training import loop, state
from micle_tf.training import strategy as strategies
from micle_tf.training.handed import Training
from micle_tf.training.workers import Workers

ROWS = 4


def batch(step):
    """(inputs [4, 3], targets [4, 1]) of a step, a function of its number from 0."""
    x = tf.random.stateless_normal([ROWS, 3], tf.stack([step, 0]))
    return x, tf.reduce_sum(x, axis=1, keepdims=True)


def train(path, steps, rate=0.1, spoil=lambda x, step: x, **settings):
    """Runs or resumes a training of a [3, 1] matrix, whose learning rate stays the same.

    Args:
      path: run directory.
      steps: length.
      rate: learning rate.
      spoil: from the inputs and the number of a step to what is trained on.
      **settings: of the `Config`.

    Returns:
      What `loop.train` does.
    """
    config = Config(model_dir=str(path), checkpoint_every="5steps", **settings)
    strategy = strategies.make_strategy(config)
    model = keras.Sequential([keras.Input([3]), keras.layers.Dense(1, use_bias=False)])
    model.weights[0].assign(np.zeros((3, 1)))
    optimizer = SGDL2(rate, momentum=0.9)
    optimizer.build(model.trainable_variables)

    def dataset(bounds, shard):
        def element(step):
            x, y = batch(step)
            return {"x": tf.ensure_shape(spoil(x, step), x.shape), "y": y}

        return tf.data.Dataset.range(*bounds).map(element)

    def loss(outputs, part):
        error = outputs - part["y"]
        values = {"error": tf.reduce_mean(tf.abs(error))}
        return tf.reduce_mean(tf.square(error)), values

    training = Training(
        models={"model": model},
        optimizer=optimizer,
        schedule=lambda step: rate,
        dataset=dataset,
        forward=lambda part: model(part["x"]),
        loss=loss,
        total_steps=steps,
        images_per_step=ROWS,
        constants={"chance": 0.25},
        note=str,
    )
    run = state.RunDirectory(str(path), config, {})
    workers = Workers(strategy, Cluster.of(config))
    with run.claimed():
        return loop.train(training, config.part(Pace), strategy, run, workers)


def by_hand(steps, rate=0.1, momentum=0.9):
    """[(loss, gradient's norm) of each step], and the matrix after the last."""
    weights, velocity, found = np.zeros((3, 1)), np.zeros((3, 1)), []
    for step in range(steps):
        x, y = (value.numpy().astype(np.float64) for value in batch(step))
        error = x @ weights - y
        gradient = 2 * x.T @ error / ROWS
        found.append((np.mean(error**2), np.linalg.norm(gradient)))
        velocity = momentum * velocity + gradient
        weights = weights - rate * velocity
    return found, weights
