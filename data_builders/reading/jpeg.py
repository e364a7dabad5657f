"""The parts of a JPEG file, read without decoding it (ITU-T T.81, annex B)."""

import re
import typing

import simplejpeg

from data_builders.reading import exif

SOI, EOI, SOS, COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
SCAN = 0  # no marker: the compressed data after an SOS
MOST_PARTS = 1 << 14  # no real file has so many
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15, without DHT, JPG, DAC
_LS_FRAME, _PROGRESSIVE, _TABLES = 0xF7, 0xC2, 0xC4

_MARKER = re.compile(rb"\xff+[^\x00\xff]")
_MARKER_AFTER_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0x(\w\w)")
# What libjpeg warns of where pixels are lost; its other warnings are of no consequence.
_DAMAGE = (
    "premature end", "bad huffman", "bad arithmetic", "found marker", "inconsistent progression",
)  # fmt: skip
# Beside bytes that belong to nothing: what preallocated files hold where they were not written.
_UNWRITTEN, _HOLE = bytes(48), bytes(128)


class Part(typing.NamedTuple):
    """A marker segment, from its 0xFF to its end; or, with the marker `SCAN`, compressed data."""

    marker: int
    start: int
    end: int


class Frame(typing.NamedTuple):
    """What the frame header says; `marker` tells the process (0xC0 baseline ...)."""

    marker: int
    bits: int
    height: int
    width: int
    components: int


def is_jpeg(content):
    """Whether a file, or its first bytes, begins as a JPEG."""
    return content.startswith(b"\xff\xd8\xff")


def parts(content):
    """Yields the `Part`s of a JPEG up to its EOI, or as far as they are whole.

    As libjpeg does, it passes over what is no marker between two segments. What follows the EOI
    (other pictures of an MPO, junk) is not looked at, nor what follows `MOST_PARTS`.
    """
    yield Part(SOI, 0, 2)
    place = 2
    for _ in range(MOST_PARTS):
        mark = _MARKER.search(content, place)
        if not mark:
            return
        marker, start, place = content[mark.end() - 1], mark.end() - 2, mark.end()
        if marker == EOI:
            yield Part(EOI, start, place)
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # these stand alone
            continue
        length = int.from_bytes(content[place : place + 2], "big")
        if length < 2 or place + length > len(content):
            return
        place += length
        yield Part(marker, start, place)
        if marker == SOS:
            mark = _MARKER_AFTER_SCAN.search(content, place)
            end = mark.start() if mark else len(content)
            yield Part(SCAN, place, end)
            place = end


def frame_of(content, segments):
    """The first `Frame` among `Part`s; None if there is none."""
    for marker, start, end in segments:
        if (marker in _FRAMES or marker == _LS_FRAME) and end - start >= 10:
            body = content[start + 4 : end]
            height, width = (int.from_bytes(body[k : k + 2], "big") for k in (1, 3))
            return Frame(marker, body[0], height, width, body[5])
    return None


def unreadable(content, segments):
    """Why no ordinary decoder reads a JPEG, by its header, as a clause; "" if nothing is wrong."""
    frame = frame_of(content, segments)
    if frame is None or not any(part.marker == SOS for part in segments):
        return "the JPEG is cut short in its header"
    if frame.marker == _LS_FRAME:
        return "a JPEG-LS, which is read in DICOM files alone: save it as PNG"
    if frame.marker in (0xC3, 0xC7, 0xCB, 0xCF):
        return "a lossless JPEG, which is read in DICOM files alone: save it as PNG"
    if frame.bits != 8:
        return f"a JPEG of {frame.bits} bits: save it with 8, or as PNG of 16"
    if frame.marker not in (0xC0, 0xC1, 0xC2):
        return "an arithmetic or hierarchical JPEG: save it as a baseline or progressive one"
    return ""


def is_damaged(content, segments):
    """Whether pixels of a JPEG are lost, though a lenient decoder shows a picture.

    Decodes all of the compressed data with libjpeg-turbo, at an eighth of the size, up to its
    first warning. So what may hide another one, and is of no consequence itself, is taken away:
    segments that no decoder needs and bytes between segments at once, bytes too many at the end
    of a scan where it complains of them.
    """
    if (
        segments[-1].marker != EOI
        or not _is_complete(content, segments)
        or _has_hole(content, segments)
    ):
        return True
    needed = [p for p in segments if not _is_aside(p.marker) or p.marker == _APP14]
    pieces = [content[part.start : part.end] for part in needed]
    scans = [k for k, part in enumerate(needed) if part.marker == SCAN]
    warning = _warning(pieces)
    for k in scans if "extraneous" in warning else ():
        extraneous = _EXTRANEOUS.search(_warning([*pieces[: k + 1], b"\xff\xd9"]))
        if not extraneous or int(extraneous[2], 16) != EOI:  # inside, an encoder leaves none
            continue
        pieces[k] = pieces[k][: -int(extraneous[1])]
        if _UNWRITTEN in pieces[k]:
            return True
        warning = _warning(pieces)
    return "extraneous" in warning or any(clue in warning for clue in _DAMAGE)


def _warning(pieces):
    """libjpeg's first warning, in small letters; "" if it has none."""
    try:
        simplejpeg.decode_jpeg(
            b"".join(pieces), "GRAY", fastdct=True, fastupsample=True,
            min_height=1, min_width=1, strict=True,
        )  # fmt: skip
    except ValueError as error:
        return str(error).lower()
    return ""


def _has_hole(content, segments):
    """Whether a sequential scan holds zeros where no encoder writes them: a block of a disk that
    was never written. libjpeg may take them for coefficients.

    With usual tables the code of zeros alone is a coefficient, and hundreds in a row are no
    picture. Where it ends a block, as tables made for a flat picture have it, they may be.
    """
    if frame_of(content, segments).marker == _PROGRESSIVE:
        return False
    ends_block = {}  # AC table: whether its code of zeros alone is the end of a block
    for k, (marker, start, end) in enumerate(segments):
        if marker == _TABLES:
            place = start + 4
            while place + 17 < end:
                if content[place] & 0xF0:
                    ends_block[content[place] & 15] = content[place + 17] == 0
                place += 17 + sum(content[place + 1 : place + 17])
        elif marker == SOS:
            tables = [content[start + 6 + 2 * i] & 15 for i in range(content[start + 4])]
            scan = segments[k + 1]
            if not all(ends_block.get(table, True) for table in tables) and (
                content.find(_HOLE, scan.start, scan.end) >= 0
            ):
                return True
    return False


def _is_complete(content, segments):
    """Whether the scans bring every coefficient of every component to its last bit.

    A progressive JPEG that ends between two scans is a whole file of half a picture.
    """
    frame = frame_of(content, segments)
    left = {}  # component: lowest bit that each coefficient has so far
    for marker, start, _ in segments:
        if marker != SOS:
            continue
        number = content[start + 4]
        spectrum = content[start + 5 + 2 * number : start + 8 + 2 * number]
        if len(spectrum) < 3:
            return False
        first, last, bits = spectrum
        if frame.marker != _PROGRESSIVE:
            first, last, bits = 0, 63, 0
        for k in range(number):
            component = left.setdefault(content[start + 5 + 2 * k], [16] * 64)
            component[first : last + 1] = [bits & 15] * (min(last, 63) + 1 - first)
    return len(left) >= frame.components and not any(map(any, left.values()))


def _is_aside(marker):
    return 0xE0 <= marker <= 0xEF or marker == COMMENT


def exif_block(content, segments):
    """The first EXIF block, with `exif.PREFIX`; b"" if there is none."""
    for marker, start, end in segments:
        if marker == SOS:
            break
        if marker == _APP1 and content[start + 4 : start + 10] == exif.PREFIX:
            return content[start + 4 : end]
    return b""


def has_position(content, segments):
    """Whether EXIF or XMP says where the photo was taken."""
    return exif.has_position(exif_block(content, segments)) or any(
        part.marker == _APP1 and b"GPSLatitude" in content[part.start : part.end]
        for part in segments
    )


def stripped(content, segments, turned):
    """The file without anything but the picture and what its colours need.

    Kept are the compressed data byte for byte with their tables, JFIF's header without its
    thumbnail, Adobe's, and a colour profile; where `turned` is not 1, an EXIF block that states
    the orientation alone is added.
    """
    kept = []
    for part in segments:
        segment = content[part.start : part.end]
        label = segment[4:]
        if part.marker == _APP0:
            if label[:5] != b"JFIF\0" or len(segment) < 18:
                continue
            segment = b"\xff\xe0\x00\x10" + label[:12] + b"\0\0"
        elif _is_aside(part.marker) and not (
            (part.marker == _APP14 and label[:5] == b"Adobe")
            or (part.marker == _APP2 and label[:12] == b"ICC_PROFILE\0")
        ):
            continue
        kept.append(segment)
    if turned != 1:
        block = exif.PREFIX + exif.block_of(turned)
        kept.insert(1, b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block)
    return b"".join(kept)
