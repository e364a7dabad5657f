"""Pixels of more than 8 bits in a window of 256 greys, and the limits that every format keeps."""

from collections.abc import Callable

import numpy as np

# Percentiles of all pixels that become black and white. The half per cent at either end is what
# burnt-in letters, collimator edges and dead pixels take; an X-ray's own greys lie between.
WINDOW_PERCENTILES = (0.5, 99.5)

# Pixels of more than 8 bits that are worked on at once, for each of which that takes 16 bytes.
PIXELS_AT_ONCE = 1 << 20

DAMAGED = "the image is damaged or cut short"


class BadImage(ValueError):
    """The file cannot be stored. One clause that says why, without the name of the file."""


def check_pixels(height: int, width: int, max_pixels: int) -> None:
    """Raises BadImage if height x width is more than max_pixels."""
    if height * width > max_pixels:
        raise BadImage(f"{width} x {height} pixels are more than --max_pixels={max_pixels}")


def check_bytes(size: int, max_image_bytes: int) -> None:
    """Raises BadImage if a file of `size` bytes is larger than max_image_bytes."""
    if size > max_image_bytes:
        raise BadImage(f"{size} bytes are more than --max_image_bytes={max_image_bytes}")


def percentile_window(levels: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """The window of an image that states none.

    Files with 16 bits a pixel seldom use them: those of PadChest hold 10 to 12 bits, and
    so taking the high byte, as image decoders do, would show them black.

    Args:
      levels: [n] numbers, ascending: the values that occur; all channels share one window.
      counts: [n] integers, how often each occurs; at least one is above 0.

    Returns:
      (low, high): the percentiles `WINDOW_PERCENTILES` of the values, as `numpy.percentile`
      interpolates them, but without a copy of all values; the extremes where these are equal
      because nearly all values are.
    """
    levels, counts = levels[counts > 0], counts[counts > 0]
    end = np.cumsum(counts)
    low, high = (_percentile(levels, end, q) for q in WINDOW_PERCENTILES)
    return (low, high) if low < high else (levels[0], levels[-1])


def _percentile(levels: np.ndarray, end: np.ndarray, q: float) -> float:
    """numpy's rule "linear", bit for bit; value i has the first level whose end is above i."""
    place = (end[-1] - 1) * (q / 100)
    first = int(place)
    lower, upper = (
        levels[np.searchsorted(end, min(i, end[-1] - 1), side="right")].astype(np.float64)
        for i in (first, first + 1)
    )
    share = place - first
    if share < 0.5:
        return lower + (upper - lower) * share
    return upper - (upper - lower) * (1 - share)


def counts_of(
    values: np.ndarray,
    size: int,
    place: Callable[[np.ndarray], np.ndarray] = lambda values: values,
) -> np.ndarray:
    """How often each of 0 ... size - 1 occurs, as `numpy.bincount`, in little memory.

    `place` makes these numbers of some of the values at a time.
    """
    counts, values = np.zeros(size, np.int64), values.reshape(-1)
    for start in range(0, len(values), PIXELS_AT_ONCE):
        counts += np.bincount(place(values[start : start + PIXELS_AT_ONCE]), minlength=size)
    return counts


def to_8_bits(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Maps values linearly to 0 ... 255, from `low` and below to `high` and above.

    Args:
      values: array of numbers.
      low, high: the window. If high <= low, what is above `low` is 255 and the rest 0.

    Returns:
      uint8 array of the same shape.
    """
    if high <= low:
        return np.where(values > low, 255, 0).astype(np.uint8)
    return np.rint(np.interp(values, (low, high), (0, 255))).astype(np.uint8)
