"""Who is in which split, as a manifest states it or leaves it open."""

import random

import pytest

from data_builders.splits import choose_split
from tests.data_builders.manifests import expect_fault, read, split_of

pytestmark = pytest.mark.usefixtures("image_folder")


@pytest.mark.parametrize(
    "stated, split",
    [
        ("train", "train"),
        ("Training", "train"),
        ("val", "validation"),
        ("VALID", "validation"),
        ("validate", "validation"),
        ("dev", "validation"),
        ("validation", "validation"),
        ("test", "test"),
        ("testing", "test"),
    ],
)
def test_names_of_splits(stated, split):
    text = "image,case_id,split\na.png,c1,train\nb.png,c2,validation\nc.png,c3,test\nd.png,c4,"
    assert split_of(read(f"{text}{stated}\n"))["c4"] == split


def test_split_of_another_name():
    expect_fault(
        "image,case_id,split\na.png,c1,train\nb.png,c2,holdout\n",
        "cases.csv row 3: split holdout is not one of train, validation, test",
    )


def many(count, header, row):
    """Text of a manifest with `count` rows; makes the images too."""
    lines = [header]
    for i in range(count):
        with open(f"{i}.png", "wb") as file:
            file.write(b"x")
        lines.append(f"{i}.png," + row(i))
    return "\n".join(lines) + "\n"


def test_splits_are_made_by_patient():
    manifest = read(many(300, "image,case_id,patient_id", lambda i: f"c{i},p{i // 3}"))
    assert manifest.notes == ("no split was given: made by patient: train, validation, test",)
    split = split_of(manifest)
    for i in range(300):
        assert split[f"c{i}"] == choose_split(f"patient p{i // 3}")


def test_splits_are_made_by_case_where_no_patient_is_known():
    manifest = read(many(200, "image,case_id,patient_id", lambda i: f"c{i // 2},"))
    assert manifest.notes == ("no split was given: made by case: train, validation, test",)
    split = split_of(manifest)
    assert all(split[f"c{i}"] == choose_split(f"case c{i}") for i in range(100))


def test_only_train_is_completed():
    manifest = read(many(300, "image,case_id,patient_id,split", lambda i: f"c{i},p{i // 3},train"))
    assert manifest.notes == (
        "there was no validation and no test split: taken out of train by patient",
    )
    split = split_of(manifest)
    assert all(split[f"c{i}"] == choose_split(f"patient p{i // 3}") for i in range(300))


def test_train_and_test_are_completed_by_a_validation_split():
    stated = {i: "test" if i % 4 == 0 else "train" for i in range(200)}
    manifest = read(many(200, "image,case_id,split", lambda i: f"c{i},{stated[i]}"))
    assert manifest.notes == ("there was no validation split: taken out of train by case",)
    for case, split in split_of(manifest).items():
        wanted = stated[int(case[1:])]
        if wanted == "train" and choose_split(f"case {case}") == "validation":
            wanted = "validation"
        assert split == wanted


def test_patients_without_a_split_are_given_one():
    stated = ["train", "validation", "test"] + [""] * 97
    manifest = read(many(100, "image,case_id,patient_id,split", lambda i: f"c{i},p{i},{stated[i]}"))
    assert manifest.notes == ("97 patients were given a split, having none",)
    split = split_of(manifest)
    assert [split[f"c{i}"] for i in range(3)] == stated[:3]
    assert all(split[f"c{i}"] == choose_split(f"patient p{i}") for i in range(3, 100))


def test_only_train_with_some_blank_is_completed_out_of_both():
    stated = ["train"] * 90 + [""] * 10
    manifest = read(many(100, "image,case_id,split", lambda i: f"c{i},{stated[i]}"))
    assert manifest.notes == (
        "10 cases were given a split, having none; "
        "there was no validation and no test split: taken out of train by case",
    )
    split = split_of(manifest)
    assert all(split[f"c{i}"] == choose_split(f"case c{i}") for i in range(100))


def test_one_row_states_the_split_of_its_patient():
    manifest = read(
        "image,case_id,patient_id,split\n"
        "a.png,c1,p1,\nb.png,c2,p1,test\nc.png,c2,,\nd.png,c3,p2,train\ne.png,c4,p3,val\n"
    )
    assert split_of(manifest) == {"c1": "test", "c2": "test", "c3": "train", "c4": "validation"}
    assert manifest.notes == ()


def test_splits_do_not_depend_on_the_order_of_the_rows():
    header, *rows = many(60, "image,case_id,patient_id", lambda i: f"c{i},p{i // 2}").splitlines()
    first = split_of(read("\n".join([header, *rows])))
    for seed in range(5):
        random.Random(seed).shuffle(rows)
        assert split_of(read("\n".join([header, *rows]))) == first


def test_patients_keep_their_split_when_others_join():
    small = split_of(read(many(100, "image,case_id,patient_id", lambda i: f"c{i},p{i}")))
    large = split_of(read(many(400, "image,case_id,patient_id", lambda i: f"c{i},p{i}")))
    assert {case: large[case] for case in small} == small


def test_no_patient_is_in_two_splits():
    header = "image,case_id,patient_id,split"
    for i in range(40):
        with open(f"{i}.png", "wb") as file:
            file.write(b"x")
    for seed in range(60):
        rng = random.Random(seed)
        names = rng.choice(
            [[""], ["train"], ["", "train"], ["train", "test"], ["", "validation", "train"]]
        )
        split_of_patient = [rng.choice(names) for _ in range(rng.randint(3, 30))]
        patients = list(range(len(split_of_patient)))
        patients += rng.choices(patients, k=40 - len(patients))
        rows = []
        for i, p in enumerate(patients):  # a patient's split may be in some of his rows only
            rows.append(f"{i}.png,c{i},p{p},{split_of_patient[p] if rng.random() < 0.7 else ''}")
        manifest = read("\n".join([header, *rows]))
        assert sum(len(cases) for cases in manifest.cases.values()) == 40
        side = {}
        for split, cases in manifest.cases.items():
            for case in cases:
                assert side.setdefault(case.patient_id, split) == split
        for stated in (row.split(",") for row in rows):
            assert stated[3] in ("", "train") or side[stated[2]] == stated[3]
        if set(names) <= {"", "train"}:
            assert set(side.values()) == {"train", "validation", "test"}


def test_patient_in_two_splits():
    expect_fault(
        "image,case_id,patient_id,split\na.png,c1,p1,\nb.png,c2,p1,train\nc.png,c3,p1,test\n",
        "cases.csv row 4: patient p1 is in test, but in train in cases.csv row 3; "
        "a patient must stay in one split",
    )


def test_blanks_around_a_patient_id_are_not_part_of_it():
    expect_fault(
        "image,case_id,patient_id,split\na.png,c1, p1,train\nb.png,c2,p1\t ,test\n",
        "cases.csv row 3: patient p1 is in test, but in train in cases.csv row 2; "
        "a patient must stay in one split",
    )
    manifest = read("image,case_id,patient_id\na.png,c1,p1 \nb.png, c1 , p1\n")
    ((case,),) = manifest.cases.values()
    assert (case.case_id, case.patient_id, len(case.images)) == ("c1", "p1", 2)


def test_case_in_two_splits():
    expect_fault(
        "image,case_id,split\na.png,c1,train\nb.png,c1,val\n",
        "cases.csv row 3: case c1 is in validation, but in train in cases.csv row 2; "
        "a patient must stay in one split",
    )


def test_case_of_two_patients():
    expect_fault(
        "image,case_id,patient_id\na.png,c1,p1\nb.png,c1,\nc.png,c1,p2\n",
        "cases.csv row 4: case c1 is of patient p2, but p1 in cases.csv row 2",
    )
