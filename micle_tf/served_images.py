"""What an exported model is sent: looked at before it is decoded, in TensorFlow operations.

`data_builders.images.stored_image` does the same when data is prepared, with more means: what it
refuses by a file's header is refused here too, and a photo is turned as its EXIF says.
"""

import typing

import tensorflow as tf

from data_builders.reading.jpeg import MOST_PARTS

_LOOKED_AT_ONCE = 16  # images, over the cores
_TO_SEND = (
    "send JPEG or PNG of 8 bits; data_builders.images.stored_image makes it of DICOM and 16 bits"
)
_ORDINARY = "send a baseline or progressive JPEG of 8 bits"
_PNG, _IDAT, _EXIF_CHUNK = (0x89504E47, 0x0D0A1A0A), 0x49444154, 0x65584966
_LONGEST = 2**31 - 1  # pixels of a side; libpng reads no more
_COUNTED = 2**40  # pixels of an image at most, so that their sum stays a number
_PNG_HEADER = 33  # bytes of the signature and IHDR
_EXIF, _LITTLE, _BIG = 0x457869660000, 0x49492A00, 0x4D4D002A  # "Exif\0\0", "II*\0", "MM\0*"
_ORIENTATION = 0x0112


class Header(typing.NamedTuple):
    """What is known of images before they are decoded, each [...].

    Attributes:
      fault: string, why an image is not answered, "" if nothing is wrong.
      pixels: int64, height x width, and 2**40 at most.
      orientation: int32, 1 to 8, as EXIF numbers it.
    """

    fault: tf.Tensor
    pixels: tf.Tensor
    orientation: tf.Tensor


def checked(image_bytes, max_pixels):
    """The images of a request that may be decoded, and how each is to be turned.

    Args:
      image_bytes: [n] string.
      max_pixels: scalar int64: what all of them may have together.

    Returns:
      ([n] string, [n] int32); running them fails, naming the position, where an image is no JPEG
      or PNG of 8 bits, its header or its end is missing, or there are too many pixels.
    """
    headers = tf.map_fn(
        header_of,
        image_bytes,
        parallel_iterations=_LOOKED_AT_ONCE,
        fn_output_signature=Header(
            tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.int32)
        ),
    )
    faulty = tf.not_equal(headers.fault, "")
    places = tf.strings.as_string(tf.range(tf.size(image_bytes)))
    faults = tf.strings.join(["image_bytes[", places, "]: ", headers.fault])
    first_fault = tf.strings.reduce_join(tf.boolean_mask(faults, faulty)[:1])
    total = tf.reduce_sum(headers.pixels)
    with tf.control_dependencies(
        [
            tf.debugging.Assert(~tf.reduce_any(faulty), [first_fault]),
            tf.debugging.Assert(
                total <= max_pixels,
                [
                    tf.strings.format(
                        "image_bytes: {} pixels in all are more than max_pixels={}; send fewer or "
                        "smaller images at a time",
                        (total, max_pixels),
                    )
                ],
            ),
        ]
    ):
        return tf.identity(image_bytes), tf.identity(headers.orientation)


def header_of(content):
    """The `Header` of one image, a scalar string; its parts are scalars."""
    data = _Bytes(content)
    return tf.cond(
        tf.io.is_jpeg(content),
        lambda: _jpeg_header(data),
        lambda: tf.cond(
            tf.equal(data.number(0, 4), _PNG[0]) & tf.equal(data.number(4, 4), _PNG[1]),
            lambda: _png_header(data),
            lambda: _header(f"neither JPEG nor PNG; {_TO_SEND}"),
        ),
    )


def _header(fault, pixels=0, orientation=1):
    return Header(
        tf.constant(fault) if isinstance(fault, str) else fault,
        tf.minimum(tf.cast(pixels, tf.int64), _COUNTED),
        tf.cast(orientation, tf.int32),
    )


class _Bytes:
    """Numbers in a scalar string at places that may be tensors; beyond its end are zeros."""

    def __init__(self, content):
        self.data = tf.io.decode_raw(content, tf.uint8)
        self.size = tf.size(self.data, tf.int64)
        self._ended = tf.concat([self.data, [0]], axis=0)  # not empty

    def byte(self, place, end=None):
        """int64; `end` is a closer end than that of the string."""
        place = tf.cast(place, tf.int64)
        inside = (place >= 0) & (place < (self.size if end is None else end))
        value = tf.gather(self._ended, tf.where(inside, place, 0))
        return tf.where(inside, tf.cast(value, tf.int64), 0)

    def number(self, place, size, little=False, end=None):
        """Unsigned, `size` bytes; `little` may be a tensor."""
        places = tf.expand_dims(tf.cast(place, tf.int64), -1) + tf.range(size, dtype=tf.int64)
        powers = tf.constant([256**k for k in range(size)], tf.int64)
        values = self.byte(places, end)
        up, down = (tf.reduce_sum(values * each, axis=-1) for each in (powers, powers[::-1]))
        return down if little is False else tf.where(little, up, down)

    def markers(self):
        """[m] int64: where a JPEG marker may begin, 0xFF before a byte that is neither 0 nor 0xFF;
        with an end that is none."""
        first, second = self.data[:-1], self.data[1:]
        there = tf.equal(first, 0xFF) & tf.not_equal(second, 0) & tf.not_equal(second, 0xFF)
        return tf.concat([tf.where(there)[:, 0], [self.size]], axis=0)


# ---------------------------------------------------------------- JPEG


def _jpeg_header(data):
    """As `data_builders.reading.jpeg.parts` walks through the segments."""
    zero, markers = tf.constant(0, tf.int64), data.markers()

    def step(place, frame, exif, exif_end, scan, going):
        del going
        place = tf.gather(markers, tf.searchsorted(markers, [place])[0])
        mark, end = data.byte(place + 1), place + 2 + data.number(place + 2, 2)
        alone = (place < data.size) & (tf.equal(mark, 1) | ((mark >= 0xD0) & (mark <= 0xD8)))
        segment = (end >= place + 4) & (end <= data.size) & ~alone & tf.not_equal(mark, 0xD9)
        is_frame = segment & ((mark >= 0xC0) & (mark <= 0xCF) | tf.equal(mark, 0xF7))
        is_frame &= ~tf.reduce_any(tf.equal(mark, [0xC4, 0xC8, 0xCC])) & (end >= place + 10)
        is_exif = segment & tf.equal(mark, 0xE1) & tf.equal(data.number(place + 4, 6), _EXIF)
        is_exif &= end >= place + 10
        is_scan = segment & tf.equal(mark, 0xDA)
        frame = tf.where(is_frame & tf.equal(frame, 0), place, frame)
        exif_end = tf.where(is_exif & tf.equal(exif, 0), end, exif_end)
        exif = tf.where(is_exif & tf.equal(exif, 0), place + 4, exif)
        scan = tf.where(is_scan, end, scan)
        going = alone | (segment & ~is_scan)
        return tf.where(alone, place + 2, end), frame, exif, exif_end, scan, going

    _, frame, exif, exif_end, scan, _ = tf.while_loop(
        lambda *state: state[-1],
        step,
        (tf.constant(2, tf.int64), zero, zero, zero, zero, tf.constant(True)),
        maximum_iterations=MOST_PARTS,
    )
    kind, bits = data.byte(frame + 1), data.byte(frame + 4)
    height, width = data.number(frame + 5, 2), data.number(frame + 7, 2)
    rest = data.data[tf.minimum(scan, data.size) :]
    ends = tf.reduce_any(tf.equal(rest[:-1], 0xFF) & tf.equal(rest[1:], 0xD9))
    fault = tf.case(
        [
            (
                tf.equal(frame, 0) | tf.equal(scan, 0),
                lambda: tf.constant("a JPEG cut short in its header"),
            ),
            (
                tf.not_equal(bits, 8),
                lambda: tf.constant(f"a JPEG of more than 8 bits; {_ORDINARY}"),
            ),
            (
                ~((kind >= 0xC0) & (kind <= 0xC2)),
                lambda: tf.constant(f"a lossless or otherwise unusual JPEG; {_ORDINARY}"),
            ),
            (~ends, lambda: tf.constant("a JPEG that is cut short")),
            (tf.equal(height * width, 0), lambda: tf.constant("a JPEG without a size")),
        ],
        default=lambda: tf.constant(""),
    )
    return _header(fault, height * width, _orientation(data, exif, exif_end))


# ---------------------------------------------------------------- PNG


def _png_header(data):
    zero = tf.constant(0, tf.int64)

    def step(place, exif, exif_end, going):
        del going
        length, kind = data.number(place, 4), data.number(place + 4, 4)
        whole = place + 12 + length <= data.size
        is_exif = whole & tf.equal(kind, _EXIF_CHUNK) & tf.equal(exif, 0)
        exif_end = tf.where(is_exif, place + 8 + length, exif_end)
        exif = tf.where(is_exif, place + 8, exif)
        going = whole & tf.not_equal(kind, _IDAT)
        return tf.where(going, place + 12 + length, place), exif, exif_end, going

    place, exif, exif_end, _ = tf.while_loop(
        lambda *state: state[-1],
        step,
        (tf.constant(8, tf.int64), zero, zero, tf.constant(True)),
        maximum_iterations=MOST_PARTS,
    )
    width, height = data.number(16, 4), data.number(20, 4)
    rest = data.data[tf.minimum(place, data.size) :]
    ends = tf.reduce_any(
        tf.reduce_all(
            [tf.equal(rest[k : tf.size(rest) - 3 + k], b) for k, b in enumerate(b"IEND")], 0
        )
    )
    fault = tf.case(
        [
            (data.size < _PNG_HEADER, lambda: tf.constant("a PNG cut short in its header")),
            (
                tf.equal(data.byte(24), 16),
                lambda: tf.constant(f"a PNG of 16 bits; {_TO_SEND}"),
            ),
            (~ends, lambda: tf.constant("a PNG that is cut short")),
            (
                tf.equal(width, 0) | tf.equal(height, 0) | (tf.maximum(width, height) > _LONGEST),
                lambda: tf.constant("a PNG without a size"),
            ),
        ],
        default=lambda: tf.constant(""),
    )
    return _header(fault, height * width, _orientation(data, exif, exif_end))


# ---------------------------------------------------------------- EXIF


def _orientation(data, start, end):
    """As `data_builders.reading.exif.orientation`, of a block; 1 if start is 0."""
    prefixed = tf.equal(data.number(start, 6, end=end), _EXIF)
    start = start + tf.where(prefixed, tf.constant(6, tf.int64), tf.constant(0, tf.int64))
    order = data.number(start, 4, end=end)
    little = tf.equal(order, _LITTLE)
    known = little | tf.equal(order, _BIG)

    def number(place, size):
        return data.number(place, size, little, end)

    directory = start + number(start + 4, 4)
    entries = directory + 2 + 12 * tf.range(number(directory, 2))
    entries = tf.boolean_mask(entries, entries + 12 <= end)
    entries = tf.boolean_mask(entries, tf.equal(number(entries, 2), _ORIENTATION))[:1]
    kind = number(entries + 2, 2)
    value = tf.where(
        tf.equal(kind, 3),
        number(entries + 8, 2),
        tf.where(
            tf.equal(kind, 1),
            number(entries + 8, 1),
            tf.where(tf.equal(kind, 4), number(entries + 8, 4), 0),
        ),
    )
    value = tf.boolean_mask(value, known & (value >= 1) & (value <= 8))
    return tf.reduce_max(tf.concat([value, tf.ones([1], tf.int64)], 0))
