"""From encoded bytes to pixels, upright."""

import tensorflow as tf

from micle_tf.data.orientation import (
    UPRIGHT,
    stored_orientation,
    stored_window,
    turn,
    upright_size,
)

# Side of a model's input, in pixels, up to which it sees all of an image.
_SEEN_WHOLE = 32


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
    whole image where the model's input is 32 pixels or smaller. `view_of_pixels` is the
    same of images that are decoded already.

    Args:
      content: scalar string, JPEG or PNG.
      size: side of the result, in pixels.
      orientation: as in `decode`.

    Returns:
      [size, size, 3] float32 in [0, 1].
    """
    if size <= _SEEN_WHOLE:
        return resize(decode(content, orientation), size)
    return resize(decode_crop(content, _central_square, orientation), size)


def view_of_pixels(images, size):
    """`evaluation_view` of images that are decoded already.

    Args:
      images: [n, h, w, 3] uint8, or float32 of that range, h and w at least 1.
      size: side of the result, in pixels.

    Returns:
      [n, size, size, 3] float32 in [0, 1].
    """
    if size > _SEEN_WHOLE:
        y, x, height, width = tf.unstack(_central_square(tf.shape(images)[1:3]))
        images = images[:, y : y + height, x : x + width]
    return resize(images, size)


def _central_square(shape):
    """The window [4] int32 of 7/8 of the shorter side of an image of [2] int32 (h, w)."""
    side = tf.cast(tf.round(0.875 * tf.cast(tf.reduce_min(shape), tf.float32)), tf.int32)
    side = tf.maximum(side, 1)
    return tf.concat([(shape - side + 1) // 2, [side, side]], axis=0)
