"""The chunks of a PNG file, against Pillow."""

import io
import itertools
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from data_builders.reading import exif, png
from tests.kinds_of_images import picture, saved


def content_with(*extra, after=b"IDAT"):
    """A PNG with more chunks, (kind, data), before the pixels or before the end."""
    plain = saved(picture(9, 7), "PNG")
    place = plain.index(b"IDAT") - 4 if after == b"IHDR" else plain.index(b"IEND") - 4
    return plain[:place] + b"".join(png.chunk(*one) for one in extra) + plain[place:]


def kinds(content):
    return [part.kind for part in png.chunks(content)]


def test_chunks_follow_each_other_up_to_the_end():
    content = content_with((b"tEXt", b"Comment\0Jane")) + b"junk"
    found = list(png.chunks(content))
    assert kinds(content) == [b"IHDR", b"IDAT", b"tEXt", b"IEND"]
    assert found[0].start == len(png.SIGNATURE) and found[0].end == png.HEADER_END
    for one, following in itertools.pairwise(found):
        assert one.end == following.start
    assert content[found[-1].end :] == b"junk"


def test_a_chunk_has_its_length_and_its_checksum():
    made = png.chunk(b"tEXt", b"Comment\0x")
    assert made == b"\0\0\0\x09tEXtComment\0x" + zlib.crc32(b"tEXtComment\0x").to_bytes(4, "big")
    image = Image.open(io.BytesIO(content_with((b"tEXt", b"Comment\0Jane"), after=b"IHDR")))
    assert image.text == {"Comment": "Jane"}
    np.testing.assert_array_equal(np.array(image), picture(9, 7))


@pytest.mark.parametrize("lost", [1, 12, 13, 40])
def test_a_file_that_is_cut_short_has_fewer_chunks(lost):
    content = saved(picture(9, 7), "PNG")
    found = list(png.chunks(content[:-lost]))
    assert [part.kind for part in found] == [b"IHDR", b"IDAT"][: 2 if lost < 13 else 1]


def test_where_the_pixels_are_reached():
    content = content_with((b"tEXt", b"Comment\0" + b"x" * 99), after=b"IHDR")
    first = content.index(b"IDAT") + 4
    assert [png.reaches_pixels(content[:k]) for k in (first, len(content))] == [True, True]
    assert not any(png.reaches_pixels(content[:k]) for k in (first - 1, png.HEADER_END, 20))


def test_exif_before_the_pixels_counts():
    block = exif.block_of(6)
    for place, expected in ((b"IHDR", block), (b"IDAT", b"")):
        content = content_with((b"eXIf", block), after=place)
        assert png.exif_block(content, png.chunks(content)) == expected


@pytest.mark.parametrize(
    "chunk, has",
    [
        ((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0exif:GPSLatitude='48'"), True),
        ((b"tEXt", b"Comment\0GPSLatitude"), False),
        ((b"eXIf", exif.block_of(3)), False),
    ],
)
def test_a_position_in_a_text_of_xmp(chunk, has):
    content = content_with(chunk)
    assert png.has_position(content, png.chunks(content)) == has


@pytest.mark.parametrize("turned", [1, 6])
def test_stripped_is_the_picture_and_which_way_up_it_is(turned):
    note = PngImagePlugin.PngInfo()
    note.add_text("PatientName", "Jane")
    content = saved(picture(9, 7), "PNG", turned=turned, pnginfo=note, dpi=(72, 72))
    assert b"Jane" in content and b"maker" in content
    bare = png.stripped(content, png.chunks(content), turned)
    assert set(kinds(bare)) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"} | (
        {b"eXIf"} if turned > 1 else set()
    )
    data = lambda whole: b"".join(
        whole[p.start : p.end] for p in png.chunks(whole) if p.kind == b"IDAT"
    )
    assert data(bare) == data(content)
    assert exif.orientation(png.exif_block(bare, png.chunks(bare))) == turned
    assert b"Jane" not in bare and b"maker" not in bare
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(bare))), picture(9, 7))
