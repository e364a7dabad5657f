"""The mark of a photo that is to be turned: where it stands, and what turning is."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from data_builders.reading import png, upright
from tests.kinds_of_images import ORIENTATIONS, picture, saved

# By PIL's names, how each orientation is turned upright (EXIF 2.3, 4.6.4 A).
TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@pytest.mark.parametrize("turned", ORIENTATIONS)
def test_turned_as_pillow_turns(turned):
    stored = picture(5, 8)
    found = upright.turn(stored, turned)
    image = Image.fromarray(stored)
    expected = image.transpose(TRANSPOSED[turned]) if turned > 1 else image
    np.testing.assert_array_equal(found, np.array(expected))
    by_exif = ImageOps.exif_transpose(Image.open(io.BytesIO(saved(stored, "PNG", turned=turned))))
    np.testing.assert_array_equal(found, np.array(by_exif))
    assert found.flags.c_contiguous
    assert (found.shape[:2] == (8, 5)) == upright.swaps_sides(turned) == (turned >= 5)
    np.testing.assert_array_equal(upright.turn(stored[..., 0], turned), found[..., 0])  # [h, w] too


@pytest.mark.parametrize("encoding", ["JPEG", "PNG"])
@pytest.mark.parametrize("turned", range(2, 9))
def test_the_mark_stands_at_its_place_and_nowhere_else(encoding, turned):
    content = saved(picture(5, 8), encoding)
    place, mark = {
        "JPEG": (2, b"\xff\xef\x00\x0bupright\0" + bytes([turned])),
        "PNG": (33, png.chunk(b"upRt", bytes([turned]))),
    }[encoding]
    found = upright.marked(content, turned)
    assert found == content[:place] + mark + content[place:]
    np.testing.assert_array_equal(  # which other programs pass over
        np.array(Image.open(io.BytesIO(found))), np.array(Image.open(io.BytesIO(content)))
    )
    # One mark at most, the last one, and none for a photo that is up already.
    other = 2 if turned != 2 else 3
    assert upright.marked(found, other) == upright.marked(content, other)
    assert upright.marked(found, 1) == content == upright.marked(content, 1)
