"""Photos that are to be turned before one looks at them, in TensorFlow operations.

Prepared data has a mark for it at a fixed place (`data_builders/reading/upright.py`), which
`stored_orientation` reads for a whole batch at once. What an exported model is sent has only
EXIF, which `micle_tf/served_images.py` finds.

An orientation is a number from 1 to 8, as EXIF counts: a scalar int32 tensor, or the Python number
`UPRIGHT`, which adds no operation to a graph.
"""

import numpy as np
import tensorflow as tf

from data_builders.reading import upright

UPRIGHT = 1
_TURNED = list(range(2, 9))
_PLACES = [
    (upright.JPEG_PLACE, [upright.jpeg_mark(turned) for turned in _TURNED]),
    (upright.PNG_PLACE, [upright.png_mark(turned) for turned in _TURNED]),
]


def _tables():
    orders, reversals = np.zeros((9, 3), np.int32), np.zeros((9, 3), bool)
    windows = np.zeros((9, 4, 6), np.int32)
    for turned in range(9):
        orders[turned] = [1, 0, 2] if upright.swaps_sides(turned) else [0, 1, 2]
        reversals[turned, :2] = turned in upright.UPSIDE_DOWN, turned in upright.MIRRORED
        for axis in (0, 1):
            stored = orders[turned, axis]
            windows[turned, 2 + stored, 2 + axis] = 1
            windows[turned, stored, axis] = 1
            if reversals[turned, axis]:  # H - y - h
                windows[turned, stored, axis::2] = -1, -1, 1
    return orders, reversals, windows


# By orientation, 0 of no meaning: in which order the axes of the upright picture are stored;
# whether each of them is reversed then; and [4, 6], by which an upright window and the upright
# size, (y, x, h, w, H, W), become a window in the stored pixels.
ORDERS, REVERSALS, WINDOWS = _tables()
FIRST_SWAPPED = 5


def stored_orientation(contents):
    """How images of prepared data are to be turned.

    Args:
      contents: [...] string, JPEG or PNG.

    Returns:
      [...] int32, 1 (not at all) to 8.
    """
    orientations = []
    for place, marks in _PLACES:
        mark = tf.strings.substr(contents, place, len(marks[0]))[..., tf.newaxis]
        orientations.append(
            tf.reduce_max(tf.where(tf.equal(mark, marks), _TURNED, UPRIGHT), axis=-1)
        )
    return tf.maximum(*orientations)


def turn(image, orientation):
    """Stored pixels as one sees them: [h, w, c] to [h, w, c], or [w, h, c] from 5 on."""
    if orientation is UPRIGHT:
        return image

    def turned():
        swapped = tf.transpose(image, tf.gather(ORDERS, orientation))
        return tf.raw_ops.Reverse(tensor=swapped, dims=tf.gather(REVERSALS, orientation))

    return tf.cond(orientation > 1, turned, lambda: image)


def upright_size(size, orientation):
    """[2] int32 (height, width) as one sees it, of the stored one; its own inverse."""
    if orientation is UPRIGHT:
        return size
    return tf.gather(size, tf.gather(ORDERS[:, :2], orientation))


def stored_window(window, size, orientation):
    """Where a window lies in the stored pixels.

    Args:
      window: [4] int32 (y, x, height, width) in the upright picture.
      size: [2] int32 (height, width) of the upright picture.
      orientation: see above.

    Returns:
      [4] int32, so that `turn` of the stored window is the window of the turned picture.
    """
    if orientation is UPRIGHT:
        return window
    return tf.linalg.matvec(tf.gather(WINDOWS, orientation), tf.concat([window, size], axis=0))
