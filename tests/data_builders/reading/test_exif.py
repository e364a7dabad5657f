"""What an EXIF block says of a photo: which way up it is, and where it was taken."""

import io
import struct

import pytest
from PIL import Image

from data_builders.reading import exif


def block_of(entries, order=">", first=8, gps=()):
    """A TIFF with one directory of (tag, type, count, value); `gps` has tags of a second one."""
    start = b"MM\0*" if order == ">" else b"II*\0"
    directory = struct.pack(f"{order}H", len(entries))
    size = {1: "B3x", 3: "H2x", 4: "I"}
    for tag, kind, count, value in entries:
        directory += struct.pack(f"{order}HHI{size.get(kind, 'I')}", tag, kind, count, value)
    second = struct.pack(f"{order}H", len(gps))
    for tag in gps:
        second += struct.pack(f"{order}HHII", tag, 5, 3, 0)
    return start + struct.pack(f"{order}I", first) + directory + bytes(4) + second


def by_pillow(**tags):
    block = Image.Exif()
    for tag, value in tags.items():
        block[int(tag.removeprefix("tag"))] = value
    return block.tobytes()


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 3, 4])  # BYTE, SHORT, LONG
def test_orientation_in_either_byte_order(turned, order, kind):
    plain = block_of([(0x0112, kind, 1, turned)], order)
    assert exif.orientation(plain) == exif.orientation(exif.PREFIX + plain) == turned


@pytest.mark.parametrize("turned", range(1, 9))
def test_the_smallest_block_is_read_by_pillow_and_by_us(turned):
    block = exif.block_of(turned)
    assert exif.orientation(block) == turned and not exif.has_position(block)
    read = Image.Exif()
    read.load(exif.PREFIX + block)
    assert dict(read) == {0x0112: turned}
    assert exif.orientation(by_pillow(tag274=turned, tag271="maker")) == turned


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"MM",
        b"Exif\0\0",
        b"XX\0*" + bytes(40),
        block_of([(0x0112, 3, 1, 0)]),
        block_of([(0x0112, 3, 1, 9)]),
        block_of([(0x0112, 2, 1, 6)]),  # a text
        block_of([(0x0110, 3, 1, 6)]),  # another tag
        block_of([(0x0112, 3, 1, 6)], first=4000),
        block_of([(0x0112, 3, 1, 6)])[:20],  # cut within the entry
    ],
)
def test_a_block_that_states_nothing(block):
    assert exif.orientation(block) == 1 and not exif.has_position(block)


def test_the_first_of_two_entries_counts():
    assert exif.orientation(block_of([(0x0112, 3, 1, 6), (0x0112, 3, 1, 8)])) == 6


@pytest.mark.parametrize(
    "tags, has", [((2, 4), True), ((1, 2, 3, 4), True), ((2,), False), ((4,), False), ((), False)]
)
def test_a_position_has_latitude_and_longitude(tags, has):
    for order in "<>":
        place = len(block_of([(0x8825, 4, 1, 0)], order)) - 2
        assert exif.has_position(block_of([(0x8825, 4, 1, place)], order, gps=tags)) == has


def test_a_position_that_pillow_writes():
    block = Image.Exif()
    block.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 0.0)})
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "JPEG", exif=block)
    assert exif.has_position(Image.open(io.BytesIO(file.getvalue())).info["exif"])
