import numpy as np
import pytest

from data_builders.reading import pixels
from data_builders.reading.pixels import BadImage


@pytest.mark.parametrize("seed", range(8))
def test_windows_are_numpys_percentiles(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, rng.integers(3, 5000), rng.integers(2, 900))
    levels = np.arange(values.max() + 2)
    low, high = np.percentile(values, pixels.WINDOW_PERCENTILES)
    expected = (low, high) if low < high else (values.min(), values.max())
    assert pixels.percentile_window(levels, np.bincount(values, minlength=len(levels))) == expected


def test_a_window_of_pictures_that_are_nearly_all_alike():
    levels, counts = np.array([10, 500, 900]), np.array([1, 10_000, 1])
    assert pixels.percentile_window(levels, counts) == (10, 900)
    assert pixels.percentile_window(np.array([7]), np.array([3])) == (7, 7)


def test_counts_are_numpys_however_many_at_once(monkeypatch):
    values = np.random.default_rng(0).integers(0, 50, (37, 11)).astype(np.int16)
    monkeypatch.setattr(pixels, "PIXELS_AT_ONCE", 100)
    expected = np.bincount(values.ravel(), minlength=60)
    np.testing.assert_array_equal(pixels.counts_of(values, 60), expected)
    shifted = pixels.counts_of(values - 5, 60, lambda part: part + 5)
    np.testing.assert_array_equal(shifted, expected)


def test_eight_bits_are_linear_between_the_ends():
    values = np.array([[-5, 0, 40, 150, 200, 300]])
    found = pixels.to_8_bits(values, 0, 200)
    assert found.dtype == np.uint8 and found.tolist() == [[0, 0, 51, 191, 255, 255]]
    assert pixels.to_8_bits(values, 100, 100).tolist() == [[0, 0, 0, 255, 255, 255]]


def test_limits_are_included():
    pixels.check_pixels(3, 4, 12)
    pixels.check_bytes(12, 12)
    with pytest.raises(BadImage, match=r"^4 x 3 pixels are more than --max_pixels=11$"):
        pixels.check_pixels(3, 4, 11)
    with pytest.raises(BadImage, match=r"^13 bytes are more than --max_image_bytes=12$"):
        pixels.check_bytes(13, 12)
