"""What a DICOM file would take of the memory, found out before it does.

Imported by `data_builders/reading/dicom.py`; needs the extra `dicom` too.
"""

import io
import itertools
import zlib

from pydicom import filereader, uid

from data_builders.reading import jpeg
from data_builders.reading.pixels import DAMAGED, BadImage, check_pixels

# What a deflated file may hold beside the largest picture that is accepted.
_BESIDE_PIXELS = 1 << 24
# Of JPEG 2000: a decoder takes kilobytes for a tile, whether it is there or not.
_MOST_TILES, _PIXELS_OF_TILE = 4096, 4096


def inflated(content, max_pixels, cut=False):
    """The data set of a deflated file, unpacked no further than a picture can be long.

    Any other file is returned as it is. With `cut`, what is too long is cut short.
    """
    if content[128:132] != b"DICM":
        return content
    file = io.BytesIO(content)
    file.seek(132)
    header = filereader.read_dataset(
        file, False, True, stop_when=lambda tag, vr, length: tag.group != 2
    )
    if header.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return content
    limit = 6 * max_pixels + _BESIDE_PIXELS  # three channels of 16 bits
    packed = content[file.tell() :]
    if not cut:
        size, inflater, chunk = 0, zlib.decompressobj(-zlib.MAX_WBITS), packed
        while chunk:  # to count before so much is in memory
            size += len(inflater.decompress(chunk, 1 << 20))
            if size > limit:
                raise BadImage(
                    f"unpacks to more than {limit} bytes, more than --max_pixels={max_pixels} takes"
                )
            chunk = inflater.unconsumed_tail
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, limit)


def check_codestream(frame, syntax, num_pixels, samples, max_pixels):
    """Refuses a compressed picture that is larger than the file says, before it is unpacked.

    Decoders go by the sizes in the compressed data, and not by Rows and Columns.

    Args:
      frame: bytes of the compressed picture.
      syntax: its transfer syntax.
      num_pixels, samples: Rows x Columns and SamplesPerPixel, as the file states them.
      max_pixels: see `ImageOptions`.

    Raises:
      BadImage: it is larger, or no picture.
    """
    if syntax == uid.RLELossless:
        ends = [int.from_bytes(frame[4 * k : 4 * k + 4], "little") for k in range(1, 16)]
        ends = [end for end in ends[: int.from_bytes(frame[:4], "little")] if end] + [len(frame)]
        for start, end in itertools.pairwise(ends):
            # A byte of a pixel each; a row may end with one byte more.
            if 64 * (end - start) > num_pixels and _rle_length(frame, start, end) > 2 * num_pixels:
                raise BadImage(DAMAGED)
        return
    if syntax in uid.JPEG2000TransferSyntaxes:
        place = _codestream(frame)
        if frame[place : place + 4] != b"\xff\x4f\xff\x51":  # SOC, SIZ
            raise BadImage(DAMAGED)
        right, bottom, left, top = (
            int.from_bytes(frame[k : k + 4], "big") for k in range(place + 8, place + 24, 4)
        )
        wide, high = (
            int.from_bytes(frame[k : k + 4], "big") or 1 for k in (place + 24, place + 28)
        )
        height, width = bottom - top, right - left
        components = int.from_bytes(frame[place + 40 : place + 42], "big")
        tiles = -(-right // wide) * -(-bottom // high)
        if tiles > max(_MOST_TILES, max_pixels // _PIXELS_OF_TILE):
            raise BadImage(f"its JPEG 2000 picture is cut into {tiles} tiles")
    else:
        sizes = jpeg.frame_of(frame, jpeg.parts(frame))
        if sizes is None:
            raise BadImage(DAMAGED)
        height, width, components = sizes.height, sizes.width, sizes.components
    check_pixels(height, width, max_pixels)
    if components != samples:
        raise BadImage(DAMAGED)


def _rle_length(frame, start, end):
    """Bytes that an RLE segment unpacks to (PS3.5 G.3)."""
    length, place = 0, start
    while place < end:
        count = frame[place]
        if count < 128:
            length, place = length + count + 1, place + count + 2
        else:
            length, place = length + (257 - count if count > 128 else 0), place + 2 - (count == 128)
    return length


def _codestream(frame):
    """Where the JPEG 2000 codestream begins: at once, or in a box of a JP2 file.

    Refuses boxes along which pydicom, which walks from one to the next, would never arrive.
    """
    if frame[4:8] != b"jP  ":
        return 0
    place = 12
    while frame[place + 4 : place + 8] not in (b"jp2c", b""):
        length = int.from_bytes(frame[place : place + 4], "big")
        if length < 8:
            raise BadImage(DAMAGED)
        place += length
    return place + (16 if frame[place : place + 4] == b"\0\0\0\1" else 8)  # a long length
