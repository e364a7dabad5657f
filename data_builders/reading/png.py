"""The chunks of a PNG file, read without decoding it (PNG specification, third edition)."""

import typing
import zlib

from data_builders.reading import exif

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_END = 33  # of the signature and IHDR
# The picture, and what its colours need.
_KEPT = (
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT",
    b"cICP", b"bKGD", b"pHYs",
)  # fmt: skip


class Chunk(typing.NamedTuple):
    """A chunk, from its length to the end of its CRC."""

    kind: bytes
    start: int
    end: int


def is_png(content):
    """Whether a file, or its first bytes, begins as a PNG."""
    return content.startswith(SIGNATURE)


def has_16_bits(content):
    """Whether the channels of a PNG have 16 bits, by its header."""
    return content[24:25] == b"\x10"


def chunks(content):
    """Yields the `Chunk`s of a PNG up to IEND, or as far as they are whole."""
    place = len(SIGNATURE)
    while place + 12 <= len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if end > len(content):
            return
        kind = content[place + 4 : place + 8]
        yield Chunk(kind, place, end)
        if kind == b"IEND":
            return
        place = end


def reaches_pixels(content):
    """Whether the first bytes of a PNG hold all that stands before its pixels."""
    last = HEADER_END
    for kind, _, end in chunks(content):
        if kind == b"IDAT":
            return True
        last = end
    return content[last + 4 : last + 8] == b"IDAT"


def chunk(kind, data):
    """The bytes of a chunk."""
    body = kind + data
    return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def exif_block(content, all_chunks):
    """The EXIF block before the pixels; b"" if there is none."""
    for kind, start, end in all_chunks:
        if kind == b"IDAT":
            break
        if kind == b"eXIf":
            return content[start + 8 : end - 4]
    return b""


def has_position(content, all_chunks):
    """Whether EXIF, or XMP in a text chunk, says where the photo was taken."""
    return any(
        exif.has_position(content[start + 8 : end - 4])
        if kind == b"eXIf"
        else kind == b"iTXt" and b"GPSLatitude" in content[start:end]
        for kind, start, end in all_chunks
    )


def stripped(content, all_chunks, turned):
    """The file without text, dates, EXIF but the orientation, and what programs added; the
    compressed pixels byte for byte."""
    kept = [content[part.start : part.end] for part in all_chunks if part.kind in _KEPT]
    if turned != 1:
        kept.insert(1, chunk(b"eXIf", exif.block_of(turned)))
    return SIGNATURE + b"".join(kept)
