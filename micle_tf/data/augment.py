"""SimCLR's augmentations of one image, all chance drawn beforehand for a whole batch.

The operations, their order and their numbers are those of google-research/simclr
(tf2/data_util.py): random resized crop, flip, colour jitter in random order,
grayscale, blur. Deliberate differences: the blur's sigma is drawn per image (theirs:
per batch) and its border is reflected (theirs is padded with zeros, which darkens
it); a crop may be as small as `crop_area_min` (theirs also redraws one that holds less
than a tenth of the image). Rotation, which the MICLe paper adds for X-rays [not verified], comes
first.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from micle_tf.config import training
from micle_tf.data import decode, sampling
from micle_tf.data.orientation import FIRST_SWAPPED, ORDERS, REVERSALS, UPRIGHT, WINDOWS, turn
from micle_tf.settings import options_of

_MAX_CROP_ATTEMPTS = 100
_ASPECT_RATIO = (3 / 4, 4 / 3)
_FLIP_PROBABILITY, _JITTER_PROBABILITY = 0.5, 0.8
_GRAY_PROBABILITY, _BLUR_PROBABILITY = 0.2, 0.5
_BLUR_SIGMA = (0.1, 2.0)
_BLUR_ROWS_AT_ONCE = 32
# Luminance (ITU-R 601) of red, green and blue.
_LUMINANCE = (0.2989, 0.5870, 0.1140)


@dataclasses.dataclass(frozen=True)
class Augmentation(training.Augmentation):
    """What is done to a view: the flags of augmentation, and a size.

    At `color_jitter_strength` s brightness, contrast and saturation change by up to 0.8 s, hue by
    up to 0.2 s; 0 switches both jitter and grayscale off, as in SimCLR.

    Attributes:
      size: side of the result, in pixels.
    """

    size: int = 224

    @classmethod
    def of(cls, flags, size):
        """The augmentation that the flags ask for, for a view of a size."""
        return options_of(cls, flags, size=size)


def draw_views(seed, step, batch_size, options, views=2):
    """Draws all that is random about the views of a batch.

    One draw for a batch and not one for a view: small random ops would cost as much
    as the augmentation of a small image.

    Args:
      seed: int.
      step: scalar int64 tensor.
      batch_size: B.
      options: `Augmentation`. A view's draws do not depend on what is switched on.
      views: V, views per image; 2 for pairs.

    Returns:
      A dict with an entry per view [B, V], each with an axis more where noted:
        crop: [B, V, 2] int64, the seed of the crop;
        angle: float32, of the rotation, in radians;
        flip, vertical_flip, jitter, gray, blur: bool, whether to;
        order: [B, V, 4] int32, a permutation of 0 ... 3: when which colour is changed;
        brightness, contrast, saturation: float32 factors; hue: float32, a share of the
          circle;
        kernel: [B, V, taps] float32, weights of the blur, see `gaussian_kernel`.
    """
    strength = options.color_jitter_strength
    key = sampling.stream_key(seed, sampling.VIEWS, step)
    draws = tf.random.stateless_uniform([batch_size, views, 14], key)
    (
        angle, flip, jitter, brightness, contrast, saturation, hue, gray, blur_, sigma,
    ) = tf.unstack(draws[..., :10], axis=-1)  # fmt: skip

    def between(draw, low, high):
        return low + draw * (high - low)

    factors = max(1 - 0.8 * strength, 0.0), 1 + 0.8 * strength
    return dict(
        crop=tf.random.stateless_uniform(
            [batch_size, views, 2], sampling.stream_key(seed, sampling.CROPS, step),
            minval=None, maxval=None, dtype=tf.int64,
        ),
        angle=between(angle, -1, 1) * math.radians(options.rotation_degrees),
        flip=flip < (_FLIP_PROBABILITY if options.random_flip else 0),
        # The next binary digit of the same draw, which is independent of the first.
        vertical_flip=2 * flip % 1 < (_FLIP_PROBABILITY if options.vertical_flip else 0),
        jitter=jitter < (_JITTER_PROBABILITY if strength else 0),
        order=tf.argsort(draws[..., 10:]),
        brightness=between(brightness, *factors),
        contrast=between(contrast, *factors),
        saturation=between(saturation, *factors),
        hue=between(hue, -1, 1) * (0.2 * strength),
        gray=gray < (_GRAY_PROBABILITY if strength else 0),
        blur=blur_ < (_BLUR_PROBABILITY if options.use_blur else 0),
        kernel=gaussian_kernel(between(sigma, *_BLUR_SIGMA), blur_radius(options.size)),
    )  # fmt: skip


def draws_for(draws, orientation, options):
    """The draws of a batch for photos that are stored lying on their side, perhaps.

    So that a photo costs next to nothing more: its crop is drawn upright and cut out of the
    stored pixels, rows and columns change places when it is as small as the view, and what is to
    be reversed joins the random flips.

    Args:
      draws: what `draw_views` drew; the same axes as `orientation` first.
      orientation: int32, see `micle_tf.data.orientation`.
      options: `Augmentation`.

    Returns:
      A dict as `draw_views`, with entries more that `augmented_view` looks for.
    """
    if options.rotation_degrees:  # about the middle of the upright picture
        return draws | {"orientation": orientation}
    return draws | dict(
        sides=tf.gather(ORDERS[:, :2], orientation),
        swapped=orientation >= FIRST_SWAPPED,
        to_stored=tf.gather(WINDOWS, orientation),
        vertical_flip=draws["vertical_flip"] ^ tf.gather(REVERSALS[:, 0], orientation),
        flip=draws["flip"] ^ tf.gather(REVERSALS[:, 1], orientation),
    )


def augmented_view(content, draws, options):
    """One augmented view of an encoded image; of a JPEG only the crop is decoded.

    Args:
      content: scalar string, JPEG or PNG.
      draws: what `draw_views` drew for this view, and `draws_for` made of it.
      options: `Augmentation`.

    Returns:
      [size, size, 3] float32 in [0, 1].
    """
    if options.rotation_degrees:
        return augmented_image(decode.decode(content, UPRIGHT), draws, options)
    cropped = decode.decode_stored_crop(
        content, lambda size: _stored_crop_window(size, draws, options)
    )
    return _after_crop(cropped, draws, options.size)


def augmented_image(image, draws, options):
    """As `augmented_view`, of an image that is decoded but not turned: [h, w, 3] uint8."""
    if options.rotation_degrees:
        image = turn(image, draws.get("orientation", UPRIGHT))
        window = crop_window(tf.shape(image)[:2], draws["crop"], options.crop_area_min)
        cropped = rotate(tf.cast(image, tf.float32), draws["angle"], window)
    else:
        cropped = decode.crop(image, _stored_crop_window(tf.shape(image)[:2], draws, options))
    return _after_crop(cropped, draws, options.size)


def _stored_crop_window(size, draws, options):
    """The window of a drawn crop in the pixels as they are stored, of a stored size."""
    if "to_stored" not in draws:
        return crop_window(size, draws["crop"], options.crop_area_min)
    size = tf.gather(size, draws["sides"])
    window = crop_window(size, draws["crop"], options.crop_area_min)
    return tf.reduce_sum(draws["to_stored"] * tf.concat([window, size], axis=0), axis=-1)


def crop_window(size, seed, area_min):
    """Draws a crop, by the law of SimCLR's code.

    The aspect ratio (width / height) is uniform in 3/4 to 4/3, then the height is uniform
    between what an area of `area_min` needs and the largest that fits: the area itself is
    not uniform.

    Args:
      size: [2] int32 (height, width) of the image.
      seed: [2] int64.
      area_min: smallest share of the image's area.

    Returns:
      [4] int32 (y, x, height, width); the whole image if 100 draws did not fit.
    """
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([size, [3]], axis=0),
        bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=_ASPECT_RATIO,
        area_range=(area_min, 1.0),
        max_attempts=_MAX_CROP_ATTEMPTS,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], extent[:2]], axis=0)


def _after_crop(cropped, draws, size):
    """Resize, flip, colour, grayscale, blur."""

    def apply_if(wanted, change, image):
        return tf.cond(wanted, lambda: change(image), lambda: image)

    image = decode.resize(cropped, size)
    if "swapped" in draws:
        image = apply_if(draws["swapped"], lambda x: tf.transpose(x, [1, 0, 2]), image)
    image = apply_if(draws["flip"], lambda x: tf.reverse(x, axis=[1]), image)
    image = apply_if(draws["vertical_flip"], lambda x: tf.reverse(x, axis=[0]), image)
    image = apply_if(draws["jitter"], lambda x: jitter_color(x, draws), image)
    image = apply_if(draws["gray"], to_gray, image)
    # Rounding may carry a mean of ones above 1.
    image = apply_if(draws["blur"], lambda x: tf.minimum(blur(x, draws["kernel"]), 1.0), image)
    return tf.ensure_shape(image, [size, size, 3])


def jitter_color(image, draws):
    """Changes brightness, contrast, saturation and hue in the drawn order.

    Each result is clipped to [0, 1]; changes of saturation and hue stay inside by
    themselves. Brightness is multiplied, as in SimCLRv2.

    Args:
      image: [h, w, 3] float32 in [0, 1].
      draws: the view's `order`, `brightness`, `contrast`, `saturation`, `hue`, of `draw_views`.

    Returns:
      An image of the same shape and range.
    """
    changes = [
        lambda x: tf.minimum(x * draws["brightness"], 1.0),
        lambda x: tf.clip_by_value(tf.image.adjust_contrast(x, draws["contrast"]), 0.0, 1.0),
        lambda x: tf.image.adjust_saturation(x, draws["saturation"]),
        lambda x: tf.image.adjust_hue(x, draws["hue"]),
    ]
    for which in tf.unstack(draws["order"], num=4):
        image = tf.switch_case(which, [lambda f=f, x=image: f(x) for f in changes])
    return image


def to_gray(image):
    """Luminance (ITU-R 601) in all three channels of [h, w, 3] float32."""
    return tf.tensordot(image, tf.constant([_LUMINANCE] * 3), [[2], [1]])


def blur_radius(size):
    """Half the width of SimCLR's kernel, a tenth of the image: 11 pixels at size 224."""
    return size // 10 // 2


def gaussian_kernel(sigma, radius):
    """Weights of a Gaussian blur, with sum 1.

    Args:
      sigma: [...] float32, in pixels, above 0.
      radius: half the width of the kernel, in pixels.

    Returns:
      [..., 2 radius + 1] float32.
    """
    offset = tf.range(-radius, radius + 1, dtype=tf.float32)
    return tf.nn.softmax(-tf.square(offset / sigma[..., None]) / 2)


def blur(image, kernel):
    """Blurs with a separable kernel; the borders are reflected.

    Each pass is a product of one banded matrix with strips of rows, which overlap by the
    kernel's width: on a CPU two to three times as fast as convolutions.

    Args:
      image: [n, n, 3] float32.
      kernel: [taps] float32; taps is odd and below 2 n.

    Returns:
      [n, n, 3] float32.
    """
    side, taps = image.shape[0], kernel.shape[0]
    rows = min(_BLUR_ROWS_AT_ONCE, side)
    # Row i of the band holds the kernel from column i on. Laid end to end, the rows are the
    # kernel and `rows` zeros, over and over.
    width = rows + taps - 1
    band = tf.tile(tf.pad(kernel, [[0, rows]]), [rows])
    band = tf.reshape(band[: rows * width], [rows, width])
    # The rows of the image that each strip of the result needs.
    source = np.arange(0, side, rows)[:, None] + np.arange(width) - taps // 2
    source = np.abs(source)  # reflect at 0 ...
    source = np.abs((side - 1) - np.abs((side - 1) - source))  # ... and at side - 1

    def blur_down(x):
        x = tf.reshape(x, [side, 3 * side])
        strips = tf.concat([band @ tf.gather(x, needed) for needed in source], axis=0)
        return tf.reshape(strips[:side], [side, side, 3])

    down = tf.transpose(blur_down(image), [1, 0, 2])
    return tf.transpose(blur_down(down), [1, 0, 2])


def rotate(image, angle, window):
    """Cuts a window out of the image as rotated counter-clockwise about its centre.

    Bilinear; what comes from outside the image is 0.

    Args:
      image: [h, w, c] float32.
      angle: scalar float32, in radians.
      window: [4] int32 (y, x, height, width) inside the image.

    Returns:
      [height, width, c] float32.
    """
    center = (tf.cast(tf.shape(image)[:2], tf.float32) - 1) / 2
    from_center = tf.cast(window[:2], tf.float32) - center
    cos, sin = tf.cos(angle), tf.sin(angle)
    # Output (x, y) takes its value from input (a0 x + a1 y + a2, b0 x + b1 y + b2).
    transform = tf.stack([
        cos, -sin, center[1] + cos * from_center[1] - sin * from_center[0],
        sin, cos, center[0] + sin * from_center[1] + cos * from_center[0],
        0.0, 0.0,
    ])  # fmt: skip
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=transform[None],
        output_shape=window[2:],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]
