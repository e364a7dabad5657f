import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from array_record.python import array_record_module

from micle_tf.data.records import ArrayRecords, JoinedRecords, TFRecords, tfrecord_offsets
from micle_tf.errors import BadInput

# Of 0 to 90 bytes, some ending in zeros, in three files.
CONTENTS = [bytes([i + 1]) * (7 * i % 91) + bytes(i % 3) for i in range(50)]
PARTS = ((0, 20), (20, 21), (21, 50))


def write_tfrecord(path, contents):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in contents:
            writer.write(content)


def write_array_record(path, contents):
    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    for content in contents:
        writer.write(content)
    writer.close()


def tf_records(files):
    return TFRecords(files, *tfrecord_offsets(files))


KINDS = {
    "tfrecord": (write_tfrecord, tf_records),
    "array_record": (write_array_record, ArrayRecords),
}


@pytest.fixture(params=KINDS)
def records(request, tmp_path):
    write, source = KINDS[request.param]
    files = [tmp_path / f"part{i}" for i in range(len(PARTS))]
    for file, (start, end) in zip(files, PARTS, strict=True):
        write(file, CONTENTS[start:end])
    return source(files)


def test_records_are_read_by_number_in_any_order(records):
    assert len(records) == 50
    numbers = np.random.default_rng(0).integers(0, 50, 200)
    for some in (numbers, numbers.tolist(), range(50), [], np.array([49])):
        assert records.read(some) == [CONTENTS[number] for number in some]


def test_joined_records(records, tmp_path):
    write_tfrecord(tmp_path / "more", CONTENTS[:3])
    joined = JoinedRecords([records, tf_records([tmp_path / "more"]), records])
    assert len(joined) == 103
    expected = CONTENTS + CONTENTS[:3] + CONTENTS
    numbers = np.random.default_rng(0).permutation(103)
    assert joined.read(numbers) == [expected[number] for number in numbers]
    assert joined.read([]) == []


def test_many_threads_may_read(records):
    joined = JoinedRecords([records, records])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: joined.read([number % 100, 3]), range(1000)))
    assert found == [[(CONTENTS + CONTENTS)[number % 100], CONTENTS[3]] for number in range(1000)]


def test_offsets_follow_from_the_lengths(tmp_path):
    files = [tmp_path / f"part{i}" for i in range(len(PARTS))]
    for file, (start, end) in zip(files, PARTS, strict=True):
        write_tfrecord(file, CONTENTS[start:end])
    offsets, lengths, counts = tfrecord_offsets(files)
    assert offsets.dtype == lengths.dtype == counts.dtype == np.int64
    assert counts.tolist() == [20, 1, 29]
    assert lengths.tolist() == [len(content) for content in CONTENTS]
    expected = [sum(16 + len(c) for c in CONTENTS[a:i]) for a, b in PARTS for i in range(a, b)]
    assert offsets.tolist() == expected


def test_files_without_records(tmp_path):
    files = [tmp_path / "empty", tmp_path / "one", tmp_path / "empty2"]
    for file, contents in zip(files, ([], [b"x"], []), strict=True):
        write_tfrecord(file, contents)
    records = tf_records(files)
    assert records.read([0]) == [b"x"]
    assert len(tf_records(files[:1])) == 0


def test_a_file_cut_anywhere_within_a_record_is_refused_by_name(tmp_path):
    path = tmp_path / "short.tfrecord"
    write_tfrecord(path, [b"abcde", b"fg"])
    whole = path.read_bytes()
    assert len(whole) == 16 + 5 + 16 + 2
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        if size in (0, 21):  # between two records
            assert len(tfrecord_offsets([path])[0]) == (size > 0)
            continue
        with pytest.raises(BadInput) as caught:
            tfrecord_offsets([path])
        assert str(caught.value) == (
            f"{path}: damaged or cut short: record {int(size > 21)} ends after the {size} bytes "
            "of the file; prepare the data again"
        )


def test_a_file_that_changed_after_it_was_indexed(tmp_path):
    path = tmp_path / "changed"
    write_tfrecord(path, [b"abcde", b"fg", b"hij"])
    records = tf_records([path])
    write_tfrecord(path, [b"abcde", b"fgh"])
    assert records.read([0]) == [b"abcde"]
    for number, offset, length in ((1, 21, 2), (2, 39, 3)):
        with pytest.raises(BadInput) as caught:
            records.read([0, number])
        assert str(caught.value) == (
            f"{path}: changed since it was indexed: no record of {length} bytes at byte {offset}"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_file_is_named(kind, tmp_path):
    write, source = KINDS[kind]
    write(tmp_path / "there", [b"x"])
    with pytest.raises(BadInput, match=rf"^{tmp_path}/gone: .*[Nn]o such file"):
        source([tmp_path / "there", tmp_path / "gone"])


def test_damaged_array_records(tmp_path):
    path = tmp_path / "a.array_record"
    contents = [np.random.default_rng(i).bytes(5000) for i in range(50)]
    write_array_record(path, contents)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        BadInput, match=rf"^{tmp_path}: the records are damaged, prepare .* again: "
    ):
        ArrayRecords([path])
    at = whole.index(contents[20]) + 100
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    records = ArrayRecords([path])
    assert records.read([3]) == [contents[3]]
    with pytest.raises(
        BadInput, match=rf"^{tmp_path}: the records are damaged, prepare .* again: "
    ):
        records.read([20])


MANY_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from micle_tf.data.records import ArrayRecords, TFRecords, tfrecord_offsets
kind, *files = sys.argv[1:]
if kind == "tfrecord":
    records = TFRecords(files, *tfrecord_offsets(files))
else:
    records = ArrayRecords(files)
assert records.read(range(100)) == [b"%d" % i for i in range(100)] == records.read(range(100))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_there_may_be_more_files_than_a_process_may_open_unless_it_asks(kind, tmp_path):
    files = [str(tmp_path / f"{i:03d}") for i in range(100)]
    for i, file in enumerate(files):
        KINDS[kind][0](file, [b"%d" % i])
    command = [sys.executable, "-c", MANY_FILES, kind, *files]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
