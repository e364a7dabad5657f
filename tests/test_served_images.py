"""What training, evaluation and an export see of one file: one picture, or all refuse it."""

import io
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data_builders import images as stored_images
from data_builders.images import BadImage, ImageOptions, stored_image
from micle_tf import export as exports
from micle_tf import served_images
from micle_tf.data.decode import decode, decode_crop, evaluation_view
from tests import kinds_of_images
from tests.pictures import png
from tests.test_export import answers, classifier_of

ACCEPTED, REFUSED = kinds_of_images.accepted(), kinds_of_images.refused()
BY_BYTES = ("serving_default", "embed", "case")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    classifier, folder = classifier_of(), tmp_path_factory.mktemp("exported")
    path = exports.write_export(classifier, str(folder), "m", 1, {}, max_pixels=9_000).saved_model
    loaded = tf.saved_model.load(path)
    card = (folder / "MODEL_CARD.md").read_text()
    return types.SimpleNamespace(classifier=classifier, loaded=loaded, card=card)


def ask(exported, name, *contents):
    return exported.loaded.signatures[name](image_bytes=tf.constant(contents))


@pytest.mark.slow
@pytest.mark.parametrize("name", ACCEPTED)
def test_one_picture_everywhere(exported, name):
    content = ACCEPTED[name]
    stored = stored_image(content, ImageOptions())
    pixels = decode(stored.content).numpy()
    wanted = kinds_of_images.upright(content)
    assert pixels.shape == wanted.shape
    if "CMYK" not in name and "YCCK" not in name and "alpha" not in name:
        assert np.abs(pixels.astype(int) - wanted).max() <= 12  # the fast inverse DCT

    whole = decode_crop(stored.content, lambda size: tf.concat([[0, 0], size], axis=0))
    np.testing.assert_array_equal(whole, pixels)
    views = evaluation_view(stored.content, 40)[None]
    features, probabilities = answers(exported.classifier, views)
    for signature in BY_BYTES:
        answer = ask(exported, signature, content)
        if signature == "embed":
            np.testing.assert_allclose(answer["features"], features, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-5)


@pytest.mark.parametrize("encoding", ["JPEG", "PNG"])
@pytest.mark.parametrize("kind", [{}, {"mode": "L"}, {"mode": "CMYK"}, {"progressive": True}])
def test_turned_as_pillow_turns(encoding, kind):
    """As far from Pillow as the same file is without its EXIF, and one more at most."""
    if encoding == "PNG" and kind not in ({}, {"mode": "L"}):
        pytest.skip("a JPEG's kind")
    off = {}
    for turned in kinds_of_images.ORIENTATIONS:
        content = kinds_of_images.saved(kinds_of_images.picture(), encoding, turned=turned, **kind)
        pixels = decode(stored_image(content, ImageOptions()).content).numpy().astype(int)
        off[turned] = np.abs(pixels - kinds_of_images.upright(content)).max()
    assert max(off.values()) <= off[1] + 1


@pytest.mark.parametrize("name", REFUSED)
def test_refused_everywhere(exported, name):
    with pytest.raises(BadImage):
        stored_image(REFUSED[name], ImageOptions())
    good = ACCEPTED["JPEG turned 1"]
    for signature in BY_BYTES:
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            ask(exported, signature, good, REFUSED[name])
        assert "image_bytes[1]: " in str(caught.value)


@pytest.mark.parametrize(
    "name, words",
    [
        ("GIF", "neither JPEG nor PNG; send JPEG or PNG of 8 bits"),
        ("JPEG without its end", "a JPEG that is cut short"),
        ("JPEG cut in its header", "a JPEG cut short in its header"),
        ("JPEG of 12 bits", "a JPEG of more than 8 bits; send a baseline"),
        ("lossless JPEG", "a lossless or otherwise unusual JPEG; send a baseline"),
    ],
)
def test_the_message_says_what_to_send(exported, name, words):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        ask(exported, "serving_default", REFUSED[name])
    assert f"image_bytes[0]: {words}" in str(caught.value)


def test_sixteen_bits_are_refused_by_an_export(exported):
    content = png(dtype=np.uint16)
    stored_image(content, ImageOptions())
    for signature in BY_BYTES:
        with pytest.raises(tf.errors.InvalidArgumentError, match="a PNG of 16 bits; send"):
            ask(exported, signature, content)


def test_pixels_of_a_request_are_bounded(exported):
    content = ACCEPTED["PNG turned 6"]  # 47 x 61 pixels
    ask(exported, "serving_default", *[content] * 3)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        ask(exported, "case", *[content] * 4)
    assert "11468 pixels in all are more than max_pixels=9000; send fewer" in str(caught.value)
    assert exported.loaded.max_pixels.numpy() == 9_000
    assert "more than 9,000 pixels in all" in exported.card


def test_no_size_is_too_large_to_count(exported):
    """Numbers that run over must not make room for others."""
    huge = png(1, 1)
    for size in (b"\xff" * 8, b"\x7f\xff\xff\xff" * 2, bytes(8)):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=r"a PNG without a size|pixels in all"
        ):
            ask(exported, "serving_default", *[huge[:16] + size + huge[24:]] * 3)


@pytest.mark.slow
def test_as_stored_for_a_model_that_learned_from_such(tmp_path):
    classifier = classifier_of()
    path = exports.write_export(classifier, str(tmp_path), "m", 1, {}, as_stored=True).saved_model
    content = ACCEPTED["JPEG turned 6"]
    answer = tf.saved_model.load(path).signatures["serving_default"](image_bytes=[content])
    lying = evaluation_view(content, 40)[None]  # without a mark, it is not turned
    assert np.abs(lying[0] - evaluation_view(ACCEPTED["JPEG turned 1"], 40)).max() < 1e-6
    np.testing.assert_allclose(answer["probabilities"], answers(classifier, lying)[1], atol=1e-5)
    assert "Photos are shown as they are stored" in (tmp_path / "MODEL_CARD.md").read_text()


# ---------------------------------------------------------------- two readers of one header


@tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string)])
def found(content):
    return served_images.header_of(content)


@pytest.mark.slow
def test_both_readers_of_exif_agree_whatever_it_holds():
    """Bytes of the EXIF block changed at random; the TensorFlow one never fails."""
    rng, seen = np.random.default_rng(0), set()
    for encoding in ("JPEG", "PNG"):
        for _ in range(300):
            content = bytearray(
                kinds_of_images.saved(
                    kinds_of_images.picture(8, 8), encoding, turned=int(rng.integers(1, 9))
                )
            )
            start = content.index(b"MM\0*")
            for place in rng.integers(start - 8, start + 40, rng.integers(0, 4)):
                content[place] = rng.choice([0, 1, 3, 4, 6, 8, 0x11, 0x12, 0x49, 0x4D, 255])
            content = bytes(content)
            wanted = stored_images.orientation(content)
            header = found(content)
            if not header.fault.numpy():
                assert header.orientation == wanted, content
                seen.add(wanted)
    assert seen == set(range(1, 9))


def test_both_readers_agree_where_a_file_is_cut():
    content = kinds_of_images.with_position(
        kinds_of_images.saved(kinds_of_images.picture(8, 8), "JPEG")
    )
    for length in range(3, len(content), 7):
        part = content[:length]
        whole = stored_images.header_is_whole(part)
        assert (b"header" not in found(part).fault.numpy()) == whole
        size = stored_images.image_size(part)
        assert found(part).pixels == (size[0] * size[1] if size else 0) or not whole


def test_long_runs_in_a_header_are_passed_over_at_once():
    photo = kinds_of_images.saved(kinds_of_images.picture(), "JPEG", turned=6)
    place = photo.index(b"\xff\xdb")
    for run in (bytes(10**6), b"\xff" * 10**6, b"x\xff\x01" * 4_000 + bytes(10**6)):
        header = found(photo[:place] + run + photo[place:])
        assert header.fault == b"" and header.orientation == 6 and header.pixels == 47 * 61


def test_stripped_copies_show_the_same_and_say_nothing():
    for name, content in ACCEPTED.items():
        plain = stored_image(content, ImageOptions())
        bare = stored_image(content, ImageOptions(strip_metadata=True))
        assert bare.pixel_hash == plain.pixel_hash and not bare.has_position
        np.testing.assert_array_equal(decode(bare.content), decode(plain.content), err_msg=name)
        assert stored_images.orientation(bare.content) == stored_images.orientation(content)
        said = Image.open(io.BytesIO(bare.content))
        assert set(said.getexif()) <= {0x0112}
        for word in (b"Jane", b"comment", b"GPS", b"maker", b"junk"):
            assert word not in bare.content, (name, word)
