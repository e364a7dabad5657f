"""Who goes into which split when nobody says so: by the hash of the patient."""

import hashlib

import pytest

from data_builders.splits import (
    choose_split,
    complete_splits,
    key_of_spellings,
    patient_key,
    study_key,
)


def share_of(key):
    """Where in [0, 1) the hash of a key lies."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:16], 16) / 16**16


def of_splits(count):
    """{split: sorted keys that their hashes put there} of so many patients."""
    keys = sorted(f"patient {i}" for i in range(count))
    splits = ("train", "validation", "test")
    return {split: [key for key in keys if choose_split(key) == split] for split in splits}


def test_shares_of_the_splits():
    splits = [choose_split(f"patient {i}") for i in range(20_000)]
    # Standard deviations: 0.0028 and 0.0021.
    assert splits.count("test") / 20_000 == pytest.approx(0.2, abs=0.012)
    assert splits.count("validation") / 20_000 == pytest.approx(0.1, abs=0.009)


def test_split_is_the_hash_of_the_key():
    for key in ("patient p1", "case c1", "patient é"):
        share = share_of(key)
        wanted = "test" if share < 0.2 else "validation" if share < 0.3 else "train"
        assert choose_split(key) == wanted
        # Whoever lies on a border is beyond it.
        assert choose_split(key, (0.5, share)) == "validation"
        assert choose_split(key, (share, 0.0)) == "train"


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


def test_the_nearest_by_hash_are_moved():
    first, second, *rest = sorted(of_splits(60)["train"], key=share_of)
    chosen, _ = complete_splits(dict.fromkeys([*rest, second, first], ""))
    assert chosen == {first: "validation", second: "test"} | dict.fromkeys(rest, "train")
    first, *rest, last = sorted(of_splits(60)["test"], key=share_of)
    chosen, _ = complete_splits(dict.fromkeys([last, first, *rest], ""))
    assert chosen == {last: "train", first: "validation"} | dict.fromkeys(rest, "test")


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
    assert patient_key("p1", "c1") == "patient p1"
    assert patient_key("", "c1") == "case c1"
    assert study_key("s1") == "study s1"


def test_of_several_spellings_one_in_train_decides():
    splits = of_splits(60)
    train, test = splits["train"][5:], splits["test"]
    assert test[0] < train[0]
    assert key_of_spellings([*test, *reversed(train)]) == train[0]
    assert key_of_spellings(test[:0:-1]) == test[1]
    assert key_of_spellings(train, (0.5, 0.5)) == train[0]
    assert key_of_spellings([*train, test[0]], (0.0, 0.0)) == test[0]


# ---------------------------------------------------------------- shares of a dataset's own

PAPER = (0.10, 0.15)  # of the paper for CheXpert: 75 / 10 / 15


def test_other_shares():
    splits = [choose_split(f"patient {i}", PAPER) for i in range(20_000)]
    # Standard deviations: 0.0025 and 0.0021.
    assert splits.count("test") / 20_000 == pytest.approx(0.15, abs=0.01)
    assert splits.count("validation") / 20_000 == pytest.approx(0.10, abs=0.009)
    chosen, note = complete_splits({f"patient {i}": "" for i in range(20_000)}, PAPER)
    assert list(chosen.values()) == splits
    assert note == "no split was given: made by patient: train, validation, test"


def test_a_larger_share_takes_in_the_smaller_one():
    small = {f"patient {i}" for i in range(500) if choose_split(f"patient {i}", PAPER) == "test"}
    large = {f"patient {i}" for i in range(500) if choose_split(f"patient {i}") == "test"}
    assert 0 < len(small) < len(large) and small < large


def test_shares_of_what_is_taken_out_of_train():
    stated = {f"patient {i}": ("train", "test")[i % 5 == 0] for i in range(1000)}
    chosen, note = complete_splits(stated, (0.3, 0.5))
    assert note == "there was no validation split: taken out of train by patient"
    for key, split in stated.items():
        wanted = choose_split(key, (0.3, 0.5)) if split == "train" else "test"
        assert chosen[key] == ("validation" if wanted == "validation" else split)


def test_notes_count_patients_and_cases():
    some = {f"patient {i}": ("train", "validation", "test", "")[i % 4] for i in range(8)}
    assert complete_splits(some)[1] == "2 patients were given a split, having none"
    alone = {f"case {i}": ("train", "validation", "test", "")[min(i, 3)] for i in range(4)}
    assert complete_splits(alone)[1] == "1 case was given a split, having none"
    mixed = {"case c": "", "patient p": "", "patient q": ""}
    assert (
        complete_splits(mixed)[1] == "no split was given: made by patient: train, validation, test"
    )
