"""What becomes of JPEG and PNG files, and what is wrong with those that are refused."""

import hashlib
import io
import struct
import sys
import zlib
from concurrent import futures

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, JpegImagePlugin, PngImagePlugin

from data_builders.images import BadImage, ImageOptions, image_size, stored_image
from micle_tf.data.decode import decode
from tests.data_builders.manifests import GIF
from tests.pictures import jpeg, png


def by_pillow(pixels, encoding="PNG", mode=None, **options):
    """The bytes of a picture that Pillow writes."""
    content, picture = io.BytesIO(), Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(content, encoding, **options)
    return content.getvalue()


def opened(content):
    return Image.open(io.BytesIO(content))


def png_of_16_bits(pixels):
    return tf.io.encode_png(np.asarray(pixels, np.uint16)).numpy()


def hash_of(rgb):
    """The documented hash, computed from [h, w, 3] uint8 pixels."""
    text = f"{rgb.shape[0]} x {rgb.shape[1]}".encode() + rgb.tobytes()
    return struct.unpack(">q", hashlib.blake2b(text, digest_size=8).digest())[0]


def fault(content, **options):
    with pytest.raises(BadImage) as caught:
        stored_image(content, ImageOptions(**options))
    return str(caught.value)


NOISE = np.random.default_rng(0).integers(0, 256, (9, 7), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8)
SMOOTH = np.add.outer(np.arange(120) * 2, np.arange(90)).clip(0, 255).astype(np.uint8)


# ---------------------------------------------------------------- stored as they are


@pytest.mark.parametrize(
    "content",
    [
        jpeg(),
        jpeg(channels=1),
        *(png(channels=channels) for channels in (1, 2, 3, 4)),
        by_pillow(COLOUR, mode="P"),
        by_pillow(NOISE, mode="1"),
        by_pillow(COLOUR, "JPEG", progressive=True),
        by_pillow(COLOUR, "JPEG", mode="CMYK"),
    ],
)
def test_eight_bits_are_kept_byte_for_byte(content):
    longer_side = max(image_size(content))
    for side in (0, longer_side, longer_side + 1):
        stored = stored_image(content, ImageOptions(max_image_side=side))
        assert stored.content == content
        assert stored.pixel_hash == hash_of(decode(content).numpy())


# ---------------------------------------------------------------- the hash


def test_one_picture_has_one_hash():
    opaque, clear = np.full((9, 7, 1), 255, np.uint8), np.zeros((9, 7, 1), np.uint8)
    grey_as_rgb = np.repeat(NOISE[..., None], 3, axis=2)
    containers = [
        by_pillow(NOISE),
        by_pillow(NOISE, mode="P"),
        by_pillow(grey_as_rgb),
        by_pillow(grey_as_rgb, compress_level=1),
        by_pillow(np.concatenate([grey_as_rgb, opaque], axis=2)),
        by_pillow(np.concatenate([grey_as_rgb, clear], axis=2)),
    ]
    assert len(set(containers)) == len(containers)
    hashes = {stored_image(content, ImageOptions()).pixel_hash for content in containers}
    assert hashes == {hash_of(grey_as_rgb)}


def test_hash_knows_every_pixel_and_the_shape():
    other = NOISE.copy()
    other[-1, -1] ^= 1
    flat = np.full((4, 6), 7, np.uint8)
    pictures = [NOISE, other, NOISE.T, flat, flat.reshape(6, 4), flat.reshape(3, 8)]
    hashes = {stored_image(by_pillow(np.array(p)), ImageOptions()).pixel_hash for p in pictures}
    assert len(hashes) == len(pictures)
    assert all(-(2**63) <= value < 2**63 for value in hashes)


def test_hash_is_of_the_picture_before_it_is_shrunk():
    for content in (jpeg(40, 30), png_of_16_bits(NOISE[..., None] * 9)):
        whole = stored_image(content, ImageOptions())
        small = stored_image(content, ImageOptions(max_image_side=5))
        assert small.pixel_hash == whole.pixel_hash and small.content != whole.content


# ---------------------------------------------------------------- 16 bits


def test_sixteen_bits_are_windowed_between_percentiles():
    # 1001 values, 0, 4 ... 4000, in random order: the percentiles are 20 and 3980 exactly.
    values = 4 * np.random.default_rng(0).permutation(1001).reshape(77, 13)
    stored = opened(stored_image(png_of_16_bits(values[..., None]), ImageOptions()).content)
    assert stored.mode == "L"
    wanted = np.clip((values - 20) * 255 / (3980 - 20), 0, 255)
    assert np.abs(np.asarray(stored) - wanted).max() <= 0.5 + 1e-9
    assert np.asarray(stored).min() == 0 and np.asarray(stored).max() == 255


def test_twelve_of_sixteen_bits_are_not_black():
    values = np.linspace(0, 4095, 40 * 50).reshape(40, 50, 1)
    content = png_of_16_bits(values)
    assert decode(content).numpy().mean() < 8  # the high byte alone
    shown = np.asarray(opened(stored_image(content, ImageOptions()).content))
    assert abs(shown.mean() - 127.5) < 0.5


@pytest.mark.parametrize("alpha", [False, True])
def test_sixteen_bit_colours_share_a_window_without_alpha(alpha):
    rgb = np.random.default_rng(0).integers(300, 900, (30, 20, 3))
    extra = np.full((30, 20, 1), 65535)
    content = png_of_16_bits(np.concatenate([rgb, extra], axis=2) if alpha else rgb)
    stored = opened(stored_image(content, ImageOptions()).content)
    assert stored.mode == "RGB"
    low, high = np.percentile(rgb, [0.5, 99.5])
    wanted = np.clip((rgb - low) * 255 / (high - low), 0, 255)
    assert np.abs(np.asarray(stored) - wanted).max() <= 0.5 + 1e-9


def test_sixteen_bit_grey_with_alpha_is_grey():
    grey = np.arange(100).reshape(10, 10, 1) * 100
    wanted = stored_image(png_of_16_bits(grey), ImageOptions())
    with_alpha = np.concatenate([grey, np.full_like(grey, 65535)], axis=2)
    assert stored_image(png_of_16_bits(with_alpha), ImageOptions()) == wanted


def test_sixteen_bits_with_hardly_any_contrast():
    flat = np.full((30, 20, 1), 1234)
    shown = np.asarray(opened(stored_image(png_of_16_bits(flat), ImageOptions()).content))
    np.testing.assert_array_equal(shown, 0)
    flat[3, 4], flat[5, 6] = 1434, 2234  # too few for the percentiles to move: the extremes count
    shown = np.asarray(opened(stored_image(png_of_16_bits(flat), ImageOptions()).content))
    assert (shown[3, 4], shown[5, 6], shown.max(), shown[0, 0]) == (51, 255, 255, 0)


def test_text_does_not_leave_a_windowed_png():
    note = PngImagePlugin.PngInfo()
    note.add_text("PatientName", "Mustermann")
    values = (np.arange(300).reshape(20, 15) * 99).astype(np.uint16)
    content = by_pillow(values, pnginfo=note)
    assert b"Mustermann" in content and content[24] == 16
    stored = stored_image(content, ImageOptions()).content
    assert b"Mustermann" not in stored and not opened(stored).text


# ---------------------------------------------------------------- shrinking


@pytest.mark.parametrize(
    "size, side, wanted",
    [
        ((120, 90), 60, (60, 45)),
        ((90, 120), 60, (45, 60)),
        ((100, 33), 10, (10, 3)),
        ((100, 37), 10, (10, 4)),
        ((300, 1), 30, (30, 1)),
        ((64, 64), 63, (63, 63)),
    ],
)
@pytest.mark.parametrize("make", [jpeg, png])
def test_size_after_shrinking(make, size, side, wanted):
    stored = stored_image(make(*size), ImageOptions(max_image_side=side)).content
    assert opened(stored).format == "JPEG" and image_size(stored) == wanted


@pytest.mark.parametrize("channels", [1, 3])
def test_shrunk_as_pillow_shrinks(channels):
    picture = SMOOTH if channels == 1 else np.stack([SMOOTH, SMOOTH[::-1], SMOOTH[:, ::-1]], axis=2)
    stored = opened(stored_image(by_pillow(picture), ImageOptions(max_image_side=40)).content)
    assert stored.mode == ("L" if channels == 1 else "RGB")
    wanted = Image.fromarray(picture).resize((30, 40), Image.Resampling.LANCZOS)
    difference = np.asarray(stored, np.int32) - np.asarray(wanted)
    assert np.abs(difference).mean() < 1 and np.abs(difference).max() <= 8  # JPEG is lossy


def test_shrinking_does_not_alias():
    board = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    stored = opened(stored_image(by_pillow(board), ImageOptions(max_image_side=37)).content)
    assert np.abs(np.asarray(stored, np.int32)[2:-2, 2:-2] - 127.5).max() <= 3


def test_shrunk_colour_is_not_subsampled():
    content = by_pillow(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8))
    stored = opened(stored_image(content, ImageOptions(max_image_side=32)).content)
    assert JpegImagePlugin.get_sampling(stored) == 0  # 4:4:4


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_shrunk_grey_has_one_channel(channels):
    rgba = np.stack([SMOOTH, SMOOTH, SMOOTH, 255 - SMOOTH], axis=2)
    kept = {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]
    content = tf.io.encode_png(rgba[..., kept]).numpy()
    options = ImageOptions(max_image_side=40)
    stored = stored_image(content, options)
    assert opened(stored.content).mode == "L"
    assert stored == stored_image(by_pillow(SMOOTH), options)  # alpha leaves no trace


def test_sixteen_bits_are_shrunk_too():
    stored = opened(
        stored_image(
            png_of_16_bits(SMOOTH[..., None] * 16), ImageOptions(max_image_side=40)
        ).content
    )
    assert (stored.format, stored.mode, stored.size) == ("JPEG", "L", (30, 40))
    assert np.asarray(stored).max() > 250


def test_jpeg_quality():
    content = png(64, 64)
    sizes, errors = [], []
    whole = Image.fromarray(decode(content).numpy()).resize((48, 48), Image.Resampling.LANCZOS)
    for quality in (30, 75, 95):
        stored = stored_image(content, ImageOptions(max_image_side=48, jpeg_quality=quality))
        sizes.append(len(stored.content))
        shown = np.asarray(opened(stored.content), np.int32)
        errors.append(np.abs(shown - np.asarray(whole)).mean())
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True)
    assert sizes[0] < sizes[2] / 2


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "the file is empty"),
        (b"hello", "not a JPEG, PNG or DICOM image"),
        (GIF, "not a JPEG, PNG or DICOM image"),
        (b"BM" + bytes(60), "not a JPEG, PNG or DICOM image"),
        (bytes(200), "not a JPEG, PNG or DICOM image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not a JPEG, PNG or DICOM image"),
        (png()[:20], "the image is damaged or cut short"),
        (jpeg()[:20], "the JPEG is cut short in its header"),
        (png(40, 40)[:-40], "the image is damaged or cut short"),
        (png(40, 40, dtype=np.uint16)[:-40], "the image is damaged or cut short"),
        (jpeg(40, 40)[:-40], "the image is damaged or cut short"),
        (by_pillow(SMOOTH, "JPEG", progressive=True)[:-40], "the image is damaged or cut short"),
    ],
)
def test_what_is_refused(content, message):
    assert fault(content) == message
    assert fault(content, max_image_side=3) == message


@pytest.mark.parametrize("content", [jpeg(7, 9), png(7, 9), png(7, 9, dtype=np.uint16)])
def test_too_many_pixels(content):
    assert fault(content, max_pixels=62) == "9 x 7 pixels are more than --max_pixels=62"
    stored_image(content, ImageOptions(max_pixels=63))


def test_size_is_checked_before_decoding():
    header = struct.pack(">IIBBBBB", 60_000, 50_000, 8, 2, 0, 0, 0)
    chunk = (
        struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    )
    bomb = b"\x89PNG\r\n\x1a\n" + chunk  # nothing that could be decoded
    wanted = "60000 x 50000 pixels are more than --max_pixels=100000000"
    assert fault(bomb) == wanted


def test_a_damaged_checksum_is_found():
    content = bytearray(png(40, 40))
    content[len(content) // 2] ^= 255
    assert fault(bytes(content)) == "the image is damaged or cut short"


def test_dicom_without_pydicom(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    monkeypatch.delitem(sys.modules, "data_builders.reading.dicom", raising=False)
    wanted = "a DICOM file needs pydicom: pip install '.[dicom]'"
    assert fault(bytes(128) + b"DICM" + bytes(100)) == wanted
    assert fault(b"text" * 50) == "not a JPEG, PNG or DICOM image"


# ---------------------------------------------------------------- threads


def test_many_threads_make_what_one_makes():
    contents = [jpeg(30, 20, seed) for seed in range(20)]
    contents += [png(30, 20, seed, dtype=np.uint16) for seed in range(20)]
    options = ImageOptions(max_image_side=16)
    with futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda content: stored_image(content, options), contents))
    assert together == [stored_image(content, options) for content in contents]
    assert len({stored.pixel_hash for stored in together}) == len(contents)
