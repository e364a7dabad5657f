"""Which cases and images a step sees: pure functions of a seed and the number of the step.

Nothing is shuffled in memory and nothing is carried from step to step, so a run
that is stopped anywhere goes on as if it had not been, and any worker can work out
its own part of any batch.
"""

import math

import tensorflow as tf

# Streams of random numbers, all from one seed: see `stream_key`.
ORDER, PAIRS, CROPS, VIEWS = range(4)
_NUM_STREAMS = 4


def steps_per_epoch(num_units, batch_size):
    """Whole batches in one pass; the rest of a pass is dropped, so no unit is twice in a batch."""
    return num_units // batch_size


def stream_key(seed, stream, number):
    """The key of stateless random numbers: another one for each (seed, stream, number).

    Args:
      seed: int.
      stream: what the numbers are for, one of `ORDER`, `PAIRS`, `CROPS`, `VIEWS`.
      number: scalar int64 tensor, from 0: the step, or the epoch.

    Returns:
      [2] int64.
    """
    return tf.stack([tf.constant(seed, tf.int64), _NUM_STREAMS * number + stream])


def unit_order(seed, epoch, num_units):
    """The order of the units (images or cases) in an epoch, every order equally likely.

    By sorting random numbers, 0.1 s for a million. `tf.random.experimental.index_shuffle`
    needs no memory, but gives up to 65,536 units the same order again after 256 epochs.

    Args:
      seed: int.
      epoch: scalar int64 tensor, from 0.
      num_units: U.

    Returns:
      [U] int64, a permutation of 0 ... U - 1.
    """
    draws = tf.random.stateless_uniform(
        [num_units], stream_key(seed, ORDER, epoch), minval=None, maxval=None, dtype=tf.int64
    )
    return tf.cast(tf.argsort(draws), tf.int64)


def unit_batches(seed, steps, batch_size, num_units):
    """Each step's units, out of a fresh order every epoch.

    Args:
      seed: int.
      steps: range of steps, as (first, end).
      batch_size: B, at most num_units.
      num_units: how many units there are.

    Returns:
      A dataset of (step, units): scalar int64, [B] int64 all different.
    """
    first, end = steps
    per_epoch = steps_per_epoch(num_units, batch_size)

    def batches_of_epoch(epoch):
        order = unit_order(seed, epoch, num_units)
        start = epoch * per_epoch
        wanted = tf.data.Dataset.range(tf.maximum(start, first), tf.minimum(start + per_epoch, end))
        return wanted.map(
            lambda step: (step, tf.slice(order, [(step - start) * batch_size], [batch_size]))
        )

    epochs = tf.data.Dataset.range(first // per_epoch, math.ceil(end / per_epoch))
    return epochs.flat_map(batches_of_epoch)


def rows_of_worker(batch_size, shard):
    """The slice of a step's batch that a worker reads.

    Args:
      batch_size: B, over all workers; divisible by their number.
      shard: (worker, number of workers).
    """
    worker, count = shard
    return slice(worker * batch_size // count, (worker + 1) * batch_size // count)


def draw_pairs(seed, step, images_per_case, distinct_probability=1.0):
    """Draws MICLe's two images of each case (Algorithm 1 of Azizi et al. 2021).

    Args:
      seed: int.
      step: scalar int64 tensor.
      images_per_case: [B] int64, each at least 1.
      distinct_probability: of two distinct images where a case has them, in [0, 1]; else one
        image twice. 1 in the paper.

    Returns:
      [B, 2] int64 in [0, images of the case): two distinct images, every ordered pair
      equally likely, or one image twice, every image equally likely.
    """
    draws = tf.random.stateless_uniform(
        [tf.size(images_per_case), 2], stream_key(seed, PAIRS, step), dtype=tf.float64
    )
    count = tf.cast(images_per_case, tf.float64)
    first = tf.cast(draws[:, 0] * count, tf.int64)
    others = draws[:, 1] * (count - 1)
    away = 1 + tf.cast(others, tf.int64)
    if distinct_probability < 1:
        # What is left behind the point is as evenly drawn, and apart from which image it is.
        distinct = others - tf.floor(others) < distinct_probability
        away = tf.where(distinct, away, tf.zeros_like(away))
    return tf.stack([first, (first + away) % images_per_case], axis=1)
