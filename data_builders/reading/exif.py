"""The two things that matter in an EXIF block: how the photo is turned, where it was taken.

An EXIF block is a small TIFF file (EXIF 2.3, 4.5): byte order, the place of its first directory,
and directories of entries of 12 bytes: tag, type, count, value.
"""

_ORIENTATION, _GPS = 0x0112, 0x8825
_LATITUDE, _LONGITUDE = 2, 4  # in the GPS directory
_SIZES = {1: 1, 3: 2, 4: 4}  # bytes of a BYTE, SHORT and LONG

PREFIX = b"Exif\0\0"  # before the block in a JPEG, and in some PNGs


def orientation(block):
    """How stored rows and columns are to be turned: 1 (not at all) to 8, as EXIF numbers it.

    Args:
      block: bytes of the TIFF, with or without `PREFIX`; may be damaged.

    Returns:
      1 where the block states nothing that EXIF knows.
    """
    stated = _entries(block).get(_ORIENTATION, 1)
    return stated if 1 <= stated <= 8 else 1


def has_position(block):
    """Whether a block (see `orientation`) says where on earth the photo was taken."""
    directory = _entries(block).get(_GPS)
    return directory is not None and {_LATITUDE, _LONGITUDE} <= _entries(block, directory).keys()


def block_of(turned):
    """The smallest block that states an orientation, and nothing else."""
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + bytes([0, turned, 0, 0])
    return b"MM\x00*\x00\x00\x00\x08\x00\x01" + entry + bytes(4)


def _entries(block, directory=None):
    """{tag: value, 0 where it is no whole number} of the first directory, or of the one at a
    place; of two entries with one tag the first."""
    block = block.removeprefix(PREFIX)
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(block[:4])
    if order is None:
        return {}

    def number(place, size):
        return int.from_bytes(block[place : place + size].ljust(size, b"\0"), order)

    if directory is None:
        directory = number(4, 4)
    values = {}
    for k in range(number(directory, 2)):
        place = directory + 2 + 12 * k
        if place + 12 > len(block):
            break
        size = _SIZES.get(number(place + 2, 2), 0)
        values.setdefault(number(place, 2), number(place + 8, size))
    return values
