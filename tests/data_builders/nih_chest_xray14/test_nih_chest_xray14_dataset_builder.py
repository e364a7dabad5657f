"""NIH ChestX-ray14 as its owners and Kaggle ship it, and what is wrong with a copy."""

import collections
import pathlib

import pytest
import tensorflow_datasets as tfds

from data_builders.grouping import ReadOptions
from data_builders.nih_chest_xray14 import nih_chest_xray14_dataset_builder as nih
from data_builders.schema import BadData, BadImages
from tests.data_builders import trees_nih
from tests.data_builders.manifests import cases_of, split_of
from tests.pictures import png

# Two rows as the owner writes them.
FIRST = "00012345_002.png,Effusion|Infiltration,2,12345,61,F,AP,2500,2048,0.168,0.168"
SECOND = "00012345_003.png,No Finding,3,12345,61,F,PA,2992,2991,0.143,0.143"
TABLE = "Data_Entry_2017_v2020.csv"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return pathlib.Path("nih")


def write(folder, *rows, header=trees_nih.HEADER, table=TABLE, images=None, inside="images"):
    """Writes a CSV, and an image for each row unless `images` says which."""
    place = folder / inside
    place.mkdir(parents=True, exist_ok=True)
    (folder / table).write_text("\n".join([header, *rows]) + "\n")
    for i, name in enumerate([row.split(",")[0] for row in rows] if images is None else images):
        (place / name).write_bytes(png(4, 5, seed=i))


def read(folder, **options):
    return nih.read_source("default", str(folder), ReadOptions(**options))


def expect_fault(folder, message, **options):
    with pytest.raises(BadData) as caught:
        read(folder, **options)
    assert str(caught.value) == message


def present(image):
    """The findings of an image that are 1; all others must be 0."""
    assert set(image.findings) <= {0, 1}
    return {name for name, value in zip(nih.FINDINGS, image.findings, strict=True) if value}


# ---------------------------------------------------------------- what is read


def test_rows_as_the_owner_writes_them(folder):
    write(folder, FIRST, SECOND)
    source = read(folder)
    (case,) = cases_of(source).values()
    first, second = case.images
    assert (case.case_id, case.patient_id) == ("12345", "12345")
    assert case.attributes == {"age": "61", "sex": "F", "follow_up": ["2", "3"]}
    assert (first.image_id, first.view_position) == ("00012345_002.png", "AP")
    assert (second.image_id, second.view_position) == ("00012345_003.png", "PA")
    assert present(first) == {"Effusion", "Infiltration"}
    assert first.findings[:3] == (1, 1, 0)  # Infiltration, Effusion, Atelectasis
    assert present(second) == set()
    assert first.where == "nih/Data_Entry_2017_v2020.csv row 2"
    assert source.finding_names == nih.FINDINGS
    assert len(set(nih.FINDINGS)) == 14
    assert source.labels_shared_by_case is False
    assert source.synonyms["Pleural Effusion"] == "Effusion"
    assert set(source.synonyms.values()) < set(nih.FINDINGS)
    assert source.class_names == source.default_findings == ()


def test_every_finding_of_the_set(folder):
    rows = [
        f"{i:08d}_000.png,{name},0,{i},50,M,PA,1,1,1,1" for i, name in enumerate(nih.FINDINGS, 1)
    ]
    write(folder, *rows)
    cases = cases_of(read(folder))
    for i, name in enumerate(nih.FINDINGS, 1):
        assert present(cases[str(i)].images[0]) == {name}


@pytest.mark.parametrize("copy", ["owner", "kaggle", "sample"])
def test_copies_of_the_set(folder, copy):
    rows = trees_nih.write_tree(folder, patients=30, copy=copy, side=8)
    source = read(folder)
    cases = cases_of(source)
    assert len(cases) == 30
    assert sum(len(case.images) for case in cases.values()) == rows
    assert 0 < sum(len(case.images) > 1 for case in cases.values()) < 30
    assert f"left out, having no row in {trees_nih.TABLES[copy]}: 1 image" in source.notes
    ages = [case.attributes["age"] for case in cases.values()]
    ages = [age for stated in ages for age in (stated if isinstance(stated, list) else [stated])]
    assert all(18 <= int(age) < 94 and age == str(int(age)) for age in ages)
    if copy != "sample":  # which has no lists
        tested = {name for name, split in split_of(source).items() if split == "test"}
        assert tested == {str(number) for number in range(5, 31, 5)}


def test_copies_of_the_same_patients_say_the_same(tmp_path):
    """The trees differ in format only, but for the official lists."""
    read_of = {}
    for copy in ("owner", "kaggle", "sample"):
        trees_nih.write_tree(tmp_path / copy, patients=12, copy=copy, side=8)
        read_of[copy] = {
            image.image_id: (image.view_position, image.findings, case.attributes)
            for case in cases_of(read(tmp_path / copy)).values()
            for image in case.images
        }
    assert read_of["owner"] == read_of["kaggle"] == read_of["sample"]


def test_folder_that_holds_the_folder_of_the_set(folder, tmp_path):
    write(folder / "ChestX-ray14", FIRST)
    assert list(cases_of(read(folder))) == ["12345"]


def test_gzipped_table_is_read(folder):
    import gzip

    write(folder, FIRST)
    (folder / f"{TABLE}.gz").write_bytes(gzip.compress((folder / TABLE).read_bytes()))
    (folder / TABLE).unlink()
    assert list(cases_of(read(folder))) == ["12345"]


def test_images_in_folders_of_any_depth(folder):
    write(folder, FIRST, SECOND, images=["00012345_002.png"], inside="images_001/images")
    write(folder, FIRST, SECOND, images=["00012345_003.png"], inside="a/b/c")
    (case,) = cases_of(read(folder)).values()
    assert [pathlib.Path(image.read.path).parent.name for image in case.images] == ["images", "c"]
    assert [image.image_id for image in case.images] == ["00012345_002.png", "00012345_003.png"]


@pytest.mark.parametrize("column", ["Patient Sex", "Patient Gender", "patient gender"])
def test_sex_has_two_names(folder, column):
    write(folder, FIRST, header=trees_nih.HEADER.replace("Patient Gender", column))
    assert cases_of(read(folder))["12345"].attributes["sex"] == "F"


@pytest.mark.parametrize(
    "written, years",
    [("61", "61"), ("060Y", "60"), ("005M", "0"), ("036M", "3"), ("013D", "0"), ("0", "0")],
)
def test_ages_are_years(folder, written, years):
    write(folder, FIRST.replace(",61,", f",{written},"))
    assert cases_of(read(folder))["12345"].attributes["age"] == years


def test_blank_attributes_are_absent(folder):
    write(folder, "00000007_000.png,Hernia,,7,,,,1,1,1,1")
    (case,) = cases_of(read(folder)).values()
    assert case.attributes == {}
    assert case.images[0].view_position == ""


def test_blank_labels_say_nothing(folder):
    write(folder, FIRST.replace("Effusion|Infiltration", ""))
    assert cases_of(read(folder))["12345"].images[0].findings == (-2,) * 14


def test_patient_has_one_spelling(folder):
    write(folder, FIRST, SECOND.replace(",12345,", ",00012345,"))
    assert len(cases_of(read(folder))["12345"].images) == 2


def test_group_by_image_and_by_patient(folder):
    write(folder, FIRST, SECOND)
    by_image = cases_of(read(folder, group_by="image"))
    assert {name: case.patient_id for name, case in by_image.items()} == {
        "00012345_002.png": "12345",
        "00012345_003.png": "12345",
    }
    assert list(cases_of(read(folder, group_by="patient"))) == ["12345"]


# ---------------------------------------------------------------- official lists


def ten_patients(folder, train_val, test):
    rows = [f"{i:08d}_000.png,Mass,0,{i},50,M,PA,1,1,1,1" for i in range(1, 11)]
    write(folder, *rows)
    (folder / "train_val_list.txt").write_text("".join(f"{i:08d}_000.png\n" for i in train_val))
    (folder / "test_list.txt").write_text("\n".join(f"{i:08d}_000.png" for i in test))


def test_official_lists_and_validation_out_of_train(folder):
    ten_patients(folder, [*range(1, 8), 99], [8, 9, 10, 98])  # 98 and 99 are not in the CSV
    source = read(folder)
    splits = collections.defaultdict(set)
    for case_id, split in split_of(source).items():
        splits[split].add(int(case_id))
    assert splits["test"] == {8, 9, 10}
    assert splits["train"] | splits["validation"] == set(range(1, 8))
    assert splits["train"] and splits["validation"]
    assert source.notes == ("there was no validation split: taken out of train by patient",)


@pytest.mark.parametrize(
    "there, lacking",
    [("train_val_list.txt", "test_list.txt"), ("test_list.txt", "train_val_list.txt")],
)
def test_one_list_only(folder, there, lacking):
    ten_patients(folder, range(1, 8), (8, 9, 10))
    (folder / lacking).unlink()
    expect_fault(
        folder,
        f"--manual_dir=nih: there is {there}, but no {lacking}; put it there for the official "
        f"splits, or take {there} away for splits made by patient",
    )


def test_image_in_neither_list(folder):
    ten_patients(folder, range(1, 8), (8, 10))
    expect_fault(
        folder,
        "nih/Data_Entry_2017_v2020.csv row 10: 00000009_000.png is in neither of "
        "train_val_list.txt and test_list.txt",
    )


def test_image_in_both_lists(folder):
    ten_patients(folder, range(1, 8), (8, 9, 10, 3))
    expect_fault(folder, "nih/test_list.txt row 4: 00000003_000.png is in train_val_list.txt too")


def test_patient_in_both_lists(folder):
    write(folder, FIRST, SECOND)
    (folder / "train_val_list.txt").write_text("00012345_002.png\n")
    (folder / "test_list.txt").write_text("00012345_003.png\n")
    expect_fault(
        folder,
        "nih/Data_Entry_2017_v2020.csv row 3: patient 12345 is in test by test_list.txt, but in "
        "train by train_val_list.txt in nih/Data_Entry_2017_v2020.csv row 2; a patient must stay "
        "in one split",
    )


def test_list_that_is_no_text(folder):
    ten_patients(folder, range(1, 8), (8, 9, 10))
    (folder / "test_list.txt").write_bytes(b"\xff\xfe0\x000\x00")
    expect_fault(folder, "nih/test_list.txt: not UTF-8 text")


# ---------------------------------------------------------------- what is wrong


def test_no_table(folder):
    folder.mkdir()
    expect_fault(
        folder,
        "--manual_dir=nih: no Data_Entry_2017_v2020.csv in it; Data_Entry_2017.csv or Kaggle's "
        "sample_labels.csv will do; NIH ChestX-ray14 is free to download from the NIH Clinical "
        "Center, and its images lie beside the CSV, in folders of any depth",
    )


@pytest.mark.parametrize("column", ["Image Index", "Finding Labels", "Patient ID"])
def test_column_is_missing(folder, column):
    write(folder, FIRST, header=trees_nih.HEADER.replace(column, "other"))
    with pytest.raises(BadData) as caught:
        read(folder)
    shown = trees_nih.HEADER.replace(column, "other").replace(",", ", ")
    start = f"nih/{TABLE} row 1: no column {column}; it has {shown}"
    assert str(caught.value).partition("; did you mean")[0] == start


def test_no_rows(folder):
    write(folder)
    expect_fault(folder, f"nih/{TABLE}: no images in it")


@pytest.mark.parametrize(
    "name, near", [("Pleural Thickening", "Pleural_Thickening"), ("mass", "Mass")]
)
def test_unknown_finding(folder, name, near):
    write(folder, SECOND, FIRST.replace("Infiltration", name))
    expect_fault(
        folder,
        f"nih/{TABLE} row 3: {name} is not a known finding; known are "
        f"{', '.join(nih.FINDINGS)}, No Finding; did you mean {near}?",
    )


def test_no_finding_stands_alone(folder):
    write(folder, FIRST.replace("Infiltration", "No Finding"))
    expect_fault(
        folder,
        f"nih/{TABLE} row 2: column Finding Labels holds Effusion|No Finding, but No Finding "
        "stands alone",
    )


@pytest.mark.parametrize("cell", ["", "P7", "1.2345E4"])
def test_patient_id_is_a_number(folder, cell):
    write(folder, FIRST.replace(",12345,", f",{cell},"))
    expect_fault(
        folder,
        f"nih/{TABLE} row 2: column Patient ID holds {cell or 'nothing'}, expected a number",
    )


def test_name_of_an_image_is_blank(folder):
    write(folder, FIRST, SECOND.replace("00012345_003.png", ""), images=["00012345_002.png"])
    expect_fault(folder, f"nih/{TABLE} row 3: column Image Index is blank")


def test_image_is_missing(folder):
    write(folder, FIRST, SECOND, images=["00012345_003.png"])
    message = f"nih/{TABLE} row 2: no such image: nih/00012345_002.png"
    expect_fault(folder, message)
    source = read(folder, bad_images=BadImages(1))
    assert [image.image_id for image in cases_of(source)["12345"].images] == ["00012345_003.png"]
    assert source.bad_images.messages == [message]


def test_all_images_are_missing(folder):
    write(folder, FIRST, SECOND, images=[])
    expect_fault(folder, f"nih/{TABLE}: no images in it", bad_images=BadImages(2))


def test_image_outside_the_folder(folder):
    write(folder, FIRST.replace("00012345_002", "../00012345_002"), images=[])
    pathlib.Path("00012345_002.png").write_bytes(png())
    expect_fault(
        folder,
        f"nih/{TABLE} row 2: ../00012345_002.png lies outside the image folder nih",
    )


def test_row_twice(folder):
    write(folder, FIRST, SECOND, FIRST)
    expect_fault(
        folder,
        f"nih/{TABLE} row 4: image 00012345_002.png is there twice (nih/{TABLE} row 2)",
    )


def test_file_name_twice(folder):
    write(folder, FIRST, inside="images_001/images")
    write(folder, FIRST, inside="images_002/images")
    with open(folder / "images_002/images/00012345_002.png", "ab") as file:
        file.write(b"more")
    expect_fault(
        folder,
        "--manual_dir=nih: two images are called 00012345_002.png: "
        "images_001/images/00012345_002.png, images_002/images/00012345_002.png; "
        "leave one of them there",
    )


def test_group_by_study_is_refused(folder):
    write(folder, FIRST)
    expect_fault(
        folder,
        "--group_by=study: the data has no such key; it can be grouped by case, patient, image",
        group_by="study",
    )


# ---------------------------------------------------------------- through tfds


def test_builder_writes_what_was_read(folder, tmp_path):
    rows = trees_nih.write_tree(folder, patients=20, copy="kaggle", side=8)
    builder = nih.Builder(data_dir=str(tmp_path / "data"), file_format="array_record")
    config = tfds.download.DownloadConfig(manual_dir=str(folder))
    builder.download_and_prepare(download_config=config)
    stated = {
        image.image_id: image.findings
        for case in cases_of(read(folder)).values()
        for image in case.images
    }
    written = {}
    for split in builder.info.splits:
        for i in range(len(data := builder.as_data_source(split=split))):
            case = data[i]
            for name, values in zip(case["image_id"], case["findings"], strict=True):
                written[name.decode()] = tuple(values.tolist())
    assert written == stated
    assert len(written) == rows
