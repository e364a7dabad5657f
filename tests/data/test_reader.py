import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from array_record.python import array_record_module

from micle_tf.data.reader import CaseIndex, CaseReader, build_index
from micle_tf.data.records import ArrayRecords, TFRecords, tfrecord_offsets


def record(case, num_images, findings=None, hashed=True):
    """A case as tfds writes it; every image is a string that names it."""

    def texts(*values):
        return tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[value.encode() for value in values])
        )

    def numbers(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    names = [f"i{case}_{i}" for i in range(num_images)]
    feature = {
        "case_id": texts(f"c{case}"),
        "patient_id": texts(f"p{case // 2}" if case % 5 else ""),
        "attributes": texts(json.dumps({"age": case})),
        "image_id": texts(*names),
        "images": texts(*(f"bytes of {name}" for name in names)),
        "view_position": texts(*[""] * num_images),
    }
    if findings is None:
        feature["class_label"] = numbers([case % 3 - 1] * num_images)
    else:
        feature["findings"] = numbers(np.ravel(findings).tolist())
    if hashed:
        feature["pixel_hash"] = numbers([pixel_hash(case, i) for i in range(num_images)])
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def pixel_hash(case, image):
    """Over the whole range of 64 bits with a sign."""
    return (-1) ** image * (2**63 - 1 - 1000 * case - image)


def write(path, records):
    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    for content in records:
        writer.write(content)
    writer.close()
    return str(path)


SIZES = [1 + (7 * case) % 4 for case in range(40)]


@pytest.fixture
def files(tmp_path):
    """Forty cases of one to four images in two files."""
    return [
        write(tmp_path / f"{part}", [record(case, SIZES[case]) for case in cases])
        for part, cases in (("a", range(25)), ("b", range(25, 40)))
    ]


def index_of(files, num_findings=0):
    return build_index(ArrayRecords(files), num_findings)[0]


@pytest.fixture
def reader(files):
    return CaseReader(ArrayRecords(files), index_of(files))


def images_of(case):
    return [f"bytes of i{case}_{i}".encode() for i in range(SIZES[case])]


def test_index(files):
    index, stored_bytes = build_index(ArrayRecords(files), num_findings=0)
    assert stored_bytes == sum(len(image) for case in range(40) for image in images_of(case))
    assert (index.num_cases, index.num_images) == (40, sum(SIZES))
    assert index.case_id.tolist() == [f"c{case}" for case in range(40)]
    assert index.patient_id.tolist() == [f"p{c // 2}" if c % 5 else "" for c in range(40)]
    assert index.images_per_case.tolist() == SIZES
    assert index.first_image.dtype == np.int64
    assert index.first_image.tolist() == [0, *np.cumsum(SIZES)]
    assert index.image_id.tolist() == [f"i{c}_{i}" for c in range(40) for i in range(SIZES[c])]
    assert index.case_of_image.tolist() == [c for c in range(40) for _ in range(SIZES[c])]
    assert index.class_label.tolist() == [c % 3 - 1 for c in range(40) for _ in range(SIZES[c])]
    assert index.findings.shape == (0, 0)
    assert index.pixel_hash.dtype == np.int64
    assert index.pixel_hash.tolist() == [
        pixel_hash(c, i) for c in range(40) for i in range(SIZES[c])
    ]


def test_patient_number_is_shared_by_the_cases_of_a_known_patient(files):
    index = index_of(files)
    number, patient = index.patient_number, index.patient_id
    for a in range(40):
        for b in range(a):
            assert (number[a] == number[b]) == (patient[a] == patient[b] != "")


def test_index_of_findings(tmp_path):
    findings = [np.array([[1, 0, -1], [-2, 1, 0]]), np.array([[0, 0, 1]])]
    path = write(tmp_path / "x", [record(c, len(f), f) for c, f in enumerate(findings)])
    index = index_of([path], num_findings=3)
    assert index.findings.dtype == np.int8
    np.testing.assert_array_equal(index.findings, np.concatenate(findings))
    assert index.class_label.shape == (0,)


def test_records_without_hashes_are_indexed_without(tmp_path):
    path = write(tmp_path / "x", [record(c, SIZES[c], hashed=False) for c in range(5)])
    index = index_of([path])
    assert index.pixel_hash.shape == (0,)
    assert index.num_cases == 5


def test_index_is_saved_whole(files, tmp_path):
    index = index_of(files)
    index.save(tmp_path / "index.npz")
    again = CaseIndex.load(tmp_path / "index.npz")
    assert index.arrays().keys() == again.arrays().keys()
    for stored, loaded in zip(index.arrays().values(), again.arrays().values(), strict=True):
        assert stored.dtype == loaded.dtype
        np.testing.assert_array_equal(stored, loaded)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "index.npz"]


def test_an_index_that_cannot_be_written_leaves_nothing(files, tmp_path):
    (tmp_path / "index.npz").mkdir()
    with pytest.raises(OSError):
        index_of(files).save(tmp_path / "index.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "index.npz"]


def test_joined_index_is_that_of_the_joined_files(files):
    both = index_of(files)
    joined = CaseIndex.join([index_of([file]) for file in files])
    for name, expected in both.arrays().items():
        np.testing.assert_array_equal(joined.arrays()[name], expected, err_msg=name)
    assert joined.first_image.dtype == np.int64
    assert CaseIndex.join([both]) is both


def test_joined_index_has_hashes_only_if_all_have(files):
    index = index_of(files)
    without = dataclasses.replace(index, pixel_hash=np.zeros(0, np.int64))
    for parts in ([index, without], [without, index]):
        joined = CaseIndex.join(parts)
        assert joined.pixel_hash.shape == (0,)
        assert joined.pixel_hash.dtype == np.int64
        assert joined.num_images == 2 * index.num_images


def test_read_gives_the_images_of_the_cases_in_order(reader):
    cases = [39, 0, 7, 25, 7]
    images = reader.read(tf.constant(cases, tf.int64))
    assert isinstance(images, tf.RaggedTensor)
    assert images.row_splits.dtype == tf.int64
    assert images.to_list() == [images_of(case) for case in cases]


def test_read_inside_a_pipeline(reader):
    dataset = tf.data.Dataset.range(40).shuffle(40, seed=1).batch(7)
    dataset = dataset.map(lambda cases: (cases, reader.read(cases)), num_parallel_calls=4)
    assert isinstance(dataset.element_spec[1], tf.RaggedTensorSpec)
    seen = {}
    for cases, images in dataset:
        seen.update(zip(cases.numpy().tolist(), images.to_list(), strict=True))
    assert seen == {case: images_of(case) for case in range(40)}


def test_a_reader_of_some_of_the_records(files):
    numbers = np.array([30, 2, 17], np.int64)
    index = CaseIndex.join([index_of(files)])
    reader = CaseReader(ArrayRecords(files), index, numbers=numbers)
    images = reader.read(tf.constant([2, 0, 0], tf.int64))
    assert images.to_list() == [images_of(17), images_of(30), images_of(30)]


def picture(name):
    """A record of another set: one image, under another name, and a label."""
    feature = {
        "photo": tf.train.Feature(bytes_list=tf.train.BytesList(value=[name])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[1])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def test_joined_readers_are_read_one_after_the_other(files, reader, tmp_path):
    path = str(tmp_path / "others.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for i in range(10):
            writer.write(picture(b"photo %d" % i))
    chosen = np.array([7, 1, 4], np.int64)
    one_each = CaseIndex(
        case_id=np.array(["x", "y", "z"]),
        patient_id=np.array([""] * 3),
        first_image=np.arange(4),
        image_id=np.array(["x", "y", "z"]),
        class_label=np.ones(3, np.int64),
        findings=np.zeros((0, 0), np.int8),
    )
    others = TFRecords([path], *tfrecord_offsets([path]))
    photos = CaseReader(others, one_each, ("photo",), chosen)
    index = CaseIndex.join([one_each, reader.index, one_each])
    joined = CaseReader.join([photos, reader, photos], index)
    assert joined.index is index
    expected = [[b"photo 7"], [b"photo 1"], [b"photo 4"]]
    expected = expected + [images_of(case) for case in range(40)] + expected
    cases = np.random.default_rng(0).permutation(46)
    dataset = tf.data.Dataset.from_tensors(cases).map(joined.read)
    (images,) = dataset
    assert images.row_splits.dtype == tf.int64
    assert images.to_list() == [expected[case] for case in cases]


def test_a_joined_reader_of_one_is_that_one_under_another_index(files, reader):
    index = dataclasses.replace(reader.index, case_id=np.char.add("set/", reader.index.case_id))
    joined = CaseReader.join([reader], index)
    assert joined.index is index
    assert joined.read(tf.constant([5], tf.int64)).to_list() == [images_of(5)]


def test_records_hold_the_whole_case(reader):
    (content,) = reader.read_records(np.array([30]))
    assert content == record(30, SIZES[30])
