"""Frozen features of every image of a split, computed once and kept in the run directory."""

import contextlib

import numpy as np
import tensorflow as tf

from micle_tf.files import renamed_when_whole
from micle_tf.training.inference import predict_images


def cached_features(run, split, forward, image_size, batch_size, name=""):
    """Features [I, d] float32 of every image of a split, in the order of its index.

    Taken from the run directory if they were computed before; the run directory is
    bound to one encoder and one dataset.

    Args:
      run: `RunDirectory`.
      split: `LabelledSplit`.
      forward: images [n, s, s, 3] in [0, 1] -> features [n, d], of a frozen encoder; `traced`, so
        that it is traced once for all splits.
      image_size: s, in pixels.
      batch_size: images at once.
      name: of what the data calls the split, where --eval_split calls it otherwise.
    """
    path = run.file(f"features-{name or split.name}.npy")
    if tf.io.gfile.exists(path):
        # A damaged file is made again.
        with contextlib.suppress(ValueError, EOFError), tf.io.gfile.GFile(path, "rb") as file:
            features = np.load(file)
            if len(features) == split.reader.index.num_images:
                return features
    label = f"features of {split.name}"
    features = predict_images(forward, split.reader, image_size, batch_size, label)
    with renamed_when_whole(path) as unfinished, tf.io.gfile.GFile(unfinished, "wb") as file:
        np.save(file, features)
    return features
