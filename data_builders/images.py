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

"Windowed" is `percentile_window` for PNG; for DICOM see `data_builders/reading/dicom.py`. Only
pixels leave a file that is not stored as it is: no text, no dates, no names.

A photo whose EXIF says that it is to be turned is stored as it is too, but for a mark at a fixed
place that says how (`data_builders/reading/upright.py`); what is made anew is made upright.

From grey to three channels there is one rule: a grey image is stored with one channel, and
its value is repeated in red, green and blue when it is decoded. An alpha channel is dropped.
"""

import dataclasses
import hashlib
import typing

import numpy as np
import tensorflow as tf

from data_builders.reading import exif, jpeg, png, upright
from data_builders.reading.pixels import (
    DAMAGED,
    BadImage,
    check_bytes,
    check_pixels,
    counts_of,
    percentile_window,
    to_8_bits,
)

# zlib's level: against its default of 6, a radiograph is a tenth larger and written six times as
# fast, and reading costs the same.
PNG_COMPRESSION = 3

# A DICOM data set without preamble begins with its first element, which is of group 2 or 8.
DICOM_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """What images may be, and what becomes of them.

    Attributes:
      max_pixels: an image of more pixels (height x width) is refused before it is decoded.
      max_image_side: an image with a longer side is shrunk to it, in pixels; 0 keeps all sizes.
      jpeg_quality: of the images that are shrunk, 1 to 100.
      max_image_bytes: a larger file is refused before it is read.
      strip_metadata: what is stored as it is loses what is neither picture nor colour: EXIF but
        the orientation, positions, XMP, comments, texts.
    """

    max_pixels: int = 100_000_000
    max_image_side: int = 0
    jpeg_quality: int = 95
    max_image_bytes: int = 1 << 28
    strip_metadata: bool = False

    def key(self):
        """What prepared data is named after. Fields that came later count where they are not
        at their default, so that no name changed when they came."""
        values = dataclasses.asdict(self)
        first = tuple(values.pop(name) for name in ("max_pixels", "max_image_side", "jpeg_quality"))
        usual = dataclasses.asdict(type(self)())
        later = {name: value for name, value in values.items() if value != usual[name]}
        return f"{first} {later}" if later else f"{first}"


class StoredImage(typing.NamedTuple):
    """An image as it is stored.

    Attributes:
      content: bytes of a JPEG or of a PNG of up to 8 bits, no side longer than
        `ImageOptions.max_image_side` if there is such a limit.
      pixel_hash: of the upright picture before it is shrunk, signed 64 bits; the same for the
        same pixels in any container.
      turned: whether the file's EXIF says that rows and columns are not as one sees them.
      has_position: whether `content` still says where the photo was taken.
    """

    content: bytes
    pixel_hash: int
    turned: bool = False
    has_position: bool = False


def image_size(content: bytes) -> tuple[int, int] | None:
    """(height, width) in the header of a JPEG or PNG, as stored; None for anything else."""
    if png.is_png(content) and len(content) >= 24:
        return int.from_bytes(content[20:24], "big"), int.from_bytes(content[16:20], "big")
    if jpeg.is_jpeg(content):
        frame = jpeg.frame_of(content, jpeg.parts(content))
        return (frame.height, frame.width) if frame else None
    return None


def orientation(content: bytes):
    """How a JPEG or PNG is to be turned by its EXIF: 1 (not at all) to 8; 1 for anything else.

    The first bytes will do, as long as the header is in them (see `header_is_whole`).
    """
    if jpeg.is_jpeg(content):
        return exif.orientation(jpeg.exif_block(content, jpeg.parts(content)))
    if png.is_png(content):
        return exif.orientation(png.exif_block(content, png.chunks(content)))
    return 1


def header_is_whole(content: bytes):
    """Whether the first bytes of a JPEG or PNG reach to its compressed data."""
    if jpeg.is_jpeg(content):
        return any(part.marker == jpeg.SOS for part in jpeg.parts(content))
    if png.is_png(content):
        return png.reaches_pixels(content)
    return True


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
    check_bytes(len(content), options.max_image_bytes)
    with tf.device("CPU"):
        if jpeg.is_jpeg(content):
            return _stored(*_read_jpeg(content, options), options)
        if png.is_png(content):
            return _stored(*_read_png(content, options), options)
        return _stored(_read_dicom(content, options), None, 1, False, options)


def _stored(pixels, content, turned, has_position, options):
    """`StoredImage` of upright pixels; `content` is what may be stored, None if nothing may."""
    if 0 < options.max_image_side < max(pixels.shape[:2]):
        content = _shrunk(pixels, options.max_image_side, options.jpeg_quality)
        has_position = False
    elif content is None:
        content, has_position = _as_png(pixels), False
    return StoredImage(content, _pixel_hash(pixels), turned != 1, has_position)


def _read_jpeg(content: bytes, options: ImageOptions) -> tuple[np.ndarray, bytes | None, int, bool]:
    """(upright [h, w, 3] uint8, bytes that may be stored, orientation, whether these bytes say
    where the photo was taken)."""
    segments = list(jpeg.parts(content))
    reason = jpeg.unreadable(content, segments)
    if reason:
        raise BadImage(reason)
    frame = jpeg.frame_of(content, segments)
    check_pixels(frame.height, frame.width, options.max_pixels)
    pixels = _decode(content)
    if jpeg.is_damaged(content, segments):
        raise BadImage(DAMAGED)
    turned = exif.orientation(jpeg.exif_block(content, segments))
    kept = jpeg.stripped(content, segments, turned) if options.strip_metadata else content
    has_position = not options.strip_metadata and jpeg.has_position(content, segments)
    return upright.turn(pixels, turned), upright.marked(kept, turned), turned, has_position


def _read_png(content: bytes, options: ImageOptions) -> tuple[np.ndarray, bytes | None, int, bool]:
    """As `_read_jpeg`; nothing may be stored as it is of a PNG with 16 bits."""
    size = image_size(content)
    if size is None:
        raise BadImage(DAMAGED)
    check_pixels(*size, options.max_pixels)
    deep = png.has_16_bits(content)
    pixels = _decode_16_bits(content) if deep else _decode(content)
    chunks = list(png.chunks(content))
    turned = exif.orientation(png.exif_block(content, chunks))
    pixels = upright.turn(pixels, turned)
    if deep:
        return pixels, None, turned, False
    kept = png.stripped(content, chunks, turned) if options.strip_metadata else content
    has_position = not options.strip_metadata and png.has_position(content, chunks)
    return pixels, upright.marked(kept, turned), turned, has_position


def _decode(content):
    try:
        return tf.io.decode_image(content, channels=3, expand_animations=False).numpy()
    except tf.errors.InvalidArgumentError:
        raise BadImage(DAMAGED) from None


def _decode_16_bits(content):
    grey = content[25] in (0, 4)  # colour type of the PNG: grey, grey with alpha
    try:
        pixels = tf.io.decode_png(content, channels=1 if grey else 3, dtype=tf.uint16).numpy()
    except tf.errors.InvalidArgumentError:
        raise BadImage(DAMAGED) from None
    levels = np.arange(2**16)
    return to_8_bits(levels, *percentile_window(levels, counts_of(pixels, 2**16)))[pixels]


def _read_dicom(content, options):
    """[h, w, 1 or 3] uint8 pixels."""
    if content[128:132] != b"DICM" and content[:2] not in DICOM_GROUPS:
        raise BadImage("not a JPEG, PNG or DICOM image")
    try:  # only here: pydicom is an extra, and takes a while to import
        from data_builders.reading.dicom import dicom_pixels
    except ImportError as error:
        raise BadImage(f"a DICOM file needs {error.name}: pip install '.[dicom]'") from None
    pixels = dicom_pixels(content, options.max_pixels)
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
    # A channel at a time: the floats of all three would be twelve bytes for each pixel.
    shrunk = [
        tf.image.resize(pixels[..., k : k + 1], size, method="lanczos3", antialias=True)
        for k in range(pixels.shape[2])
    ]
    shrunk = tf.concat(shrunk, axis=2)
    shrunk = tf.cast(tf.clip_by_value(tf.round(shrunk), 0, 255), tf.uint8)
    return tf.io.encode_jpeg(shrunk, quality=quality, chroma_downsampling=False).numpy()
