"""tf.data pipelines: positive pairs to pretrain, labelled images to tune, plain ones to judge."""

import functools

import numpy as np
import tensorflow as tf

from micle_tf.data import augment, decode, sampling
from micle_tf.data.orientation import UPRIGHT, stored_orientation

# AutoGraph has nothing to convert here, and a killed process would leave its files behind.
_not_converted = tf.autograph.experimental.do_not_convert


@functools.cache
def of_one(function, *fixed):
    """What is done to one image, as a tf.function: traced once for both views and all datasets.

    Args:
      function: of tensors, and behind them `fixed`.
      fixed: what is the same for all images, hashable.
    """
    return tf.function(lambda *tensors: function(*tensors, *fixed), autograph=False)


def num_units(index, method):
    """What an epoch counts: images for "simclr", cases for "micle"."""
    return index.num_images if method == "simclr" else index.num_cases


@_not_converted
def pair_dataset(
    reader, method, batch_size, options, seed, steps,
    *, replica_batch=None, groups=None, decode_once=True, shard=(0, 1), distinct_probability=1.0,
    labels=None,
):  # fmt: skip
    """Batches of positive pairs.

    Args:
      reader: `CaseReader`.
      method: "simclr": one image, augmented twice; "micle": two distinct images of the
        case, each augmented on its own.
      batch_size: pairs per step, over all replicas.
      options: `augment.Augmentation`.
      seed: int; the batch of a step is a function of (seed, step) alone.
      steps: range of steps, as (first, end).
      replica_batch: pairs per element, if the batch is handed out in parts: the parts
        of a step come one after the other.
      groups: [C] int64, a number per case, delivered with its pairs; None for the
        number of the case itself.
      decode_once: decode the image of a simclr pair once for both views.
      shard: (worker, number of workers): only this worker's rows of each step are read.
      distinct_probability: of micle, see `sampling.draw_pairs`.
      labels: [I] or [I, K], of all images of the reader, to be delivered too; None for none.

    Returns:
      A dataset of {"view1", "view2": [b, size, size, 3] float32 in [0, 1],
      "group": [b] int64} and, with labels, {"label1", "label2": [b, ...]} of the two images.
    """
    index = reader.index
    units = num_units(index, method)
    images_per_case = tf.constant(index.images_per_case, tf.int64)
    case_of_image = tf.constant(index.case_of_image, tf.int64)
    first_image = tf.constant(index.first_image[:-1], tf.int64)
    groups = tf.range(index.num_cases, dtype=tf.int64) if groups is None else tf.constant(groups)
    own_rows = sampling.rows_of_worker(batch_size, shard)
    of_image = of_one(augment.augmented_image, options)
    of_content = of_one(augment.augmented_view, options)

    def encoded_pairs(step, unit):
        draws = augment.draw_views(seed, step, batch_size, options)
        if method == "simclr":
            case = tf.gather(case_of_image, unit)
            drawn = tf.repeat((unit - tf.gather(first_image, case))[:, None], 2, axis=1)
        else:
            case = unit
            images = tf.gather(images_per_case, case)
            drawn = sampling.draw_pairs(seed, step, images, distinct_probability)
        case, drawn, draws = tf.nest.map_structure(lambda x: x[own_rows], (case, drawn, draws))
        pair = tf.gather(reader.read(case), drawn, batch_dims=1)
        others = {"group": tf.gather(groups, case)}
        if labels is not None:
            both = tf.gather(labels, tf.gather(first_image, case)[:, None] + drawn)
            others |= {"label1": both[:, 0], "label2": both[:, 1]}
        return pair, _turned(reader, pair, draws, options), others

    def augmented(pair, draws, others):
        first, second = [{name: draw[i] for name, draw in draws.items()} for i in (0, 1)]
        if method == "simclr" and decode_once:
            image = decode.decode(pair[0], UPRIGHT)
            view1, view2 = of_image(image, first), of_image(image, second)
        else:
            view1, view2 = of_content(pair[0], first), of_content(pair[1], second)
        return {"view1": view1, "view2": view2, **others}

    dataset = sampling.unit_batches(seed, steps, batch_size, units)
    dataset = dataset.map(encoded_pairs, num_parallel_calls=2).prefetch(2)
    dataset = dataset.unbatch().map(augmented, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(replica_batch or batch_size, drop_remainder=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


@_not_converted
def labelled_dataset(
    reader, images, labels, batch_size, options,
    *, seed, steps, one_per_case=False, replica_batch=None, shard=(0, 1),
):  # fmt: skip
    """Batches of augmented, labelled images.

    Args:
      reader: `CaseReader`.
      images: [L] int64, numbers of the labelled images, ascending.
      labels: [I] or [I, K], the labels of all images of the reader.
      batch_size: images per step, over all replicas.
      options: `augment.Augmentation`.
      seed: int; the batch of a step is a function of (seed, step) alone.
      steps: range of steps, as (first, end).
      one_per_case: an epoch has one of the labelled images of each case, drawn anew each
        time; else all of them.
      replica_batch: images per element, if the batch is handed out in parts.
      shard: (worker, number of workers): only this worker's rows of each step are read.

    Returns:
      A dataset of {"image": [b, size, size, 3] float32 in [0, 1], "label": [b, ...]}.
    """
    cases, first, count = labelled_units(reader.index, images, one_per_case)
    first_image = tf.constant(reader.index.first_image[:-1], tf.int64)
    cases, first, count, images, labels = map(tf.constant, (cases, first, count, images, labels))
    own_rows = sampling.rows_of_worker(batch_size, shard)
    view = of_one(augment.augmented_view, options)

    def encoded_images(step, unit):
        # The stream of MICLe's pairs, which fine-tuning does not draw.
        drawn = sampling.draw_pairs(seed, step, tf.gather(count, unit))[:, 0]
        draws = augment.draw_views(seed, step, batch_size, options, views=1)
        unit, drawn, draws = tf.nest.map_structure(lambda x: x[own_rows], (unit, drawn, draws))
        image = tf.gather(images, tf.gather(first, unit) + drawn)
        case = tf.gather(cases, unit)
        encoded = tf.gather(reader.read(case), image - tf.gather(first_image, case), batch_dims=1)
        draws = {name: draw[:, 0] for name, draw in draws.items()}
        return encoded, _turned(reader, encoded, draws, options), tf.gather(labels, image)

    def augmented(encoded, draws, label):
        return {"image": view(encoded, draws), "label": label}

    dataset = sampling.unit_batches(seed, steps, batch_size, len(cases))
    dataset = dataset.map(encoded_images, num_parallel_calls=2).prefetch(2)
    dataset = dataset.unbatch().map(augmented, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(replica_batch or batch_size, drop_remainder=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


def labelled_units(index, images, one_per_case):
    """What an epoch of `labelled_dataset` counts: labelled images, or cases that have any.

    Returns:
      (case, first, count), each [U] int64: unit u draws one of the images
      `images[first[u]] ... images[first[u] + count[u] - 1]`, all of one case.
    """
    case = index.case_of_image[images]
    if one_per_case:
        case, first, count = np.unique(case, return_index=True, return_counts=True)
    else:
        first, count = np.arange(len(case)), np.ones_like(case)
    return case.astype(np.int64), first.astype(np.int64), count.astype(np.int64)


def _turned(reader, encoded, draws, options):
    """The draws, with how each image is to be turned, found for the whole batch; where none is,
    it costs nothing."""
    if not reader.turned:
        return draws
    return augment.draws_for(draws, stored_orientation(encoded), options)


@_not_converted
def image_dataset(reader, batch_size, size):
    """Every image of a split once, case by case, as evaluation sees it.

    Returns:
      A dataset of [b, size, size, 3] float32 in [0, 1]; the last batch may be smaller.
    """
    cases = tf.data.Dataset.range(reader.index.num_cases).batch(32)
    images = cases.map(lambda case: reader.read(case).flat_values, num_parallel_calls=2).unbatch()
    view = of_one(decode.evaluation_view, size, None if reader.turned else UPRIGHT)
    images = images.map(view, num_parallel_calls=tf.data.AUTOTUNE)
    return images.batch(batch_size).prefetch(tf.data.AUTOTUNE)
