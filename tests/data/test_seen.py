"""seen.npz: written, read, taken over, and hashes that tell pictures and patients apart."""

import json

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.data.cases import CaseData
from micle_tf.data.reader import CaseIndex, CaseReader
from micle_tf.data.seen import CHOSEN_ON, LEARNED, UNLABELLED, Seen, patient_hashes, picture_hashes

SALT = bytes(range(16))


def index_of(cases):
    """A `CaseIndex` of [(case_id, patient_id, [pixel hash])], without hashes where it is [None]."""
    pictures = [picture for *_, images in cases for picture in images]
    per_case = [len(images) for *_, images in cases]
    known = None not in pictures
    return CaseIndex(
        case_id=np.array([case for case, *_ in cases], np.str_),
        patient_id=np.array([patient for _, patient, _ in cases], np.str_),
        first_image=np.concatenate([[0], np.cumsum(per_case)]).astype(np.int64),
        image_id=np.array([f"i{k}" for k in range(len(pictures))], np.str_),
        class_label=np.zeros(len(pictures), np.int64),
        findings=np.zeros((0, 0), np.int8),
        pixel_hash=np.array(pictures if known else [], np.int64),
    )


def data_of(name, **splits):
    """`CaseData` of {split: cases as above}."""
    index = {split: index_of(cases) for split, cases in splits.items()}
    readers = {split: CaseReader([], part) for split, part in index.items()}
    return CaseData(name, ("x", "y"), (), True, (), index, readers)


def joined(*parts):
    return CaseData("+".join(p.name for p in parts), (), (), True, (), {}, {}, parts=parts)


def test_pictures_are_told_apart_and_depend_on_the_salt():
    pictures = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 100_000)
    pictures[:4] = [0, -1, 1, -(2**63)]
    index = index_of([("c", "", pictures.tolist())])
    hashes = picture_hashes(index, SALT)
    assert hashes.dtype == np.uint64 and len(np.unique(hashes)) == len(np.unique(pictures))
    assert not np.isin(hashes, picture_hashes(index, bytes(16))).any()
    # Every bit of the hash follows every bit of the picture in half of the cases (avalanche).
    flipped = picture_hashes(index_of([("c", "", (pictures ^ 1).tolist())]), SALT)
    bits = np.unpackbits((hashes ^ flipped).view(np.uint8))
    assert bits.mean() == pytest.approx(0.5, abs=0.002)


def test_patients_or_cases_where_they_are_not_known():
    def hashes(*cases):
        return patient_hashes(index_of([(*pair, [0]) for pair in cases]), SALT).tolist()

    one, two, three = hashes(("c1", "p1"), ("c2", "p1"), ("c3", "p2"))
    assert one == two != three
    alike = hashes(("c1", "7"), ("c2", "007"), ("c3", "7.0"), ("c4", "70"), ("7", ""), ("7.0", ""))
    assert alike[0] == alike[1] == alike[2] and alike[4] == alike[5]
    assert len(set(alike)) == 3
    # What stands for a patient in data that is grouped by image is the case of other data.
    assert hashes(("c1", ""), ("c1_front", "case c1"), ("c1", "case C1")) == hashes(("c1", "")) * 3
    (repeated,) = {*patient_hashes(index_of([("c", "p", [1, 2, 3])]), SALT).tolist()}
    assert repeated == hashes(("x", "p"))[0]


def test_written_and_read(tmp_path):
    data = data_of(
        "derm/a-0123",
        train=[("c1", "p1", [1, 2]), ("c2", "p2", [3])],
        validation=[("c3", "p3", [4])],
    )
    seen = Seen.before("").add(LEARNED, data, "train", np.array([0, 2]))
    seen = seen.add(CHOSEN_ON, data, "validation").add(LEARNED, data, "train", np.array([1]))
    for path in (f"{tmp_path}/seen.npz", "ram://seen/seen.npz"):
        tf.io.gfile.makedirs(path.rpartition("/")[0])
        seen.write(path)
        found = Seen.read(path.rpartition("/")[0])
        assert (found.salt, found.unknown, len(found.sets)) == (seen.salt, "", 2)
        learned, chosen_on = found.sets
        assert (learned.how, learned.data, learned.by_itself) == (LEARNED, "derm/a-0123", True)
        everything = picture_hashes(data.index["train"], seen.salt)
        assert learned.pictures.tolist() == sorted(everything.tolist())
        assert len(learned.patients) == 2 and len(chosen_on.patients) == 1
    with np.load(tmp_path / "seen.npz") as arrays:  # nothing but hashes
        assert "p1" not in json.dumps({name: str(values) for name, values in arrays.items()})
    assert Seen.before("").salt != seen.salt


def test_taken_over_from_the_run_before(tmp_path):
    a, b = (data_of(f"set/{name}", train=[(name, name, [k])]) for k, name in enumerate("ab"))
    first = Seen.before("").add(UNLABELLED, joined(a, b), "train")
    assert [(one.data, len(one.pictures)) for one in first.sets] == [("set/a", 1), ("set/b", 1)]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first.write(str(tmp_path / "one/seen.npz"))
    second = Seen.before(str(tmp_path / "one")).add(LEARNED, a, "train")
    assert second.salt == first.salt
    assert [(one.how, one.by_itself) for one in second.sets] == [
        (UNLABELLED, False), (UNLABELLED, False), (LEARNED, True),
    ]  # fmt: skip
    second.write(str(tmp_path / "two/seen.npz"))
    third = Seen.before(str(tmp_path / "two")).add(UNLABELLED, a, "train")
    assert len(third.sets) == 4 and sum(one.by_itself for one in third.sets) == 1


def test_a_run_without_the_file_and_one_whose_file_is_damaged(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert Seen.read(str(tmp_path)).unknown == (
        f"{tmp_path} has no seen.npz, as runs of earlier versions"
    )
    data = data_of("set/a", train=[("c", "", [1])])
    later = Seen.before(str(tmp_path)).add(LEARNED, data, "train")
    assert later.unknown and len(later.sets) == 1  # and it is known that something is not
    later.write(str(tmp_path / "seen.npz"))
    assert Seen.read(str(tmp_path)).unknown == later.unknown
    content = (tmp_path / "seen.npz").read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"x" * 100, b"\x93NUMPY" + content[6:]):
        (tmp_path / "seen.npz").write_bytes(damaged)
        assert Seen.read(str(tmp_path)).unknown == f"{tmp_path}/seen.npz is damaged"


def test_data_without_hashes_of_pictures():
    seen = Seen.before("").add(LEARNED, data_of("cifar", train=[("train-1", "", [None])]), "train")
    assert len(seen.sets[0].pictures) == 0 and len(seen.sets[0].patients) == 1
