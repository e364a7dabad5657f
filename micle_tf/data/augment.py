"""SimCLR's augmentations of one image, as pure functions of a seed.

The operations, their order and their numbers are those of google-research/simclr
(tf2/data_util.py): random resized crop, flip, colour jitter in random order,
grayscale, blur. Deliberate differences: the blur's sigma is drawn per image (theirs:
per batch) and its border is reflected (theirs is padded with zeros, which darkens
it). Rotation, which the MICLe paper adds for X-rays, comes first.
"""

import dataclasses
import math

import tensorflow as tf

from micle_tf.data import decode

_MAX_CROP_ATTEMPTS = 100
_ASPECT_RATIO = (3 / 4, 4 / 3)
_JITTER_PROBABILITY, _GRAY_PROBABILITY, _BLUR_PROBABILITY = 0.8, 0.2, 0.5
_BLUR_SIGMA = (0.1, 2.0)
# Distinct streams of random numbers drawn from the seed of a view.
_CROP, _REST = 1, 2


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to a view.

    Attributes:
      size: side of the result, in pixels.
      crop_area_min: smallest share of the image's area that a crop keeps; 0.08.
      color_jitter_strength: s; brightness, contrast and saturation change by up to
        0.8 s, hue by up to 0.2 s. 1.0 for photos, 0.5 for X-rays; 0 switches both
        jitter and grayscale off, as in SimCLR.
      use_blur: blur half of the views.
      rotation_degrees: rotate by up to this angle either way; 0 for never.
      random_flip: mirror half of the views left to right.
    """

    size: int = 224
    crop_area_min: float = 0.08
    color_jitter_strength: float = 1.0
    use_blur: bool = True
    rotation_degrees: float = 0.0
    random_flip: bool = True


def augmented_view(content, seed, options):
    """One augmented view of an encoded image; of a JPEG only the crop is decoded.

    Args:
      content: scalar string, JPEG or PNG.
      seed: [2] int64; the same seed gives the same view.
      options: `Augmentation`.

    Returns:
      [size, size, 3] float32 in [0, 1].
    """
    if options.rotation_degrees:
        return augmented_image(decode.decode(content), seed, options)
    cropped = decode.decode_crop(content, lambda size: crop_window(size, seed, options))
    return _after_crop(cropped, seed, options)


def augmented_image(image, seed, options):
    """As `augmented_view`, of an image that is decoded already: [h, w, 3] uint8."""
    if options.rotation_degrees:
        share = 2 * _draws(seed)[8] - 1
        image = rotate(tf.cast(image, tf.float32), share * math.radians(options.rotation_degrees))
    window = crop_window(tf.shape(image)[:2], seed, options)
    return _after_crop(decode.crop(image, window), seed, options)


def crop_window(size, seed, options):
    """Draws the crop: area U(crop_area_min, 1) of the image, aspect ratio 3/4 to 4/3.

    Args:
      size: [2] int32 (height, width) of the image.

    Returns:
      [4] int32 (y, x, height, width); the whole image if 100 draws did not fit.
    """
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([size, [3]], axis=0),
        bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=tf.random.fold_in(seed, _CROP),
        min_object_covered=0.0,
        aspect_ratio_range=_ASPECT_RATIO,
        area_range=(options.crop_area_min, 1.0),
        max_attempts=_MAX_CROP_ATTEMPTS,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], extent[:2]], axis=0)


def _draws(seed):
    """The uniform numbers behind all but the crop of a view, [9]."""
    return tf.random.stateless_uniform([9], tf.random.fold_in(seed, _REST))


def _after_crop(cropped, seed, options):
    """Resize, flip, colour, grayscale, blur; one draw each, whatever is switched on."""
    flip, jitter, gray, blurred, sigma, bright, contrast, saturation = tf.unstack(_draws(seed)[:8])
    image = decode.resize(cropped, options.size)
    if options.random_flip:
        image = tf.cond(flip < 0.5, lambda: image[:, ::-1], lambda: image)
    if options.color_jitter_strength > 0:
        strength = options.color_jitter_strength
        jittered = lambda: jitter_color(image, seed, strength, (bright, contrast, saturation))
        image = tf.cond(jitter < _JITTER_PROBABILITY, jittered, lambda: image)
        image = tf.cond(gray < _GRAY_PROBABILITY, lambda: to_gray(image), lambda: image)
    radius = options.size // 10 // 2
    if options.use_blur and radius > 0:
        low, high = _BLUR_SIGMA
        blur_by = low + sigma * (high - low)
        image = tf.cond(
            blurred < _BLUR_PROBABILITY, lambda: blur(image, blur_by, radius), lambda: image
        )
    return tf.ensure_shape(image, [options.size, options.size, 3])


def jitter_color(image, seed, strength, draws):
    """Changes brightness, contrast, saturation and hue, in random order, each clipped to [0, 1].

    Brightness is multiplied, as in SimCLRv2.

    Args:
      image: [h, w, 3] float32 in [0, 1].
      seed: [2] int64.
      strength: s, above 0.
      draws: three numbers in [0, 1) that place brightness, contrast and saturation in
        [1 - 0.8 s, 1 + 0.8 s], never below 0.

    Returns:
      An image of the same shape and range.
    """
    low, high = max(1 - 0.8 * strength, 0.0), 1 + 0.8 * strength
    brightness, contrast, saturation = [low + draw * (high - low) for draw in draws]
    more = tf.random.stateless_uniform([5], tf.random.fold_in(seed, _REST + 1))
    hue = (2 * more[4] - 1) * 0.2 * strength
    change = [
        lambda x: x * brightness,
        lambda x: tf.image.adjust_contrast(x, contrast),
        lambda x: tf.image.adjust_saturation(x, saturation),
        lambda x: tf.image.adjust_hue(x, hue),
    ]
    order = tf.argsort(more[:4])
    for place in range(4):
        image = tf.switch_case(order[place], [lambda f=f, x=image: f(x) for f in change])
        image = tf.clip_by_value(image, 0.0, 1.0)
    return image


def to_gray(image):
    """Luminance (ITU-R 601) in all three channels of [h, w, 3] float32."""
    return tf.repeat(tf.image.rgb_to_grayscale(image), 3, axis=-1)


def blur(image, sigma, radius):
    """Gaussian blur with reflected borders.

    Both passes are products with one banded matrix, which folds the border in and is
    far faster on a CPU than a depthwise convolution (see benchmarks/).

    Args:
      image: [n, n, 3] float32.
      sigma: scalar float32, in pixels, above 0.
      radius: half the width of the kernel, in pixels, below n; taps = 2 radius + 1.

    Returns:
      [n, n, 3] float32.
    """
    side = image.shape[0]
    offset = tf.range(-radius, radius + 1)
    weights = tf.exp(-tf.square(tf.cast(offset, tf.float32)) / (2 * tf.square(sigma)))
    weights /= tf.reduce_sum(weights)
    source = tf.abs(tf.range(side)[:, None] + offset)  # reflect at 0 ...
    source = (side - 1) - tf.abs((side - 1) - source)  # ... and at side - 1
    band = tf.reduce_sum(tf.one_hot(source, side) * weights[None, :, None], axis=1)
    down = tf.reshape(band @ tf.reshape(image, [side, -1]), [side, side, 3])
    across = tf.transpose(down, [1, 0, 2])
    across = tf.reshape(band @ tf.reshape(across, [side, -1]), [side, side, 3])
    return tf.transpose(across, [1, 0, 2])


def rotate(image, angle):
    """Rotates counter-clockwise about the centre, bilinear; what comes from outside is 0.

    Args:
      image: [h, w, c] float32.
      angle: scalar float32, in radians.

    Returns:
      [h, w, c] float32.
    """
    size = tf.shape(image)[:2]
    center = (tf.cast(size, tf.float32) - 1) / 2
    cos, sin = tf.cos(angle), tf.sin(angle)
    # Output (x, y) takes its value from input (a0 x + a1 y + a2, b0 x + b1 y + b2).
    transform = tf.stack([
        cos, -sin, center[1] - (cos * center[1] - sin * center[0]),
        sin, cos, center[0] - (sin * center[1] + cos * center[0]),
        0.0, 0.0,
    ])  # fmt: skip
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=transform[None],
        output_shape=size,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]
