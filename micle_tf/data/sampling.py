"""Which cases and images a step sees: pure functions of (seed, step, position in the batch).

Nothing is shuffled in memory and nothing is carried from step to step, so a run
that is stopped anywhere goes on as if it had not been, and any worker can work out
its own part of any batch.
"""

import tensorflow as tf

# Distinct streams of random numbers drawn from one seed.
_ORDER, _PAIR = 1, 2


def steps_per_epoch(num_units, batch_size):
    """Whole batches in one pass; the rest of a pass is dropped, so no unit is twice in a batch."""
    return num_units // batch_size


def batch_units(seed, step, batch_size, num_units):
    """The units (images or cases) of one batch, out of a fresh shuffle every epoch.

    Args:
      seed: int.
      step: scalar int64 tensor, from 0.
      batch_size: B, at most num_units.
      num_units: how many units there are.

    Returns:
      [B] int64, all different.
    """
    per_epoch = steps_per_epoch(num_units, batch_size)
    epoch, step_of_epoch = step // per_epoch, step % per_epoch
    position = step_of_epoch * batch_size + tf.range(batch_size, dtype=tf.int64)
    key = tf.stack([tf.constant(seed, tf.int64), tf.constant(_ORDER, tf.int64), epoch])
    shuffled = tf.raw_ops.RandomIndexShuffle(
        index=position, seed=key, max_index=tf.constant(num_units - 1, tf.int64), rounds=4
    )
    return shuffled


def draw_pairs(seed, step, images_per_case):
    """Draws MICLe's two images of each case (Algorithm 1 of Azizi et al. 2021).

    Args:
      seed: int.
      step: scalar int64 tensor.
      images_per_case: [B] int64, each at least 1.

    Returns:
      [B, 2] int64 in [0, images of the case): two distinct images, every ordered pair
      equally likely; the only image twice where there is one.
    """
    draws = tf.random.stateless_uniform(
        [tf.size(images_per_case), 2],
        tf.random.fold_in(tf.stack([tf.constant(seed, tf.int64), step]), _PAIR),
        dtype=tf.float64,
    )
    count = tf.cast(images_per_case, tf.float64)
    first = tf.cast(tf.floor(draws[:, 0] * count), tf.int64)
    away = 1 + tf.cast(tf.floor(draws[:, 1] * (count - 1)), tf.int64)
    second = tf.where(images_per_case > 1, (first + away) % images_per_case, first)
    return tf.stack([first, second], axis=1)


def view_seeds(seed, step, batch_size):
    """Seeds of the augmentations of one batch.

    Returns:
      [B, 2 views, 2] int64; no two alike in a run of fewer than 2**62 views.
    """
    position = step * batch_size + tf.range(batch_size, dtype=tf.int64)
    number = 2 * position[:, None] + tf.constant([[0, 1]], tf.int64)
    return tf.stack([tf.fill(tf.shape(number), tf.constant(seed, tf.int64)), number], axis=-1)
