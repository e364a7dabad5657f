import hashlib
import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data_builders import case_builder
from data_builders.case_builder import BadData, Case, CaseImage, choose_split, complete_splits
from tests.data_builders.manifests import GIF
from tests.pictures import jpeg, png


def case_of(case_id, *contents, patient_id="", **image):
    """A case with the given bytes as images; an exception in place of bytes is raised."""

    def read(content):
        if isinstance(content, Exception):
            raise content
        return content

    images = tuple(
        CaseImage(f"{case_id}/{i}", lambda c=content: read(c), source=f"{case_id} row {i}", **image)
        for i, content in enumerate(contents)
    )
    return Case(case_id, patient_id, images)


# ---------------------------------------------------------------- images


@pytest.mark.parametrize(
    "content",
    [
        jpeg(7, 9),
        jpeg(7, 9, channels=1),
        png(7, 9),
        png(7, 9, channels=1),
        png(7, 9, channels=2),
        png(7, 9, channels=4),
        png(7, 9, channels=1, dtype=np.uint16),
        png(7, 9, channels=4, dtype=np.uint16),
    ],
)
def test_images_that_are_accepted(content):
    assert case_builder.image_size(content) == (7, 9)
    case_builder.check_image(content, "here", max_pixels=63)
    with pytest.raises(BadData) as caught:
        case_builder.check_image(content, "here", max_pixels=62)
    assert str(caught.value) == "here: 9 x 7 pixels are more than --max_pixels=62"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "here: the file is empty"),
        (b"hello", "here: not a JPEG or PNG image"),
        (GIF, "here: not a JPEG or PNG image"),
        (b"BM" + bytes(60), "here: not a JPEG or PNG image"),
        (png()[:20], "here: not a JPEG or PNG image"),
        (jpeg()[:20], "here: not a JPEG or PNG image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "here: not a JPEG or PNG image"),
    ],
)
def test_content_that_is_no_image(content, message):
    with pytest.raises(BadData) as caught:
        case_builder.check_image(content, "here", max_pixels=100)
    assert str(caught.value) == message


def pillow(mode, encoding, **options):
    """(bytes of a smooth picture in another mode, what Pillow makes of it in RGB)."""
    y, x = np.mgrid[:40, :50] * 4
    picture = Image.fromarray(np.stack([y, x, 200 - y], -1).astype(np.uint8)).convert(mode)
    content = io.BytesIO()
    picture.save(content, encoding, **options)
    return content.getvalue(), np.asarray(Image.open(content).convert("RGB"), np.int32)


@pytest.mark.parametrize(
    "mode, encoding, tolerance",
    [
        ("1", "PNG", 0),
        ("L", "PNG", 0),
        ("LA", "PNG", 0),
        ("P", "PNG", 0),
        ("RGBA", "PNG", 0),
        ("CMYK", "JPEG", 4),  # lossy, and rounded twice on the way to RGB
        ("L", "JPEG", 4),
        ("RGB", "JPEG", 12),  # decoders differ in how they enlarge the halved colour planes
    ],
)
def test_modes_of_images(mode, encoding, tolerance):
    content, wanted = pillow(mode, encoding)
    case_builder.check_image(content, "here", max_pixels=2000)
    decoded = tf.io.decode_image(content, channels=3, expand_animations=False).numpy()
    assert decoded.dtype == np.uint8
    assert np.abs(decoded - wanted).max() <= tolerance


def test_sixteen_bits_are_read_as_eight():
    content = png(7, 9, channels=3, dtype=np.uint16)
    wide = tf.io.decode_png(content, dtype=tf.uint16).numpy()
    decoded = tf.io.decode_image(content, channels=3, expand_animations=False).numpy()
    np.testing.assert_array_equal(decoded, wide >> 8)


@pytest.mark.parametrize(
    "content",
    [
        jpeg(40, 40),
        jpeg(40, 40, channels=1),
        png(40, 40),
        pillow("RGB", "JPEG", progressive=True)[0],
        pillow("CMYK", "JPEG")[0],
        pillow("P", "PNG")[0],
    ],
)
@pytest.mark.parametrize("kept", [0.5, 0.6, 0.9, 0.99])
def test_images_that_are_cut_short(content, kept):
    with pytest.raises(BadData) as caught:
        case_builder.check_image(content[: int(kept * len(content))], "here", max_pixels=2000)
    assert str(caught.value) == "here: the image is damaged or cut short"


def test_an_image_without_its_last_byte_is_cut_short():
    for content in (jpeg(40, 40), png(40, 40)):
        with pytest.raises(BadData) as caught:
            case_builder.check_image(content[:-1], "here", max_pixels=1600)
        assert str(caught.value) == "here: the image is damaged or cut short"


def test_a_damaged_png_is_noticed():
    content = bytearray(png(40, 40))
    content[len(content) // 2] ^= 1
    with pytest.raises(BadData) as caught:
        case_builder.check_image(bytes(content), "here", max_pixels=1600)
    assert str(caught.value) == "here: the image is damaged or cut short"


@pytest.mark.parametrize("side", [100_000, 2**31 - 1])
def test_an_image_is_not_decoded_to_find_that_it_is_too_large(side, monkeypatch):
    monkeypatch.setattr(tf.io, "decode_image", None)
    header = bytearray(png())
    header[16:24] = side.to_bytes(4, "big") * 2
    with pytest.raises(BadData) as caught:
        case_builder.check_image(bytes(header), "here", max_pixels=100)
    assert str(caught.value) == f"here: {side} x {side} pixels are more than --max_pixels=100"
    with pytest.raises(BadData) as caught:
        case_builder.check_image(jpeg(11, 12), "here", max_pixels=131)
    assert str(caught.value) == "here: 12 x 11 pixels are more than --max_pixels=131"


# ---------------------------------------------------------------- examples


def test_examples_are_in_order_with_labels_and_attributes():
    contents = [jpeg(seed=i) for i in range(120)]
    cases = [
        Case(
            f"c{i}",
            f"p{i}",
            tuple(
                CaseImage(f"i{j}", lambda j=j: contents[j], view_position=f"v{j}", class_label=i)
                for j in range(3 * i, 3 * i + 3)
            ),
            {"b": "é", "a": str(i)},
        )
        for i in range(40)
    ]
    examples = list(case_builder.case_examples(cases, max_pixels=120))
    assert [key for key, _ in examples] == [f"c{i}" for i in range(40)]
    assert examples[7][1] == {
        "case_id": "c7",
        "patient_id": "p7",
        "attributes": '{"a": "7", "b": "é"}',
        "images": contents[21:24],
        "image_id": ["i21", "i22", "i23"],
        "view_position": ["v21", "v22", "v23"],
        "class_label": [7, 7, 7],
    }


def test_findings_take_the_place_of_labels():
    images = tuple(CaseImage(f"i{j}", lambda: b"x", findings=(1, -j, 0)) for j in range(2))
    ((_, example),) = case_builder.case_examples([Case("c", "p", images)])
    assert "class_label" not in example
    assert example["findings"].dtype == np.int8
    np.testing.assert_array_equal(example["findings"], [[1, 0, 0], [1, -1, 0]])


@pytest.mark.parametrize("max_pixels", [None, 1000])
def test_only_the_next_few_cases_are_read(max_pixels):
    read, content = [], jpeg()
    cases = (
        Case(f"c{i}", "", (CaseImage(f"i{i}", lambda i=i: read.append(i) or content),))
        for i in range(1000)
    )
    examples = case_builder.case_examples(cases, max_pixels)
    for _ in range(50):
        next(examples)
    examples.close()
    assert 50 <= len(read) <= 50 + 2 * os.cpu_count() + 1


def test_the_first_fault_in_order_is_named():
    missing = FileNotFoundError(2, "No such file or directory")
    cases = [case_of(f"c{i}", jpeg(), jpeg()) for i in range(5)]
    cases += [case_of("c5", jpeg(), b"not"), case_of("c6", missing), case_of("c7", b"")]
    examples = case_builder.case_examples(cases, max_pixels=1000)
    assert [next(examples)[0] for _ in range(5)] == ["c0", "c1", "c2", "c3", "c4"]
    with pytest.raises(BadData) as caught:
        next(examples)
    assert str(caught.value) == "c5 row 1: not a JPEG or PNG image"
    with pytest.raises(BadData) as caught:
        list(case_builder.case_examples(cases[6:], max_pixels=1000))
    assert str(caught.value) == "c6 row 0: cannot be read: No such file or directory"


# ---------------------------------------------------------------- splits


def test_shares_of_the_splits():
    splits = [choose_split(f"patient {i}") for i in range(20_000)]
    # Standard deviations: 0.0028 and 0.0021.
    assert splits.count("test") / 20_000 == pytest.approx(0.2, abs=0.012)
    assert splits.count("validation") / 20_000 == pytest.approx(0.1, abs=0.009)


def test_split_is_the_hash_of_the_key():
    for key in ("patient p1", "case c1", "patient é"):
        share = int(hashlib.sha256(key.encode()).hexdigest()[:16], 16) / 16**16
        wanted = "test" if share < 0.2 else "validation" if share < 0.3 else "train"
        assert choose_split(key) == wanted


@pytest.mark.parametrize("stated", ["", "train"])
def test_three_patients_are_enough_for_three_splits(stated):
    for first in range(0, 600, 3):
        chosen, _ = complete_splits({f"patient {first + i}": stated for i in range(3)})
        assert sorted(chosen.values()) == ["test", "train", "validation"]


@pytest.mark.parametrize("stated", ["", "train"])
def test_train_comes_first(stated):
    for i in range(100):
        assert complete_splits({f"patient {i}": stated})[0] == {f"patient {i}": "train"}
        two, _ = complete_splits({f"patient {i}": stated, f"patient {i + 1}": stated})
        assert len(set(two.values())) == 2 and "train" in two.values()


def test_a_split_that_is_stated_stays():
    stated = {f"patient {i}": ("train", "test", "validation")[i % 3] for i in range(30)}
    assert complete_splits(stated) == (stated, "")
    only_test = {f"case {i}": "test" for i in range(9)}
    assert complete_splits(only_test) == (only_test, "")
    chosen, note = complete_splits(only_test | {"patient 1": ""})
    assert chosen == only_test | {"patient 1": "train"}
    assert note == "1 patient was given a split, having none"


def test_nothing_depends_on_the_order():
    for stated in ("", "train"):
        for size in (3, 5, 50):
            keys = [f"case {i}" for i in range(size)]
            first, note = complete_splits(dict.fromkeys(keys, stated))
            again, same_note = complete_splits(dict.fromkeys(reversed(keys), stated))
            assert (first, note) == (again, same_note)


def test_patient_key():
    assert case_builder.patient_key("p1", "c1") == "patient p1"
    assert case_builder.patient_key("", "c1") == "case c1"


# ---------------------------------------------------------------- the last check


def test_cases_that_are_sound():
    case_builder.check_cases(
        {
            "train": [case_of("c1", b"", b"", patient_id="p"), case_of("c2", b"", patient_id="p")],
            "test": [case_of("c3", b""), case_of("c4", b"")],
        }
    )


@pytest.mark.parametrize(
    "train, test, message",
    [
        (
            case_of("c1", b"", patient_id="p"),
            case_of("c2", b"", patient_id="p"),
            "c2 row 0: patient p is in test, but in train in c1 row 0; "
            "a patient must stay in one split",
        ),
        (
            case_of("c1", b"", patient_id="p"),
            case_of("c1", b"", patient_id="q"),
            "c1 row 0: case c1 is there twice (c1 row 0)",
        ),
        (
            case_of("c1", b""),
            Case("c2", "", case_of("c1", b"").images),
            "c1 row 0: image c1/0 is there twice (c1 row 0)",
        ),
        (case_of("c1", b""), Case("c2", "", ()), "case c2 has no image"),
    ],
)
def test_cases_that_are_not(train, test, message):
    with pytest.raises(BadData) as caught:
        case_builder.check_cases({"train": [train], "test": [test]})
    assert str(caught.value) == message
