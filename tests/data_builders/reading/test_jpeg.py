"""Which JPEGs are damaged, though a lenient decoder shows a picture, and which are only untidy."""

import random

import numpy as np
import pytest

from data_builders.images import DAMAGED, BadImage, ImageOptions, stored_image
from data_builders.reading import jpeg
from tests.kinds_of_images import picture, saved

PHOTO = saved(picture(160, 200), "JPEG", quality=92)
KINDS = {
    "baseline": PHOTO,
    "progressive": saved(picture(160, 200), "JPEG", quality=92, progressive=True),
    "CMYK": saved(picture(160, 200), "JPEG", "CMYK", quality=92),
    "grey": saved(picture(160, 200), "JPEG", "L", quality=92),
    "restarts": saved(picture(160, 200), "JPEG", quality=92, restart_marker_blocks=4),
}


def refused(content):
    try:
        stored_image(content, ImageOptions())
    except BadImage as error:
        return str(error)
    return ""


def scan(content):
    """(start, end) of the longest compressed data."""
    parts = [part for part in jpeg.parts(content) if part.marker == jpeg.SCAN]
    return max(((p.start, p.end) for p in parts), key=lambda ends: ends[1] - ends[0])


@pytest.mark.parametrize("kind", KINDS)
def test_lost_pixels_are_damage(kind):
    content = KINDS[kind]
    assert refused(content) == ""
    start, end = scan(content)
    middle = (start + end) // 2
    assert refused(content[:middle] + b"\xff\xd9") == DAMAGED
    assert refused(content[:middle]) == DAMAGED
    assert refused(content[: middle - 200] + content[middle + 200 :]) == DAMAGED
    # A word on what is of no consequence must not hide one on what is.
    assert refused(content[:middle] + bytes(30) + b"\xff\xd9") == DAMAGED
    table = content.index(b"\xff\xdb")
    cut = content[:table] + bytes(9) + content[table:middle] + b"\xff\xd9"
    assert refused(cut) == DAMAGED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("junk", [bytes(40), b"\xff\x00" * 20, b"junk" * 300, b"\x55"])
def test_bytes_that_belong_to_nothing_are_none(kind, junk):
    content = KINDS[kind]
    table = content.index(b"\xff\xdb")
    clean = junk.replace(b"\xff", b"")
    assert refused(content + junk) == ""
    assert refused(content[:table] + clean + content[table:]) == ""
    assert refused(content[:-2] + junk + content[-2:]) == ""


def test_bad_codes_before_bytes_too_many():
    """A bad code is libjpeg's last word only when nothing comes after it."""
    found = 0
    start, end = scan(PHOTO)
    for seed in range(60):
        rng, content = random.Random(seed), bytearray(PHOTO)
        place = rng.randrange(start, end - 400)
        content[place : place + 60] = b"\xfe" * 60
        found += refused(bytes(content)) == DAMAGED
    assert found >= 40  # the others happen to be codes that exist, and libjpeg says nothing


@pytest.mark.parametrize(
    "kind, words",
    [
        (b"\xc3", "a lossless JPEG, which is read in DICOM files alone: save it as PNG"),
        (b"\xf7", "a JPEG-LS, which is read in DICOM files alone: save it as PNG"),
        (b"\xc9", "an arithmetic or hierarchical JPEG: save it as a baseline or progressive one"),
    ],
)
def test_other_kinds_are_called_by_their_name(kind, words):
    place = PHOTO.index(b"\xff\xc0")
    assert refused(PHOTO[: place + 1] + kind + PHOTO[place + 2 :]) == words


def test_twelve_bits_and_no_header():
    place = PHOTO.index(b"\xff\xc0")
    deep = PHOTO[: place + 4] + b"\x0c" + PHOTO[place + 5 :]
    assert refused(deep) == "a JPEG of 12 bits: save it with 8, or as PNG of 16"
    for length in (3, 20, place + 6, scan(PHOTO)[0] - 3):
        assert refused(PHOTO[:length]) == "the JPEG is cut short in its header"


# ---------------------------------------------------------------- one complaint must not hide
# another


def pieces(content):
    return [(part.marker, content[part.start : part.end]) for part in jpeg.parts(content)]


def joined(parts):
    return b"".join(piece for _, piece in parts)


@pytest.mark.parametrize("later", [2, 5, 8])
def test_bytes_too_many_after_the_first_scan_hide_no_later_damage(later):
    parts = pieces(KINDS["progressive"])
    scans = [k for k, (marker, _) in enumerate(parts) if marker == jpeg.SCAN]
    assert len(scans) > 8
    parts[scans[0]] = (jpeg.SCAN, parts[scans[0]][1] + bytes(24))
    assert refused(joined(parts)) == ""
    cut = parts[scans[later]][1]
    parts[scans[later]] = (jpeg.SCAN, cut[: len(cut) // 2])
    assert refused(joined(parts)) == DAMAGED


def test_bytes_too_many_after_every_scan():
    parts = [
        (marker, piece + bytes(20) if marker == jpeg.SCAN else piece)
        for marker, piece in pieces(KINDS["progressive"])
    ]
    assert refused(joined(parts)) == ""
    k = max(k for k, (marker, _) in enumerate(parts) if marker == jpeg.SCAN)
    parts[k] = (jpeg.SCAN, parts[k][1][: len(parts[k][1]) // 2])
    assert refused(joined(parts)) == DAMAGED


def test_a_progressive_photo_that_ends_between_two_scans():
    parts = pieces(KINDS["progressive"])
    scans = [k for k, (marker, _) in enumerate(parts) if marker == jpeg.SCAN]
    for k in (0, 3, len(scans) - 2):
        assert refused(joined(parts[: scans[k] + 1]) + b"\xff\xd9") == DAMAGED
    for k in (0, 2, len(scans) - 1):  # or lacks one in between
        assert refused(joined(parts[: scans[k] - 1] + parts[scans[k] + 1 :])) == DAMAGED


@pytest.mark.parametrize("kind", ["baseline", "grey", "restarts"])
def test_a_half_that_was_never_written(kind):
    start, end = scan(KINDS[kind])
    middle = (start + end) // 2
    content = KINDS[kind]
    assert refused(content[:middle] + bytes(end - middle) + content[end:]) == DAMAGED


def test_bytes_too_many_before_a_restart_are_damage():
    content = KINDS["restarts"]
    place = content.index(b"\xff\xd2", scan(content)[0])
    assert refused(content[:place] + bytes(24) + content[place:]) == DAMAGED


@pytest.mark.parametrize("kind", ["baseline", "grey", "CMYK"])
@pytest.mark.parametrize("place", range(10, 90, 10))
def test_a_block_of_zeros_anywhere(kind, place):
    content = KINDS[kind]
    start, end = scan(content)
    first = start + (end - start) * place // 100
    hole = min(256, end - first - 8)
    assert refused(content[:first] + bytes(hole) + content[first + hole :]) == DAMAGED


def test_zeros_of_a_flat_picture_are_none():
    """With tables made for it, a flat picture is compressed to zeros."""
    flat = np.full((512, 512, 3), 90, np.uint8)
    flat[:8, :8] = picture(8, 8)
    content = saved(flat, "JPEG", optimize=True)
    assert bytes(128) in content
    assert refused(content) == ""
