"""From encoded bytes to pixels, upright."""

import tensorflow as tf

from micle_tf.data.orientation import (
    UPRIGHT,
    stored_orientation,
    stored_window,
    turn,
    upright_size,
)


def decode(content, orientation=None):
    """Decodes a JPEG or PNG.

    Args:
      content: scalar string.
      orientation: how the picture is to be turned, see `micle_tf.data.orientation`; None: as a
        mark in prepared data says.

    Returns:
      [h, w, 3] uint8; a grey image is repeated over the three channels, and an
      alpha channel is dropped.
    """
    orientation = stored_orientation(content) if orientation is None else orientation
    image = tf.io.decode_image(content, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    image = turn(image, orientation)
    image.set_shape([None, None, 3])
    return image


def decode_crop(content, window_of_size, orientation=None):
    """Decodes a part of an image; of a JPEG, only that part.

    Args:
      content: scalar string.
      window_of_size: function from the upright image's size, [2] int32 (h, w), to a window
        [4] int32 (y, x, height, width) inside it.
      orientation: as in `decode`.

    Returns:
      [height, width, 3] uint8: the window of `decode(content)`, but for the outermost
      columns of a JPEG with subsampled colour, whose colour is then not interpolated
      with that of their neighbours outside.
    """
    orientation = stored_orientation(content) if orientation is None else orientation

    def stored(size):
        size = upright_size(size, orientation)
        return stored_window(window_of_size(size), size, orientation)

    image = turn(decode_stored_crop(content, stored), orientation)
    image.set_shape([None, None, 3])
    return image


def decode_stored_crop(content, window_of_size):
    """As `decode_crop`, of pixels as they are stored: neither they nor the window are turned."""

    def from_jpeg():
        window = window_of_size(tf.io.extract_jpeg_shape(content)[:2])
        return tf.io.decode_and_crop_jpeg(content, window, channels=3)

    def from_any():
        image = decode(content, UPRIGHT)
        return crop(image, window_of_size(tf.shape(image)[:2]))

    image = tf.cond(tf.io.is_jpeg(content), from_jpeg, from_any)
    image.set_shape([None, None, 3])
    return image


def crop(image, window):
    """Cuts a window [4] int32 (y, x, height, width) out of an image [h, w, 3]."""
    begin, extent = tf.concat([window[:2], [0]], axis=0), tf.concat([window[2:], [3]], axis=0)
    return tf.slice(image, begin, extent)


def resize(image, size):
    """Resizes to [size, size, 3] float32 in [0, 1], bicubic and not antialiased, as SimCLR does."""
    image = tf.image.resize(image, [size, size], method="bicubic")
    return tf.clip_by_value(image * (1 / 255), 0.0, 1.0)


def evaluation_view(content, size, orientation=None):
    """The one view of an image that evaluation sees.

    SimCLR's (tf2/data_util.py): the central square of 7/8 of the shorter side; the
    whole image where the model's input is 32 pixels or smaller.

    Args:
      content: scalar string, JPEG or PNG.
      size: side of the result, in pixels.
      orientation: as in `decode`.

    Returns:
      [size, size, 3] float32 in [0, 1].
    """
    if size <= 32:
        return resize(decode(content, orientation), size)

    def central_square(shape):
        side = tf.cast(tf.round(0.875 * tf.cast(tf.reduce_min(shape), tf.float32)), tf.int32)
        side = tf.maximum(side, 1)
        return tf.concat([(shape - side + 1) // 2, [side, side]], axis=0)

    return resize(decode_crop(content, central_square, orientation), size)
