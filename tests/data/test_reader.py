import json

import numpy as np
import pytest
import tensorflow as tf
from array_record.python import array_record_module

from micle_tf.data.reader import CaseIndex, CaseReader, build_index


def record(case, num_images, findings=None):
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
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


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


def images_of(case):
    return [f"bytes of i{case}_{i}".encode() for i in range(SIZES[case])]


def test_index(files):
    index = build_index(files, num_findings=0)
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


def test_patient_number_is_shared_by_the_cases_of_a_known_patient(files):
    index = build_index(files, num_findings=0)
    number, patient = index.patient_number, index.patient_id
    for a in range(40):
        for b in range(a):
            assert (number[a] == number[b]) == (patient[a] == patient[b] != "")


def test_index_of_findings(tmp_path):
    findings = [np.array([[1, 0, -1], [-2, 1, 0]]), np.array([[0, 0, 1]])]
    path = write(tmp_path / "x", [record(c, len(f), f) for c, f in enumerate(findings)])
    index = build_index([path], num_findings=3)
    assert index.findings.dtype == np.int8
    np.testing.assert_array_equal(index.findings, np.concatenate(findings))
    assert index.class_label.shape == (0,)


def test_index_is_saved_whole(files, tmp_path):
    index = build_index(files, num_findings=0)
    index.save(tmp_path / "index.npz")
    again = CaseIndex.load(tmp_path / "index.npz")
    for name in ("case_id", "patient_id", "first_image", "image_id", "class_label", "findings"):
        stored, loaded = getattr(index, name), getattr(again, name)
        assert stored.dtype == loaded.dtype
        np.testing.assert_array_equal(stored, loaded)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "index.npz"]


def test_joined_index_is_that_of_the_joined_files(files):
    both = build_index(files, num_findings=0)
    joined = CaseIndex.join([build_index([file], num_findings=0) for file in files])
    for name in ("case_id", "patient_id", "first_image", "image_id", "class_label", "findings"):
        np.testing.assert_array_equal(getattr(both, name), getattr(joined, name))
    assert joined.first_image.dtype == np.int64
    assert CaseIndex.join([both]) is both


def test_read_gives_the_images_of_the_cases_in_order(files):
    reader = CaseReader(files, build_index(files, num_findings=0))
    cases = [39, 0, 7, 25, 7]
    images = reader.read(tf.constant(cases, tf.int64))
    assert isinstance(images, tf.RaggedTensor)
    assert images.row_splits.dtype == tf.int64
    assert images.to_list() == [images_of(case) for case in cases]


def test_read_inside_a_pipeline(files):
    reader = CaseReader(files, build_index(files, num_findings=0))
    dataset = tf.data.Dataset.range(40).shuffle(40, seed=1).batch(7)
    dataset = dataset.map(lambda cases: (cases, reader.read(cases)), num_parallel_calls=4)
    assert isinstance(dataset.element_spec[1], tf.RaggedTensorSpec)
    seen = {}
    for cases, images in dataset:
        seen.update(zip(cases.numpy().tolist(), images.to_list(), strict=True))
    assert seen == {case: images_of(case) for case in range(40)}


def test_records_hold_the_whole_case(files):
    reader = CaseReader(files, build_index(files, num_findings=0))
    (content,) = reader.read_records(np.array([30]))
    assert content == record(30, SIZES[30])


def test_many_threads_may_read(files):
    from concurrent.futures import ThreadPoolExecutor

    reader = CaseReader(files, build_index(files, num_findings=0))
    with ThreadPoolExecutor(8) as pool:
        records = list(pool.map(lambda case: reader.read_records([case % 40])[0], range(400)))
    assert records == [record(case % 40, SIZES[case % 40]) for case in range(400)]
