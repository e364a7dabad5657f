"""CheXpert as Stanford ships it, and as others repackage it."""

import collections
import csv
import itertools
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_builders.chexpert_cases.chexpert_cases_dataset_builder import Builder, read_source
from data_builders.chexpert_labels import COMPETITION, FINDINGS
from data_builders.grouping import ReadOptions
from data_builders.schema import BadData, BadImages
from data_builders.splits import choose_split
from tests.data_builders.trees_chexpert import write_tree

LABELS = ",".join(FINDINGS)
HEADER = f"Path,Sex,Age,Frontal/Lateral,AP/PA,{LABELS}"
# The example of the format's description, to the letter.
QUOTED = (
    "CheXpert-v1.0-small/train/patient00007/study1/view1_frontal.jpg,"
    "Female,61,Frontal,AP,,,1.0,-1.0,,0.0,,,-1.0,,1.0,,,1.0",
    "CheXpert-v1.0-small/train/patient00007/study1/view2_lateral.jpg,"
    "Female,61,Lateral,,,,1.0,-1.0,,0.0,,,-1.0,,1.0,,,1.0",
)
VALUES = (-2, -2, 1, -1, -2, 0, -2, -2, -1, -2, 1, -2, -2, 1)
BLANK = "," * (len(FINDINGS) - 1)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def put(rows, table="d/train.csv", header=HEADER, images=True):
    """Writes a table and files for the images it names; a reader does not look into them."""
    table = pathlib.Path(table)
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text("\n".join((header, *rows)) + "\n")
    for row in rows if images else ():
        image = table.parent / row.split(",")[0].removeprefix("CheXpert-v1.0-small/")
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(b"x")


def row(path, findings=BLANK, about="Male,50,Frontal,AP"):
    return f"CheXpert-v1.0-small/{path}.jpg,{about},{findings}"


def read(folder="d", config="official", **options):
    return read_source(config, folder, ReadOptions(**options))


def cases_of(source):
    return {case.case_id: case for cases in source.cases.values() for case in cases}


def expect_fault(message, folder="d", **options):
    with pytest.raises(BadData) as caught:
        read(folder, **options)
    assert str(caught.value) == message


# ---------------------------------------------------------------- rows


def test_a_study_is_a_case():
    put(QUOTED)
    (case,) = read().cases["train"]
    assert (case.case_id, case.patient_id) == ("patient00007/study1", "patient00007")
    assert case.attributes == {"age": "61", "sex": "Female"}
    assert [image.image_id for image in case.images] == [
        "train/patient00007/study1/view1_frontal.jpg",
        "train/patient00007/study1/view2_lateral.jpg",
    ]
    assert [image.view_position for image in case.images] == ["frontal AP", "lateral"]
    assert [image.findings for image in case.images] == [VALUES, VALUES]
    assert [image.where for image in case.images] == ["d/train.csv row 2", "d/train.csv row 3"]


def test_findings_and_those_of_the_competition():
    put(QUOTED)
    source = read()
    assert source.finding_names == tuple(HEADER.split(",")[5:])
    assert source.default_findings == COMPETITION
    assert sorted(COMPETITION) == sorted(
        ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"]
    )
    assert (source.labels_shared_by_case, source.class_names) == (True, ())


def test_rows_of_a_study_need_not_be_adjacent():
    put(
        [
            row("train/patient00002/study2/view1_frontal", "1" + "," * 13),
            row("train/patient00001/study1/view1_frontal"),
            row("train/patient00002/study1/view1_frontal"),
            row("train/patient00002/study2/view2_lateral", "1" + "," * 13),
            row("train/patient00012/study2/view1_frontal"),  # the numbers of others, run together
        ]
    )
    sizes = {key: len(case.images) for key, case in cases_of(read()).items()}
    assert sizes == {
        "patient00002/study2": 2,
        "patient00001/study1": 1,
        "patient00002/study1": 1,
        "patient00012/study2": 1,
    }


def test_values_as_decimals_and_as_integers():
    texts = ["1.0", "1", "0.0", "0", "-1.0", "-1", ""]
    put([row("train/patient00001/study1/view1_frontal", ",".join(texts + [""] * 7))])
    (case,) = read().cases["train"]
    assert case.images[0].findings == (1, 1, 0, 0, -1, -1) + (-2,) * 8


@pytest.mark.parametrize(
    ("about", "view", "attributes"),
    [
        ("Male,90,Frontal,PA", "frontal PA", {"sex": "Male", "age": "90"}),
        ("Male,0,Frontal,LL", "frontal LL", {"sex": "Male"}),
        ("Unknown,5,Frontal,RL", "frontal RL", {"age": "5"}),
        ("Unknown,0,Lateral,", "lateral", {}),
        (",61.0,Frontal,", "frontal", {"age": "61"}),
    ],
)
def test_views_and_what_is_known_of_the_patient(about, view, attributes):
    put([row("train/patient00001/study1/view1_frontal", about=about)])
    (case,) = read().cases["train"]
    assert case.images[0].view_position == view
    assert case.attributes == attributes


# ---------------------------------------------------------------- where it lies


def test_every_packaging_is_read_alike(tmp_path):
    original = write_tree("o", patients=4, size=8)
    wanted = [case for cases in read("o").cases.values() for case in cases]
    assert len(wanted) == len({image.parent for image in original.rglob("*.jpg")})
    write_tree("full", patients=4, size=8, name="CheXpert-v1.0", prefix="CheXpert-v1.0/")
    write_tree("bare", patients=4, size=8, name="", prefix="")
    write_tree("integers", patients=4, size=8, integers=True)
    write_tree("absolute", patients=4, size=8, prefix="/home/x/CheXpert-v1.0/")
    shutil.copytree(original, "apart/CheXpert-v1.0-small")  # tables beside the folder
    for table in pathlib.Path("apart/CheXpert-v1.0-small").glob("*.csv"):
        shutil.move(table, "apart")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/CheXpert-v1.0-small").symlink_to(original.resolve())
    for folder in ("full", "bare", "integers", "absolute", "apart", "linked", str(original)):
        cases = [case for cases in read(folder).cases.values() for case in cases]
        for case, other in zip(cases, wanted, strict=True):
            assert (case.case_id, case.attributes) == (other.case_id, other.attributes)
            for image, same in zip(case.images, other.images, strict=True):
                assert image.image_id == same.image_id
                assert (image.view_position, image.findings) == (same.view_position, same.findings)
                assert image.read() == same.read()


def test_a_path_without_the_set_s_folder():
    put(["patient00001/study1/view1_frontal.jpg,Male,50,Frontal,AP," + BLANK], images=False)
    image = pathlib.Path("d/train/patient00001/study1/view1_frontal.jpg")
    image.parent.mkdir(parents=True)
    image.write_bytes(b"x")
    (case,) = read().cases["train"]
    assert case.images[0].image_id == "train/patient00001/study1/view1_frontal.jpg"


def test_the_parts_of_the_large_release():
    rows = [row(f"train/patient0000{k}/study1/view1_frontal") for k in (1, 2, 3)]
    put(rows, "d/CheXpert-v1.0 batch 1 (validate & csv)/train.csv", images=False)
    put([row("valid/patient64541/study1/view1_frontal")],
        "d/CheXpert-v1.0 batch 1 (validate & csv)/valid.csv")  # fmt: skip
    for k, batch in enumerate(("2 (train 1)", "2 (train 1)", "3 (train 2)"), 1):
        study = pathlib.Path(f"d/CheXpert-v1.0 batch {batch}/patient0000{k}/study1")
        study.mkdir(parents=True)
        (study / "view1_frontal.jpg").write_bytes(bytes([k]))
    source = read()
    assert [len(source.cases[split]) for split in ("train", "validation", "test")] == [2, 1, 1]
    images = {image.image_id: image for c in cases_of(source).values() for image in c.images}
    for k in (1, 2, 3):
        image = images[f"train/patient0000{k}/study1/view1_frontal.jpg"]
        assert image.read() == bytes([k])
        assert image.findings == (-2,) * 14


# ---------------------------------------------------------------- splits


@pytest.mark.parametrize("test", ["test_labels.csv", "test.csv", "groundtruth.csv"])
def test_official_splits(test):
    write_tree("t", patients=8, test=test, size=8)
    source = read("t")
    first = {"train": 1, "validation": 64541, "test": 64741}
    count = {"train": 8, "validation": 2, "test": 2}
    for split, cases in source.cases.items():
        numbers = range(first[split], first[split] + count[split])
        assert {case.patient_id for case in cases} == {f"patient{k:05d}" for k in numbers}
    assert source.notes == ()
    with open(f"t/CheXpert-v1.0-small/{test}", newline="") as file:
        rows = list(csv.DictReader(file))
    images = [image for case in source.cases["test"] for image in case.images]
    assert len(rows) == (2 if test == "groundtruth.csv" else len(images))
    for image in images:
        (stated,) = (r for r in rows if image.image_id.startswith(r.get("Path") or next(iter(
            r.values())).removeprefix("CheXpert-v1.0/")))  # fmt: skip
        assert image.findings == tuple(int(stated[name]) for name in FINDINGS)
        assert image.view_position == ("lateral" if "lateral" in image.image_id else "frontal")
    assert all(case.attributes == {} for case in source.cases["test"])


def test_a_quoted_row_of_the_public_test_labels():
    put(QUOTED)
    put(["CheXpert-v1.0/test/patient64741/study1,0,1,1,1,0,0,0,0,0,0,0,0,0,1"],
        "d/groundtruth.csv", f"Study,{LABELS}", images=False)  # fmt: skip
    study = pathlib.Path("d/test/patient64741/study1")
    study.mkdir(parents=True)
    for name in ("view2_lateral.jpg", "view1_frontal.jpg", "._view1_frontal.jpg", "notes.txt"):
        (study / name).write_bytes(b"x")
    (case,) = read().cases["test"]
    assert [image.view_position for image in case.images] == ["frontal", "lateral"]
    assert {image.findings for image in case.images} == {(0, 1, 1, 1) + (0,) * 9 + (1,)}


def test_the_test_set_may_lie_in_a_folder_of_its_own():
    put(QUOTED, "d/CheXpert-v1.0-small/train.csv")
    put(["test/patient64741/study1/view1_frontal.jpg" + ",0" * 14],
        "d/CheXpert/test_labels.csv", f"Path,{LABELS}")  # fmt: skip
    assert [case.patient_id for case in read().cases["test"]] == ["patient64741"]


def test_missing_splits_are_taken_out_of_train():
    write_tree("t", patients=40, valid=False, test="", size=8)
    source = read("t")
    assert source.notes == (
        "there was no validation and no test split: taken out of train by patient",
    )
    for split, cases in source.cases.items():
        for case in cases:
            assert choose_split(f"patient {case.patient_id}") == split


def test_labels_of_a_test_set_without_its_images():
    put(QUOTED)
    put(["CheXpert-v1.0/test/patient64741/study1" + ",0" * 14],
        "d/groundtruth.csv", f"Study,{LABELS}", images=False)  # fmt: skip
    source = read()
    assert list(cases_of(source)) == ["patient00007/study1"]
    assert source.notes[0] == (
        "groundtruth.csv is not used: there is no folder test with its images"
    )


def test_the_paper_s_split_is_made_of_the_train_set_by_patient():
    write_tree("t", patients=120, size=8)
    source = read("t", config="paper")
    counts = collections.Counter()
    for split, cases in source.cases.items():
        for patient in {case.patient_id for case in cases}:
            assert choose_split(f"patient {patient}", (0.10, 0.15)) == split
            assert patient < "patient64541"
            counts[split] += 1
    assert sum(counts.values()) == 120
    for split, share in (("train", 0.75), ("validation", 0.10), ("test", 0.15)):
        error = np.sqrt(120 * share * (1 - share))
        assert abs(counts[split] - 120 * share) < 3 * error
    assert source.notes == (
        "the official train set is split anew, 75/10/15 by patient, since the paper's own split is "
        "not public; valid.csv is not used",
        "no split was given: made by patient: train, validation, test",
    )


@pytest.mark.parametrize(
    ("group_by", "first", "shared"),
    [
        ("study", "patient00007/study1", True),
        ("patient", "patient00007", False),
        ("image", "train/patient00007/study1/view1_frontal.jpg", True),
    ],
)
def test_other_ways_to_group(group_by, first, shared):
    put([*QUOTED, row("train/patient00007/study2/view1_frontal")])
    source = read(group_by=group_by)
    assert next(iter(cases_of(source))) == first
    assert len(cases_of(source)) == {"study": 2, "patient": 1, "image": 3}[group_by]
    assert source.labels_shared_by_case == shared


# ---------------------------------------------------------------- faults


def test_no_train_csv():
    pathlib.Path("d").mkdir()
    expect_fault(
        "--manual_dir=d: no train.csv in it; CheXpert is at Stanford AIMI, after registration; "
        "train.csv and the folder train lie here or in CheXpert-v1.0*"
    )
    expect_fault("--manual_dir=x: cannot be read: No such file or directory", "x")


def test_two_releases_in_one_folder():
    put(QUOTED, "d/CheXpert-v1.0-small/train.csv")
    put(QUOTED, "d/CheXpert-v1.0/train.csv")
    expect_fault(
        "--manual_dir=d: train.csv is in d/CheXpert-v1.0 and in d/CheXpert-v1.0-small; name one"
    )
    assert len(read("d/CheXpert-v1.0").cases["train"]) == 1


@pytest.mark.parametrize("value", ["maybe", "2", "nan", "0.5", "-2"])
def test_a_value_that_is_none(value):
    put([row("train/patient00001/study1/view1_frontal", f",,,,,{value},,,,,,,,")])
    expect_fault(f"d/train.csv row 2: column Edema holds {value}, expected 1, 0, -1 or blank")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("train/view1_frontal.jpg", "train/view1_frontal.jpg"),
        ("patient00001/view1_frontal.jpg", "patient00001/view1_frontal.jpg"),
        ("train/patient00001/study1", "train/patient00001/study1"),
        ("", "nothing"),
    ],
)
def test_a_path_of_another_form(path, shown):
    put([f"{path},Male,50,Frontal,AP,{BLANK}"], images=False)
    expect_fault(
        f"d/train.csv row 2: column Path holds {shown}, "
        "expected .../patient00001/study1/view1_frontal.jpg"
    )


def test_a_study_that_contradicts_itself():
    other = QUOTED[1].replace(",1.0,-1.0,,0.0,", ",1.0,-1.0,,1.0,")
    put([QUOTED[0], other])
    with pytest.raises(BadData, match=r"^d/train.csv row 3: case patient00007/study1 has Edema 1, "
                       r"but 0 in d/train.csv row 2"):  # fmt: skip
        read()


def test_a_patient_in_two_splits():
    put(QUOTED)
    put([row("valid/patient00007/study9/view1_frontal")], "d/valid.csv")
    expect_fault(
        "d/valid.csv row 2: patient patient00007 is in validation, but in train in "
        "d/train.csv row 2; a patient must stay in one split"
    )


def test_an_image_that_is_missing():
    put(QUOTED)
    pathlib.Path("d/train/patient00007/study1/view2_lateral.jpg").unlink()
    fault = "d/train.csv row 3: no such image: d/train/patient00007/study1/view2_lateral.jpg"
    expect_fault(fault)
    bad = BadImages(1)
    (case,) = read(bad_images=bad).cases["train"]
    assert (len(case.images), bad.messages) == (1, [fault])


def test_a_test_study_without_images():
    put(QUOTED)
    put(["CheXpert-v1.0/test/patient64741/study1" + ",0" * 14],
        "d/groundtruth.csv", f"Study,{LABELS}", images=False)  # fmt: skip
    pathlib.Path("d/test").mkdir()
    expect_fault(
        "d/groundtruth.csv row 2: no such image: d/test/patient64741/study1/view1_frontal.jpg"
    )


def test_an_image_named_twice():
    put([QUOTED[0], QUOTED[0]])
    expect_fault(
        "d/train.csv row 3: image train/patient00007/study1/view1_frontal.jpg is there twice "
        "(d/train.csv row 2)"
    )


def test_a_table_without_a_finding():
    put(QUOTED, header=HEADER.replace("Fracture", "Fractures"))
    with pytest.raises(BadData, match=r"^d/train.csv row 1: no column Fracture; it has Path, "):
        read()


def test_a_table_without_rows():
    put([])
    expect_fault("--manual_dir=d: no images in it that d/train.csv names")
    put([row("valid/patient00009/study1/view1_frontal")], table="d/valid.csv")
    expect_fault("--manual_dir=d: no images in it that d/train.csv names")


# ---------------------------------------------------------------- the whole way


def test_prepared_data_holds_the_tree(tmp_path):
    root = write_tree("t", patients=12, size=16)
    builder = Builder(data_dir=str(tmp_path / "tfds"), config="official")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir="t"))
    images = {}
    for split in ("train", "validation", "test"):
        for example in tfds.as_numpy(builder.as_dataset(split=split)):
            images |= zip(
                example["image_id"],
                zip(example["images"], example["findings"], strict=True),
                strict=False,
            )
    with open(root / "train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = {"": -2, "1.0": 1, "0.0": 0, "-1.0": -1}
    for stated in rows:
        name = stated["Path"].removeprefix("CheXpert-v1.0-small/")
        content, findings = images[name.encode()]
        assert content == (root / name).read_bytes()
        assert findings.tolist() == [numbers[stated[finding]] for finding in FINDINGS]
    assert len(images) == len(list(root.rglob("*.jpg")))
    assert builder.info.metadata["default_findings"] == list(COMPETITION)


def test_the_tree_has_what_it_promises():
    root = write_tree("t", patients=60, size=8)
    with open(root / "train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    studies = [stated["Path"].rsplit("/", 1)[0] for stated in rows]
    runs = sum(a != b for a, b in itertools.pairwise(studies)) + 1
    assert runs > len(set(studies))  # some studies are scattered
    assert {"AP", "PA", "LL", "RL", ""} == {stated["AP/PA"] for stated in rows}
    assert {"Male", "Female", "Unknown"} == {stated["Sex"] for stated in rows}
    assert {"0", "90"} < {stated["Age"] for stated in rows}
    assert {"1.0", "0.0", "-1.0", ""} == {stated[name] for stated in rows for name in FINDINGS}
    assert {stated["No Finding"] for stated in rows} == {"1.0", ""}
