"""report.json: written, lost, added to, and which images of several splits are one picture."""

import json

import pytest

from data_builders.images import ImageOptions
from data_builders.schema import BadImages, Case, CaseImage, CaseSource
from micle_tf.data import report
from tests.data.test_seen import index_of


def test_identical_pictures_of_several_splits():
    train = index_of([("a", "p", [10, 11]), ("b", "q", [12, 12])])  # 12 twice in one split
    test = index_of([("c", "r", [11, 13])])
    validation = index_of([("d", "s", [13, 14, 11])])
    indices = [("train", train), ("validation", validation), ("test", test)]
    found = sorted(report.identical_images(indices))
    assert found == [
        [("train", "i1"), ("validation", "i2"), ("test", "i0")],  # 11
        [("validation", "i0"), ("test", "i1")],  # 13
    ]
    assert report.identical_images([("train", train)]) == []


def test_a_split_of_several_datasets_is_one_split():
    one, other = index_of([("a", "p", [5, 6])]), index_of([("b", "q", [6, 7])])
    assert report.identical_images([("train", one), ("train", other)]) == []
    found = report.identical_images([("train", one), ("train", other), ("test", one)])
    assert sorted(map(sorted, found)) == [
        [("test", "i0"), ("train", "i0")],
        [("test", "i1"), ("train", "i0"), ("train", "i1")],
    ]


def test_indices_without_hashes_are_passed_over():
    known, unknown = index_of([("a", "p", [5])]), index_of([("b", "q", [None, None])])
    assert report.identical_images([("train", known), ("test", unknown)]) == []
    assert report.identical_images([("train", unknown), ("test", unknown)]) == []


def test_what_a_report_says():
    bad = BadImages(2)
    bad.add("row 3: no such image: x.jpg")
    source = CaseSource({}, bad_images=bad, stamp="abc")
    source.counts.update(turned=4)
    index = {"train": index_of([("a", "p", [5, 6])]), "test": index_of([("b", "q", [6])])}
    made = report.make(source, ImageOptions(max_image_side=64), index, 1000, 400)
    assert made == {
        "bad_images": ["row 3: no such image: x.jpg"],
        "identical_images": [
            [{"split": "train", "image_id": "i1"}, {"split": "test", "image_id": "i0"}]
        ],
        "source_bytes": 1000,
        "stored_bytes": 400,
        "max_image_side": 64,
        "stamp": "abc",
        "turned": 4,
        "with_position": 0,
    }
    assert json.loads(json.dumps(made)) == made


def test_written_read_and_added_to(tmp_path):
    folder = str(tmp_path)
    assert report.read(folder) == {}
    report.add(folder, {"stamp": "b"})  # there is none: it is found again anyway
    assert list(tmp_path.iterdir()) == []
    report.write(folder, {"stamp": "a", "turned": 1})
    report.add(folder, {"stamp": "b"})
    assert report.read(folder) == {"stamp": "b", "turned": 1}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"3", b"\xff\xfe"])
def test_a_damaged_report_is_one_that_was_lost(tmp_path, content):
    (tmp_path / report.FILE).write_bytes(content)
    assert report.read(str(tmp_path)) == {}


def test_bytes_of_the_files_that_know_them():
    class File:
        size = 70

    images = (CaseImage("a", File()), CaseImage("b", lambda: b"rendered"))
    source = CaseSource({"train": [Case("c", "", images)], "test": [Case("d", "", images[:1])]})
    assert report.source_bytes(source) == 140


def test_data_that_is_seen_otherwise_now(tmp_path):
    for name, noted in (("old", {report.SUPERSEDED: True}), ("new", {report.SUPERSEDED: False})):
        folder = tmp_path / f"derm_cases/{name}/1.0.0"
        folder.mkdir(parents=True)
        report.write(str(folder), noted)
    ask = lambda name: report.is_superseded(str(tmp_path), name)
    assert ask("derm_cases/old") and ask("derm_cases/new+derm_cases/old")
    assert not ask("derm_cases/new") and not ask("derm_cases/none")
