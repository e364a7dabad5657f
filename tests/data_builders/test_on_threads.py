"""Cases read on threads: in order, no more than the next few, and what is left out of them."""

import os

import pytest

from data_builders.images import ImageOptions, stored_image
from data_builders.on_threads import case_examples
from data_builders.schema import BadData, BadImages, Case, CaseImage, CaseSource
from tests.pictures import jpeg, png


def case_of(case_id, *contents, patient_id="", **image):
    """A case with the given bytes as images; an exception in place of bytes is raised."""

    def read(content):
        if isinstance(content, Exception):
            raise content
        return content

    images = tuple(
        CaseImage(f"{case_id}/{i}", lambda c=content: read(c), where=f"{case_id} row {i}", **image)
        for i, content in enumerate(contents)
    )
    return Case(case_id, patient_id, images)


# ---------------------------------------------------------------- examples


def examples_of(cases, limit=0, **images):
    """(examples, messages on what was left out)."""
    source = CaseSource({"train": cases}, bad_images=BadImages(limit))
    examples = list(case_examples(cases, ImageOptions(**images), source))
    return examples, source.bad_images.messages


def expect_fault(message, cases, limit=0, **images):
    with pytest.raises(BadData) as caught:
        examples_of(cases, limit, **images)
    assert str(caught.value) == message


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
    examples, left_out = examples_of(cases, max_pixels=120)
    assert left_out == []
    assert [key for key, _ in examples] == [f"c{i}" for i in range(40)]
    assert examples[7][1] == {
        "case_id": "c7",
        "patient_id": "p7",
        "attributes": '{"a": "7", "b": "é"}',
        "images": contents[21:24],
        "image_id": ["i21", "i22", "i23"],
        "view_position": ["v21", "v22", "v23"],
        "pixel_hash": [stored_image(contents[i], ImageOptions()).pixel_hash for i in range(21, 24)],
        "class_label": [7, 7, 7],
    }


@pytest.mark.parametrize("threads", [True, False])
def test_only_the_next_few_cases_are_read(threads):
    read, content = [], jpeg()
    cases = (
        Case(f"c{i}", "", (CaseImage(f"i{i}", lambda i=i: read.append(i) or content),))
        for i in range(1000)
    )
    examples = case_examples(cases, ImageOptions(), CaseSource({}, threads=threads))
    for _ in range(50):
        next(examples)
    examples.close()
    workers = min(os.cpu_count(), 8) if threads else 1
    assert 50 <= len(read) <= 50 + 2 * workers + 1


def test_the_first_fault_in_order_is_named():
    missing = FileNotFoundError(2, "No such file or directory")
    cases = [case_of(f"c{i}", jpeg(), jpeg()) for i in range(5)]
    cases += [case_of("c5", jpeg(), b"not"), case_of("c6", missing), case_of("c7", b"")]
    examples = case_examples(cases, ImageOptions(), CaseSource({}))
    assert [next(examples)[0] for _ in range(5)] == ["c0", "c1", "c2", "c3", "c4"]
    with pytest.raises(BadData) as caught:
        next(examples)
    assert str(caught.value) == "c5 row 1: not a JPEG, PNG or DICOM image"
    expect_fault("c6 row 0: cannot be read: No such file or directory", cases[6:])


# ---------------------------------------------------------------- images that are left out

FAULTS = [  # of 20 cases, each with a good image before the bad one
    "c3 row 1: the file is empty",
    "c7 row 1: not a JPEG, PNG or DICOM image",
    "c9 row 1: cannot be read: Permission denied",
    "c16 row 1: 12 x 11 pixels are more than --max_pixels=120",
]


def spoilt_cases():
    bad = {3: b"", 7: b"not", 9: PermissionError(13, "Permission denied"), 16: jpeg(11, 12)}
    return [case_of(f"c{i}", jpeg(seed=i), bad.get(i, png(seed=i))) for i in range(20)]


@pytest.mark.parametrize("limit", [4, 5])
def test_bad_images_are_left_out_and_listed(limit):
    examples, left_out = examples_of(spoilt_cases(), limit, max_pixels=120)
    assert left_out == FAULTS
    assert [key for key, _ in examples] == [f"c{i}" for i in range(20)]
    alone = [key for key, example in examples if example["image_id"] == [f"{key}/0"]]
    assert alone == ["c3", "c7", "c9", "c16"]
    for _, example in examples:
        assert len({len(example[name]) for name in ("images", "image_id", "view_position",
                                                    "class_label", "pixel_hash")}) == 1  # fmt: skip


@pytest.mark.parametrize("limit, first", [(0, 0), (1, 1), (2, 2), (3, 3)])
def test_one_more_than_may_be_left_out(limit, first):
    """The same one each time, however the threads that read ahead take turns."""
    more = f"; that makes more than --max_bad_images={limit}" if limit else ""
    for _ in range(5):
        expect_fault(FAULTS[first] + more, spoilt_cases(), limit, max_pixels=120)


def test_a_case_without_a_good_image_is_left_out():
    cases = [case_of("c0", b"", b"x"), case_of("c1", jpeg())]
    examples, left_out = examples_of(cases, 2)
    assert examples[0] is None and examples[1][0] == "c1"
    assert left_out == [
        "c0 row 0: the file is empty",
        "c0 row 1: not a JPEG, PNG or DICOM image",
    ]
