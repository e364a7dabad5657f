"""From the bytes of an image file to the bytes that are stored.

| file                         | stored                    | longer side above max_image_side |
|------------------------------|---------------------------|----------------------------------|
| JPEG                         | as it is, byte for byte   | shrunk, JPEG                     |
| PNG of up to 8 bits          | as it is, byte for byte   | shrunk, JPEG                     |
| PNG of 16 bits, grey         | windowed, 8-bit grey PNG  | windowed, shrunk, JPEG           |
| PNG of 16 bits, colour       | windowed, 8-bit RGB PNG   | windowed, shrunk, JPEG           |
| DICOM, MONOCHROME1 and 2     | windowed, 8-bit grey PNG  | windowed, shrunk, JPEG           |
| DICOM, RGB, YBR, palette     | 8-bit RGB PNG             | shrunk, JPEG                     |
| anything else, or damaged    | `BadImage`                |                                  |

"Windowed" is `percentile_window` for PNG; for DICOM see `data_builders/dicom.py`. Only
pixels leave a file that is not stored as it is: no text, no dates, no names.

From grey to three channels there is one rule: a grey image is stored with one channel, and
its value is repeated in red, green and blue when it is decoded. An alpha channel is dropped.
"""

import dataclasses
import hashlib
import typing

import numpy as np
import tensorflow as tf

# Percentiles of all pixels that become black and white. The half per cent at either end is what
# burnt-in letters, collimator edges and dead pixels take; an X-ray's own greys lie between.
WINDOW_PERCENTILES = (0.5, 99.5)
# zlib's level: against its default of 6, a radiograph is a tenth larger and written six times as
# fast, and reading costs the same.
PNG_COMPRESSION = 3

DAMAGED = "the image is damaged or cut short"
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# A DICOM data set without preamble begins with its first element, which is of group 2 or 8.
_DICOM_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")


class BadImage(ValueError):
    """The file cannot be stored. One clause that says why, without the name of the file."""


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """What images may be, and what becomes of them.

    Attributes:
      max_pixels: an image of more pixels (height x width) is refused before it is decoded.
      max_image_side: an image with a longer side is shrunk to it, in pixels; 0 keeps all sizes.
      jpeg_quality: of the images that are shrunk, 1 to 100.
    """

    max_pixels: int = 100_000_000
    max_image_side: int = 0
    jpeg_quality: int = 95


class StoredImage(typing.NamedTuple):
    """An image as it is stored.

    Attributes:
      content: bytes of a JPEG or of a PNG of up to 8 bits, no side longer than
        `ImageOptions.max_image_side` if there is such a limit.
      pixel_hash: of the picture before it is shrunk, signed 64 bits; the same for the same
        pixels in any container.
    """

    content: bytes
    pixel_hash: int


def image_size(content: bytes):
    """(height, width) in the header of a JPEG or PNG; None for anything else."""
    if content[:8] == _PNG and len(content) >= 24:
        return int.from_bytes(content[20:24], "big"), int.from_bytes(content[16:20], "big")
    if content[:3] == _JPEG:
        try:
            height, width, _ = tf.image.extract_jpeg_shape(content).numpy()
        except tf.errors.InvalidArgumentError:
            return None
        return int(height), int(width)
    return None


def check_pixels(height: int, width: int, max_pixels: int):
    """Raises BadImage if height x width is more than max_pixels."""
    if height * width > max_pixels:
        raise BadImage(f"{width} x {height} pixels are more than --max_pixels={max_pixels}")


def stored_image(content: bytes, options: ImageOptions) -> StoredImage:
    """Checks an image file and turns it into what is stored; see the table above.

    Every image is decoded whole, so that a damaged one is found now and not in the
    middle of a training. May be called by many threads: the work is done outside Python.

    Args:
      content: all bytes of a JPEG, PNG or DICOM file.
      options: limits and sizes.

    Returns:
      A `StoredImage`.

    Raises:
      BadImage: the file is empty, none of these formats, damaged, too large, or a DICOM
        file that holds no single picture or needs a decoder that is not installed.
    """
    if not content:
        raise BadImage("the file is empty")
    with tf.device("CPU"):
        pixels, kept = _decode(content, options.max_pixels)
        if 0 < options.max_image_side < max(pixels.shape[:2]):
            stored = _shrunk(pixels, options.max_image_side, options.jpeg_quality)
        else:
            stored = content if kept else _as_png(pixels)
    return StoredImage(stored, _pixel_hash(pixels))


def percentile_window(pixels):
    """The window of an image that states none.

    Files with 16 bits a pixel seldom use them: those of PadChest hold 10 to 12 bits, and
    so taking the high byte, as image decoders do, would show them black.

    Args:
      pixels: array of any shape; all channels share one window.

    Returns:
      (low, high): the percentiles `WINDOW_PERCENTILES` of all pixels; the extremes where
      these are equal because nearly all pixels are.
    """
    low, high = np.percentile(pixels, WINDOW_PERCENTILES)
    return (low, high) if low < high else (np.min(pixels), np.max(pixels))


def to_8_bits(values, low, high):
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


def _decode(content, max_pixels):
    """([h, w, 1 or 3] uint8 pixels, whether these bytes may be stored as they are)."""
    size = image_size(content)
    if size is None:
        return _decode_dicom(content, max_pixels), False
    check_pixels(*size, max_pixels)
    try:
        if content[:8] == _PNG and content[24:25] == b"\x10":  # bits per channel
            return _decode_16_bits(content), False
        pixels = tf.io.decode_image(content, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError:
        raise BadImage(DAMAGED) from None
    return np.asarray(pixels), True


def _decode_16_bits(content):
    grey = content[25] in (0, 4)  # colour type of the PNG: grey, grey with alpha
    pixels = np.asarray(tf.io.decode_png(content, channels=1 if grey else 3, dtype=tf.uint16))
    return to_8_bits(np.arange(2**16), *percentile_window(pixels))[pixels]


def _decode_dicom(content, max_pixels):
    if content[128:132] != b"DICM" and content[:2] not in _DICOM_GROUPS:
        raise BadImage("not a JPEG, PNG or DICOM image")
    try:  # only here: pydicom is an extra, and takes a while to import
        from data_builders.dicom import dicom_pixels
    except ImportError as error:
        raise BadImage(f"a DICOM file needs {error.name}: pip install '.[dicom]'") from None
    pixels = dicom_pixels(content, max_pixels)
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _pixel_hash(pixels):
    """The first 8 bytes of BLAKE2b of height, width and RGB pixels, as a signed integer.

    Hashing RGB makes grey pictures the same in one and in three channels.
    """
    height, width, channels = pixels.shape
    if channels == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    digest = hashlib.blake2b(f"{height} x {width}".encode(), digest_size=8)
    digest.update(np.ascontiguousarray(pixels))
    return int.from_bytes(digest.digest(), "big", signed=True)


def _as_png(pixels):
    return tf.io.encode_png(pixels, compression=PNG_COMPRESSION).numpy()


def _shrunk(pixels, side, quality):
    """A JPEG of the picture with its longer side made `side`, one channel if it is grey."""
    if (pixels == pixels[..., :1]).all():  # also where a grey X-ray is stored as RGB
        pixels = pixels[..., :1]
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    shrunk = tf.image.resize(pixels, size, method="lanczos3", antialias=True)
    shrunk = tf.cast(tf.clip_by_value(tf.round(shrunk), 0, 255), tf.uint8)
    return tf.io.encode_jpeg(shrunk, quality=quality, chroma_downsampling=False).numpy()
