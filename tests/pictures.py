"""Encoded pictures of noise, for tests: no two seeds give the same one."""

import numpy as np
import tensorflow as tf


def jpeg(height=10, width=12, seed=0, channels=3):
    """Bytes of a JPEG; channels 1 (grey) or 3."""
    return tf.io.encode_jpeg(_pixels(height, width, channels, seed), quality=90).numpy()


def png(height=10, width=12, seed=0, channels=3, dtype=np.uint8):
    """Bytes of a PNG; channels 1 (grey), 2 (grey, alpha), 3 or 4 (RGBA); 8 or 16 bits."""
    return tf.io.encode_png(_pixels(height, width, channels, seed, dtype)).numpy()


def _pixels(height, width, channels, seed, dtype=np.uint8):
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
