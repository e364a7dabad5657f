"""Each operation against scipy, matplotlib or a formula in numpy, and the laws of what is drawn."""

import dataclasses
import importlib.util
import itertools
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from matplotlib import colors
from scipy import ndimage, stats

from micle_tf.config import Augmentation as Flags
from micle_tf.data import augment, decode
from micle_tf.data.augment import Augmentation
from tests.pictures import jpeg, png

ROOT = pathlib.Path(__file__).parents[2]
LUMINANCE = [0.2989, 0.5870, 0.1140]


def draws_of(options, views=10_000, seed=0, step=0):
    """{name: [views, ...]} out of one batch."""
    drawn = augment.draw_views(seed, tf.constant(step, tf.int64), views // 2, options)
    return {name: value.numpy().reshape(views, *value.shape[2:]) for name, value in drawn.items()}


def one(draws, view):
    return {name: tf.constant(value[view]) for name, value in draws.items()}


def picture(height, width, seed=0):
    """Float32 noise in [0, 1] that has a hue everywhere, and a part of grey, black and white."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0, 1, (height, width, 3)).astype("float32")
    pixels[0] = np.linspace(0, 1, width, dtype="float32")[:, None]
    return pixels


# ---------------------------------------------------------------- operations


def adjust(name, image, amount):
    """The four changes of colour in numpy, after their definitions in SimCLR's terms."""
    if name == "brightness":
        return (image * amount).clip(0, 1)
    if name == "contrast":
        mean = image.mean(axis=(0, 1))
        return (mean + amount * (image - mean)).clip(0, 1)
    hsv = colors.rgb_to_hsv(image)
    if name == "saturation":
        hsv[..., 1] = (hsv[..., 1] * amount).clip(0, 1)
    else:
        hsv[..., 0] = (hsv[..., 0] + amount) % 1
    return colors.hsv_to_rgb(hsv)


NEUTRAL = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
CHANGES = tuple(NEUTRAL)


@pytest.mark.parametrize(
    "name, amount",
    [*itertools.product(CHANGES[:3], (0.0, 0.2, 1.0, 1.8)), ("hue", -0.2), ("hue", 0.1)],
)
def test_one_change_of_color(name, amount):
    image = picture(20, 30)
    draws = NEUTRAL | {name: amount, "order": tf.range(4)}
    changed = augment.jitter_color(image, draws)
    np.testing.assert_allclose(changed, adjust(name, image, amount), atol=2e-6)


def test_changes_of_color_take_the_drawn_order():
    image = picture(16, 16, seed=1)
    amount = {"brightness": 1.4, "contrast": 0.6, "saturation": 1.5, "hue": 0.15}
    results = []
    for order in itertools.permutations(range(4)):
        expected = image
        for which in order:
            expected = adjust(CHANGES[which], expected, amount[CHANGES[which]])
        changed = augment.jitter_color(image, amount | {"order": tf.constant(order)})
        np.testing.assert_allclose(changed, expected, atol=5e-6)
        results.append(expected)
    differences = [np.abs(a - b).max() for a, b in itertools.combinations(results, 2)]
    assert np.mean(np.array(differences) > 1e-3) > 0.9  # so that the order is what was compared


def test_to_gray():
    image = picture(9, 13)
    gray = augment.to_gray(image)
    np.testing.assert_allclose(gray, np.repeat((image @ LUMINANCE)[..., None], 3, -1), atol=1e-6)


@pytest.mark.parametrize("size, taps", [(224, 23), (96, 9), (64, 7), (32, 3), (20, 3), (19, 1)])
def test_the_kernel_is_a_tenth_of_the_image(size, taps):
    radius = augment.blur_radius(size)
    sigma = np.array([[0.1, 0.5], [1.0, 2.0]], "float32")
    kernel = augment.gaussian_kernel(tf.constant(sigma), radius)
    assert kernel.shape == (2, 2, taps)
    at = np.arange(taps) - taps // 2
    weights = np.exp(-(at**2) / (2 * sigma[..., None].astype("float64") ** 2))
    np.testing.assert_allclose(kernel, weights / weights.sum(-1, keepdims=True), atol=1e-7)


@pytest.mark.parametrize("size", [12, 32, 33, 70, 224])
@pytest.mark.parametrize("sigma", [0.1, 0.8, 2.0])
def test_blur_reflects_the_border(size, sigma):
    image = picture(size, size)
    radius = max(augment.blur_radius(size), 2)
    blurred = augment.blur(image, augment.gaussian_kernel(tf.constant(sigma), radius))
    expected = ndimage.gaussian_filter(image, sigma, radius=radius, mode="mirror", axes=(0, 1))
    np.testing.assert_allclose(blurred, expected, atol=2e-6)


def test_blur_as_wide_as_the_image():
    image = picture(5, 5)
    blurred = augment.blur(image, augment.gaussian_kernel(tf.constant(3.0), 4))
    expected = ndimage.gaussian_filter(image, 3.0, radius=4, mode="mirror", axes=(0, 1))
    np.testing.assert_allclose(blurred, expected, atol=2e-6)


def rotated(image, degrees):
    """Counter-clockwise about the centre by scipy; bilinear, zero outside."""
    angle = math.radians(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    center = (np.array(image.shape[:2]) - 1) / 2
    turn = lambda plane: ndimage.affine_transform(
        plane, matrix, center - matrix @ center, order=1, mode="grid-constant"
    )
    return np.stack([turn(image[..., channel]) for channel in range(3)], axis=-1)


@pytest.mark.parametrize("degrees", [0, 13, -45, 90, 180])
@pytest.mark.parametrize("shape", [(20, 20), (15, 28)])
def test_rotation(degrees, shape):
    image = picture(*shape)
    expected = rotated(image, degrees)
    angle = tf.constant(math.radians(degrees))
    for y, x, h, w in ((0, 0, *shape), (3, 5, 7, 10), (14, 19, 1, 1)):
        found = augment.rotate(image, angle, tf.constant([y, x, h, w]))
        np.testing.assert_allclose(found, expected[y : y + h, x : x + w], atol=1e-4)
    if degrees == 90 and shape == (20, 20):
        np.testing.assert_allclose(expected, np.rot90(image), atol=1e-6)  # counter-clockwise


ADDONS = """
import sys, numpy as np, tensorflow as tf, tensorflow_addons as tfa
image, angle, sigma = tf.random.stateless_uniform([64, 48, 3], [1, 2]), 0.4, 1.3
np.savez(
    sys.argv[1], image=image, rotated=tfa.image.rotate(image, angle, "bilinear"),
    blurred=tfa.image.gaussian_filter2d(image[:48], (7, 7), sigma, "REFLECT"),
)
"""


@pytest.mark.slow
def test_rotation_and_blur_as_tensorflow_addons(tmp_path):
    if importlib.util.find_spec("tensorflow_addons") is None:
        pytest.skip("tensorflow_addons is not installed")
    # In a process of its own: it brings a second Keras.
    command = [sys.executable, "-c", ADDONS, str(tmp_path / "addons.npz")]
    subprocess.run(command, capture_output=True, check=True)
    theirs = np.load(tmp_path / "addons.npz")
    image = theirs["image"]
    ours = augment.rotate(image, tf.constant(0.4), tf.constant([0, 0, 64, 48]))
    np.testing.assert_allclose(ours, theirs["rotated"], atol=1e-4)
    ours = augment.blur(image[:48], augment.gaussian_kernel(tf.constant(1.3), 3))
    np.testing.assert_allclose(ours, theirs["blurred"], atol=2e-6)


# ---------------------------------------------------------------- laws


def assert_uniform(values, low, high):
    assert low <= values.min() and values.max() <= high
    assert 1e-3 < stats.kstest(values, "uniform", (low, high - low)).pvalue < 0.999


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_laws_of_the_draws(strength):
    draws = draws_of(Augmentation(color_jitter_strength=strength, rotation_degrees=45.0))
    for name in ("brightness", "contrast", "saturation"):
        assert_uniform(draws[name], 1 - 0.8 * strength, 1 + 0.8 * strength)
    assert_uniform(draws["hue"], -0.2 * strength, 0.2 * strength)
    assert_uniform(draws["angle"], -math.pi / 4, math.pi / 4)
    # A normalised kernel tells its sigma: the second tap's share of the middle one.
    middle = draws["kernel"].shape[-1] // 2
    share = draws["kernel"][:, middle + 1] / draws["kernel"][:, middle]
    sigma = np.sqrt(-1 / (2 * np.log(np.maximum(share.astype("float64"), 1e-30))))
    assert_uniform(sigma[sigma > 0.2], 0.2, 2.0)
    assert stats.binomtest(int((sigma <= 0.2).sum()), len(sigma), 0.1 / 1.9).pvalue > 1e-3
    for name, probability in {"flip": 0.5, "jitter": 0.8, "gray": 0.2, "blur": 0.5}.items():
        assert stats.binomtest(int(draws[name].sum()), 10_000, probability).pvalue > 1e-3
    number = {order: i for i, order in enumerate(itertools.permutations(range(4)))}
    counts = np.bincount([number[tuple(order)] for order in draws["order"]], minlength=24)
    assert 1e-3 < stats.chisquare(counts).pvalue < 0.999


def test_draws_are_independent():
    draws = draws_of(Augmentation(rotation_degrees=10.0, vertical_flip=True))
    names = ("angle", "flip", "vertical_flip", "jitter", "gray", "blur", *CHANGES)
    columns = [draws[name] for name in names]
    columns += [draws["order"][:, 0], draws["kernel"].max(axis=-1)]
    columns += [np.roll(column, 1) for column in columns]  # the other view of the pair, or the next
    correlation = np.corrcoef(np.stack(columns).astype("float64")) - np.eye(len(columns))
    assert np.abs(correlation).max() < 4.5 / 100
    assert len(np.unique(draws["crop"], axis=0)) == 10_000


def test_flips_of_both_kinds_are_independent():
    draws = draws_of(Augmentation(vertical_flip=True))
    counts = np.bincount(2 * draws["flip"] + draws["vertical_flip"], minlength=4)
    assert 1e-3 < stats.chisquare(counts).pvalue < 0.999
    alone = draws_of(Augmentation(vertical_flip=True, random_flip=False))
    np.testing.assert_array_equal(alone["vertical_flip"], draws["vertical_flip"])
    assert not alone["flip"].any()
    assert not draws_of(Augmentation())["vertical_flip"].any()


def test_views_of_one_and_of_two():
    options, step = Augmentation(vertical_flip=True), tf.constant(2, tf.int64)
    pairs = augment.draw_views(0, step, 6, options)
    single = augment.draw_views(0, step, 6, options, views=1)
    assert single.keys() == pairs.keys()
    for name, value in single.items():
        assert value.shape == (6, 1, *pairs[name].shape[2:]) and value.dtype == pairs[name].dtype


def test_brightness_is_never_negative():
    draws = draws_of(Augmentation(color_jitter_strength=1.25))
    for name in ("brightness", "contrast", "saturation"):
        assert_uniform(draws[name], 0.0, 2.0)


def test_draws_are_a_function_of_seed_and_step():
    options = Augmentation()
    first = draws_of(options, 200, seed=3, step=5)
    for name, value in draws_of(options, 200, seed=3, step=5).items():
        np.testing.assert_array_equal(value, first[name])
    for seed, step in ((4, 5), (3, 6)):
        other = draws_of(options, 200, seed=seed, step=step)
        assert (other["crop"] != first["crop"]).all()
        assert (other["brightness"] != first["brightness"]).mean() > 0.99
        assert 0.3 < (other["flip"] != first["flip"]).mean() < 0.7


@pytest.mark.parametrize(
    "off, names",
    [
        ({"color_jitter_strength": 0.0}, ["jitter", "gray"]),
        ({"use_blur": False}, ["blur"]),
        ({"random_flip": False}, ["flip"]),
        ({"vertical_flip": False}, ["vertical_flip"]),
        ({"rotation_degrees": 0.0}, ["angle"]),
    ],
)
def test_switching_off(off, names):
    everything = Augmentation(rotation_degrees=30.0, vertical_flip=True)
    draws = draws_of(everything, 400)
    fewer = draws_of(dataclasses.replace(everything, **off), 400)
    for name, value in draws.items():
        if name in names:
            assert value.any() and not fewer[name].any()
        elif not (off.get("color_jitter_strength") == 0 and name in CHANGES):
            np.testing.assert_array_equal(value, fewer[name])  # the rest is drawn as before


def simclr_crops(rng, number, height, width, area_min):
    """(height, aspect ratio) by the law that `crop_window` states, without rounding to pixels."""
    aspect = rng.uniform(3 / 4, 4 / 3, number)
    low = np.sqrt(area_min * height * width / aspect)
    high = np.minimum(np.minimum(np.sqrt(height * width / aspect), width / aspect), height)
    return rng.uniform(low, high), aspect


@pytest.mark.parametrize(
    "height, width, area_min", [(384, 512, 0.08), (600, 450, 0.08), (300, 300, 0.5)]
)
def test_law_of_the_crop(height, width, area_min):
    seeds = tf.random.stateless_uniform([4000, 2], [1, 2], minval=None, maxval=None, dtype=tf.int64)
    size = tf.constant([height, width])
    crops = tf.data.Dataset.from_tensor_slices(seeds)
    crops = crops.map(lambda seed: augment.crop_window(size, seed, area_min))
    y, x, h, w = next(iter(crops.batch(4000))).numpy().T.astype("float64")
    assert y.min() >= 0 and x.min() >= 0 and (y + h).max() <= height and (x + w).max() <= width
    area = h * w / (height * width)
    assert area_min - 0.005 < area.min() < area_min + 0.03 and 0.95 < area.max() <= 1
    tall, aspect = simclr_crops(np.random.default_rng(0), 4000, height, width, area_min)
    # To the pixel that both are rounded to.
    assert stats.ks_2samp(h + np.random.default_rng(1).uniform(-0.5, 0.5, 4000), tall).pvalue > 1e-3
    assert_uniform((w / h)[h > 150].clip(3 / 4, 4 / 3), 3 / 4, 4 / 3)
    expected = tall**2 * aspect / (height * width)
    assert abs(area.mean() - expected.mean()) < 4 * ((area.var() + expected.var()) / 4000) ** 0.5
    for place, extent, side in ((y, h, height), (x, w, width)):
        free = side - extent
        share = (place + np.random.default_rng(2).uniform(0, 1, 4000)) / np.maximum(free, 1)
        assert stats.kstest(share[free > 50], "uniform").pvalue > 1e-3


def test_a_crop_that_cannot_be_is_the_whole_image():
    window = augment.crop_window(tf.constant([4, 400]), tf.constant([1, 2], tf.int64), 0.08)
    assert window.numpy().tolist() == [0, 0, 4, 400]


# ---------------------------------------------------------------- views


def expected_view(pixels, draws, options):
    """A view by numpy and scipy, from its draws and the window that was drawn."""
    pixels = pixels.astype("float32")
    size = tf.constant(pixels.shape[:2])
    y, x, h, w = augment.crop_window(size, draws["crop"], options.crop_area_min).numpy()
    if options.rotation_degrees:
        pixels = rotated(pixels, math.degrees(draws["angle"]))
    view = decode.resize(pixels[y : y + h, x : x + w], options.size).numpy()
    if draws["flip"]:
        view = view[:, ::-1]
    if draws["vertical_flip"]:
        view = view[::-1]
    if draws["jitter"]:
        for which in draws["order"].numpy():
            view = adjust(CHANGES[which], view, float(draws[CHANGES[which]]))
    if draws["gray"]:
        view = np.repeat((view @ LUMINANCE)[..., None], 3, -1)
    if draws["blur"]:
        for axis in (0, 1):
            view = ndimage.correlate1d(view, draws["kernel"].numpy(), axis, mode="mirror")
    return view


@pytest.mark.parametrize("degrees", [0.0, 45.0])
def test_a_view_is_made_of_the_operations_in_order(degrees):
    options = Augmentation(size=40, rotation_degrees=degrees, vertical_flip=True)
    draws = draws_of(options, 32)
    for name in ("flip", "vertical_flip", "jitter", "gray", "blur"):
        assert 0 < draws[name].sum() < 32
    content = png(50, 70, seed=1)
    pixels = decode.decode(content)
    of_content = tf.function(lambda draws: augment.augmented_view(content, draws, options))
    of_pixels = tf.function(lambda draws: augment.augmented_image(pixels, draws, options))
    for view in range(32):
        drawn = one(draws, view)
        found = of_content(drawn)
        assert found.shape == (40, 40, 3) and found.dtype == tf.float32
        np.testing.assert_array_equal(found, of_pixels(drawn))
        np.testing.assert_allclose(found, expected_view(pixels.numpy(), drawn, options), atol=2e-4)


def test_a_view_of_a_jpeg_decodes_the_same_crop():
    options = Augmentation(size=32, color_jitter_strength=0.0)
    draws, content = draws_of(options, 20), jpeg(60, 45, seed=2, channels=1)
    for view in range(20):
        of_crop = augment.augmented_view(content, one(draws, view), options)
        of_whole = augment.augmented_image(decode.decode(content), one(draws, view), options)
        np.testing.assert_array_equal(of_crop, of_whole)


@pytest.mark.parametrize("content", [jpeg(48, 48), png(20, 90, seed=1, channels=4)])
def test_values_stay_in_range_whatever_is_drawn(content):
    options = Augmentation(size=32, color_jitter_strength=1.25, rotation_degrees=180.0)
    make = tf.function(lambda draws: augment.augmented_view(content, draws, options))
    draws = draws_of(options, 100)
    views = np.stack([make(one(draws, view)) for view in range(100)])
    assert views.min() >= 0 and views.max() <= 1 and np.isfinite(views).all()
    assert views.std(axis=(1, 2, 3)).min() < 0.05 < views.std(axis=(1, 2, 3)).max()


def test_white_stays_white_under_blur_and_at_the_border():
    options = Augmentation(size=64, color_jitter_strength=0.0)
    white = tf.fill([80, 80, 3], tf.constant(255, tf.uint8))
    draws = draws_of(options, 40)
    make = tf.function(lambda draws: augment.augmented_image(white, draws, options))
    views = np.stack([make(one(draws, view)) for view in range(40)])
    assert draws["blur"].any() and views.max() <= 1
    np.testing.assert_allclose(views, 1, atol=1e-6)


def test_same_draws_same_view_and_other_draws_another():
    options, content = Augmentation(size=32), jpeg(48, 48)
    first, second = draws_of(options, 40, step=0), draws_of(options, 40, step=1)
    make = tf.function(lambda draws: augment.augmented_view(content, draws, options))
    views = np.stack([make(one(draws, view)) for draws in (first, second) for view in range(40)])
    np.testing.assert_array_equal(views[7], make(one(first, 7)))
    apart = np.abs(views[:, None] - views[None]).max(axis=(2, 3, 4)) + np.eye(80)
    assert apart.min() > 1e-3


def test_what_the_flags_ask_for():
    given = {
        "crop_area_min": 0.2, "color_jitter_strength": 0.5, "use_blur": False,
        "rotation_degrees": 45.0, "random_flip": False, "vertical_flip": True,
    }  # fmt: skip
    assert Augmentation.of(Flags(**given), 64) == Augmentation(size=64, **given)
    assert Augmentation.of(Flags(), 224) == Augmentation()
