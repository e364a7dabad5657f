"""A model applied to every image of a split."""

import numpy as np
import tensorflow as tf

from micle_tf import console
from micle_tf.data import pipeline


def traced(forward):
    """A tf.function of one argument, traced for a whole batch and once more for the last one."""
    return tf.function(forward, reduce_retracing=True, autograph=False)


def predict_images(forward, reader, image_size, batch_size, label=""):
    """Applies a function to the central view of every image of a reader.

    Args:
      forward: from images [b, size, size, 3] float32 in [0, 1] to [b, ...]; `traced`, so
        that one who predicts again and again traces it once.
      reader: `CaseReader`.
      image_size: side of the view, in pixels.
      batch_size: images at once.
      label: what to write beside the progress bar; no bar without.

    Returns:
      [I, ...] float32, in the order of the index.
    """
    dataset = pipeline.image_dataset(reader, batch_size, image_size)
    parts = []
    if not label:
        return np.concatenate([_float32(forward(images)) for images in dataset])
    with console.Progress(label, reader.index.num_images, "image") as progress:
        for images in dataset:
            parts.append(_float32(forward(images)))
            progress.update(len(parts[-1]))
    return np.concatenate(parts)


def _float32(tensor):
    return tf.cast(tensor, tf.float32).numpy()
