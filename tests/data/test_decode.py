"""Decoding against Pillow, resizing against bicubic interpolation written out in numpy."""

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from micle_tf.data import decode
from tests.pictures import jpeg, png


def pillow(content):
    return np.array(PIL.Image.open(io.BytesIO(content)))


def smooth(height, width, seed=0):
    """A picture that a JPEG keeps: [h, w, 3] uint8."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (4, 5, 3)).astype("uint8")
    return np.array(PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.BICUBIC))


def jpeg_of(pixels, **options):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def bicubic_matrix(size, source):
    """[size, source]: Keys's cubic (a = -1/2), half-pixel centres, rows of sum 1."""
    at = (np.arange(size) + 0.5) * source / size - 0.5
    distance = np.abs(at[:, None] - np.arange(source))
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)


def bicubic(pixels, size):
    """[size, size, 3] in [0, 1] of [h, w, 3] uint8."""
    down, across = (bicubic_matrix(size, source) for source in pixels.shape[:2])
    return np.einsum("iy,jx,yxc->ijc", down, across, pixels / 255).clip(0, 1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_to_rgb(channels, dtype):
    content = png(7, 9, seed=1, channels=channels, dtype=dtype)
    image = decode.decode(content)
    assert image.shape == (7, 9, 3) and image.dtype == tf.uint8
    raw = tf.io.decode_png(content, dtype=dtype).numpy()
    eight_bits = raw if dtype == np.uint8 else (raw >> 8).astype(np.uint8)
    color = eight_bits[..., :1] if channels < 3 else eight_bits[..., :3]
    np.testing.assert_array_equal(image, np.broadcast_to(color, (7, 9, 3)))
    if dtype == np.uint8:  # grey repeated, alpha dropped: not blended with anything
        seen = pillow(content).reshape(7, 9, channels)
        seen = seen[..., : color.shape[-1]]
        np.testing.assert_array_equal(image, np.broadcast_to(seen, (7, 9, 3)))


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}])
def test_jpeg_as_pillow_decodes_it(options):
    content = jpeg_of(smooth(31, 45), quality=95, **options)
    image = decode.decode(content)
    assert image.shape == (31, 45, 3) and image.dtype == tf.uint8
    difference = np.abs(image.numpy().astype(int) - pillow(content))
    assert difference.mean() < 2 and difference.max() < 12  # the fast inverse DCT, as in SimCLR


def test_grey_jpeg_is_repeated():
    content = jpeg_of(smooth(20, 30)[..., 0], quality=95)
    image = decode.decode(content).numpy()
    assert image.shape == (20, 30, 3)
    assert (image == image[..., :1]).all()
    assert np.abs(image[..., 0].astype(int) - pillow(content)).max() < 12


@pytest.mark.parametrize(
    "content, exact",
    [
        (jpeg_of(smooth(37, 53), subsampling=0), True),
        (jpeg(40, 33, seed=3, channels=1), True),
        (jpeg_of(smooth(37, 53), subsampling=1), False),
        (jpeg_of(smooth(37, 53), subsampling=2), False),
        (jpeg_of(smooth(37, 53), subsampling=2, progressive=True), False),
        (png(37, 29, seed=4), True),
        (png(37, 29, seed=5, channels=4), True),
        (png(16, 18, seed=6, channels=1), True),
    ],
    ids=["4:4:4", "grey", "4:2:2", "4:2:0", "progressive", "png", "rgba png", "grey png"],
)
def test_decode_crop_is_the_crop_of_the_whole(content, exact):
    whole = decode.decode(content).numpy()
    height, width = whole.shape[:2]
    rng = np.random.default_rng(0)

    @tf.function
    def crop_of(window):
        def window_of_size(size):
            tf.debugging.assert_equal(size, [height, width])
            return window

        return decode.decode_crop(tf.constant(content), window_of_size)

    windows = [(0, 0, height, width), (0, 0, 1, 1), (height - 1, width - 1, 1, 1), (3, 0, 1, width)]
    for y, x in zip(rng.integers(0, height, 30), rng.integers(0, width, 30), strict=True):
        windows.append((y, x, rng.integers(1, height - y + 1), rng.integers(1, width - x + 1)))
    for y, x, h, w in windows:
        found = crop_of(tf.constant([y, x, h, w])).numpy()
        wanted = whole[y : y + h, x : x + w]
        assert found.dtype == np.uint8 and found.shape == wanted.shape
        inner = slice(None) if exact else slice(1, -1)  # what decode_crop says of subsampled colour
        np.testing.assert_array_equal(found[:, inner], wanted[:, inner])
        assert np.abs(found.astype(int) - wanted).max() < 25
        np.testing.assert_array_equal(decode.crop(whole, tf.constant([y, x, h, w])), wanted)


@pytest.mark.parametrize(
    "height, width, side", [(40, 40, 24), (23, 57, 32), (9, 7, 32), (64, 48, 48)]
)
def test_resize_is_bicubic_without_antialiasing(height, width, side):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = decode.resize(pixels, side)
    assert image.shape == (side, side, 3) and image.dtype == tf.float32
    assert image.numpy().min() == 0 and image.numpy().max() == 1  # overshoot is clipped
    np.testing.assert_allclose(image, bicubic(pixels, side), atol=3e-3)


def test_resize_to_the_same_size_keeps_the_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_allclose(decode.resize(pixels, 16), pixels / 255, atol=1e-6)


@pytest.mark.parametrize(
    "height, width, top, left, side",
    [(64, 48, 11, 3, 42), (50, 80, 3, 18, 44), (41, 41, 3, 3, 36), (3, 9, 0, 3, 3)],
)
def test_evaluation_sees_the_central_square(height, width, top, left, side):
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    view = decode.evaluation_view(tf.io.encode_png(pixels), 40)
    assert view.shape == (40, 40, 3) and view.dtype == tf.float32
    square = pixels[top : top + side, left : left + side]
    np.testing.assert_allclose(view, bicubic(square, 40), atol=3e-3)
    # The square holds 7/8 of the shorter side and lies in the middle, to half a pixel.
    assert abs(side - 0.875 * min(height, width)) <= 0.5
    for start, length in ((top, height), (left, width)):
        assert abs(start + side / 2 - length / 2) <= 0.5


def test_evaluation_of_a_jpeg_decodes_the_same_square():
    pixels = smooth(64, 48)
    from_jpeg = decode.evaluation_view(jpeg_of(pixels, quality=100, subsampling=0), 40)
    from_png = decode.evaluation_view(tf.io.encode_png(pixels), 40)
    assert np.abs(from_jpeg - from_png).max() < 0.05
    shifted = decode.evaluation_view(tf.io.encode_png(np.roll(pixels, 2, axis=0)), 40)
    assert np.abs(shifted - from_png).max() > 0.1


def test_small_inputs_are_evaluated_whole():
    pixels = np.random.default_rng(2).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    content = tf.io.encode_png(pixels)
    np.testing.assert_allclose(decode.evaluation_view(content, 32), bicubic(pixels, 32), atol=3e-3)
    assert np.abs(decode.evaluation_view(content, 33) - bicubic(pixels, 33)).max() > 0.1
