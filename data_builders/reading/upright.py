"""How a photo is stored that is to be turned before one looks at it, as its EXIF says.

Nearly all photos of phones are: the sensor's rows are stored, and a number from 1 to 8 says where
up is (1: it is up already). To parse EXIF for each image of each batch would cost a training too
much, and to turn the pixels would mean to compress them anew. So only such a photo gets a mark
that stands at a fixed place, and is otherwise stored as it came:

    JPEG   SOI, then an APP15 segment:   FF EF 00 0B "upright" 00 and the number in a byte
    PNG    signature, IHDR, then a chunk "upRt" of one byte, the number

Other programs pass over both. `micle_tf.data.orientation` reads it.
"""

import numpy as np

from data_builders.reading import png

JPEG_PLACE, PNG_PLACE = 2, png.HEADER_END  # where the mark begins, in bytes
_JPEG_START, _PNG_KIND = b"\xff\xef\x00\x0bupright\0", b"upRt"


def jpeg_mark(turned):
    """The segment in a JPEG; 2 <= turned <= 8."""
    return _JPEG_START + bytes([turned])


def png_mark(turned):
    """The chunk in a PNG; 2 <= turned <= 8."""
    return png.chunk(_PNG_KIND, bytes([turned]))


def marked(content, turned):
    """A JPEG or PNG with the mark of its orientation, and with no other; without one for 1."""
    if png.is_png(content):
        place, mark = PNG_PLACE, png_mark(turned)
        has_mark = content.startswith(mark[:4] + _PNG_KIND, place)
    else:
        place, mark = JPEG_PLACE, jpeg_mark(turned)
        has_mark = content.startswith(_JPEG_START, place)
    if has_mark:  # a file that was stored before, and changed since
        content = content[:place] + content[place + len(mark) :]
    return content if turned == 1 else content[:place] + mark + content[place:]


def swaps_sides(turned):
    """Whether height and width change places."""
    return turned >= 5


def turn(pixels, turned):
    """Stored pixels as one sees them.

    Args:
      pixels: [h, w, ...] array.
      turned: 1 to 8, as EXIF numbers it.

    Returns:
      [h, w, ...], or [w, h, ...] from 5 on, C-contiguous.
    """
    if turned == 1:
        return pixels
    if swaps_sides(turned):
        pixels = pixels.swapaxes(0, 1)
    if turned in MIRRORED:
        pixels = pixels[:, ::-1]
    if turned in UPSIDE_DOWN:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


# What is done after rows and columns changed places, if they do: left and right, up and down.
MIRRORED, UPSIDE_DOWN = (2, 3, 6, 7), (3, 4, 7, 8)
