"""PadChest as its owners ship it: ids as text, label lists, and what is wrong with a copy."""

import csv
import pathlib

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data_builders.grouping import ReadOptions
from data_builders.padchest import labels
from data_builders.padchest import padchest_dataset_builder as padchest
from data_builders.schema import BadData, BadImages
from tests.data_builders import trees_padchest
from tests.data_builders.manifests import cases_of
from tests.data_builders.trees_padchest import TABLE, patient_id, study_id
from tests.pictures import png

# The beginning of a row as the owner writes it, and its labels; its PatientID stands for one
# that a spreadsheet took for a number.
QUOTED = [
    "216840111366964012345678901234567890123456789_00-123-045.png",
    "7",
    "20140512",
    "216840111366964012345678901234567890123456",
    "8.05E+37...",
    "1950",
    "F",
    "POSTEROANTERIOR",
    "PA",
    "No",
    "Manual review of DICOM fields",
]
QUOTED_LABELS = "['cardiomegaly', 'pleural effusion']"
FLOAT = (
    f"pad/{TABLE} row {{row}}: column {{column}} holds a number in floating point, which has lost "
    "the digits that tell one id from another; take the owner's CSV, or export it with ids as text"
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return pathlib.Path("pad")


def row(number=0, **stated):
    """{column: cell} of a made-up row."""
    return dict.fromkeys(trees_padchest.HEADER, "") | {
        "ImageID": f"{study_id(number)}_{number}.png",
        "ImageDir": "7",
        "StudyDate_DICOM": "20140512",
        "StudyID": study_id(number),
        "PatientID": patient_id(number),
        "PatientBirth": "1950",
        "PatientSex_DICOM": "F",
        "Projection": "PA",
        "Report": "aumento, sin cambios",
        "MethodLabel": "Physician",
        "Labels": "['normal']",
        **stated,
    }


def write(folder, *rows, table=TABLE, header=None, index=True, images=None, flat=False):
    """Writes the CSV, and an image for each row unless `images` says for which."""
    folder.mkdir(exist_ok=True)
    for i, stated in enumerate(rows):
        if images is None or i in images:
            place = folder / ("" if flat else stated["ImageDir"])
            place.mkdir(exist_ok=True)
            (place / stated["ImageID"]).write_bytes(png(4, 5, i, channels=1, dtype="uint16"))
    with open(folder / table, "w", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        first = [""] if index else []
        out.writerow([*first, *(header or trees_padchest.HEADER)])
        for i, stated in enumerate(rows):
            out.writerow([*([i] if index else []), *stated.values()])


def read(folder, **options):
    return padchest.read_source("default", str(folder), ReadOptions(**options))


def expect_fault(folder, message, **options):
    with pytest.raises(BadData) as caught:
        read(folder, **options)
    assert str(caught.value) == message


def present(image):
    """The findings of an image that are 1; all others must be 0."""
    assert set(image.findings) <= {0, 1}
    return {name for name, value in zip(labels.FINDINGS, image.findings, strict=True) if value}


def only_image(folder):
    (case,) = cases_of(read(folder)).values()
    (image,) = case.images
    return image


# ---------------------------------------------------------------- what is read


def test_row_as_the_owner_writes_it(folder):
    quoted = dict(zip(trees_padchest.HEADER, QUOTED, strict=False))
    whole = quoted | {"PatientID": patient_id(5), "Labels": QUOTED_LABELS}
    write(folder, row(**whole))
    source = read(folder)
    (case,) = cases_of(source).values()
    (image,) = case.images
    assert case.patient_id == patient_id(5)
    assert case.case_id == f"{patient_id(5)}/216840111366964012345678901234567890123456"
    assert case.attributes == {"sex": "F", "labelled_by": "Physician"}  # no dates
    assert image.image_id == "216840111366964012345678901234567890123456789_00-123-045.png"
    assert image.view_position == "PA"
    assert present(image) == {"cardiomegaly", "pleural effusion"}
    assert source.labels_shared_by_case is True
    assert source.finding_names == labels.FINDINGS

    write(folder, row(**quoted))  # 8.05E+37..., as the description of the format shows it
    (case,) = cases_of(read(folder)).values()
    assert case.patient_id == quoted["PatientID"] and "E+37" in case.patient_id


@pytest.mark.parametrize("cell", ["8.05E+37", "2.16e39", "8e+37", "80123.0", repr(8.05e37)])
def test_ids_that_were_taken_for_numbers(folder, cell):
    write(folder, row(0), row(1, StudyID=cell))
    expect_fault(folder, FLOAT.format(row=3, column="StudyID"))
    write(folder, row(0), row(1, PatientID=cell), row(2, PatientID=cell))
    source = read(folder)
    note = "PatientID in floating point, so that several patients may pass for one: 2"
    assert note in source.notes
    split = {c.patient_id: s for s, members in source.cases.items() for c in members}
    assert set(split) == {cell, patient_id(0)} and len(cases_of(source)) == 3


@pytest.mark.parametrize("cell", ["12e45", "1.2.840.113", "E+37", "007", patient_id(1)])
def test_ids_that_are_text(folder, cell):
    write(folder, row(0, PatientID=cell))
    (case,) = cases_of(read(folder)).values()
    assert case.patient_id == cell


def test_ids_that_are_one_number_in_floating_point_stay_two(folder):
    assert float(patient_id(1)) == float(patient_id(2))
    assert float(study_id(1)) == float(study_id(2))
    write(folder, row(1), row(2), row(3, StudyID=study_id(1), PatientID=patient_id(1)))
    cases = cases_of(read(folder))
    assert {name: len(case.images) for name, case in cases.items()} == {
        f"{patient_id(1)}/{study_id(1)}": 2,
        f"{patient_id(2)}/{study_id(2)}": 1,
    }


def test_columns_are_found_by_name_in_any_case_and_order(folder):
    stated = dict(reversed(row(0, Labels="['mass']").items()))
    header = [name.upper() for name in stated]
    write(folder, stated, header=header, index=False, table="PADCHEST_mine.csv")
    assert present(only_image(folder)) == {"mass"}


def test_needed_columns_alone(folder):
    stated = {name: row(0)[name] for name in ("ImageID", "StudyID", "PatientID", "Labels")}
    write(folder, stated | {"ImageDir": ""}, header=[*stated, "ImageDir"])
    (case,) = cases_of(read(folder)).values()
    assert case.attributes == {}
    assert case.images[0].view_position == ""


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_trees(folder, flat, zipped):
    rows, excluded = trees_padchest.write_tree(folder, 40, flat=flat, zipped=zipped, side=8)
    source = read(folder)
    cases = cases_of(source)
    assert len(cases) == 40
    assert sum(len(case.images) for case in cases.values()) == rows - excluded
    assert f"left out, Projection being EXCLUDE: {excluded} images" in source.notes
    assert 10 < sum(len(case.images) > 1 for case in cases.values()) < 40
    views = {image.view_position for case in cases.values() for image in case.images}
    assert views == {"PA", "L", "AP_horizontal"}
    unknown = sum(case.images[0].findings[0] == -2 for case in cases.values())
    assert unknown == 4  # of the 40, those whose number ends in 7


def test_images_in_another_sub_folder(folder):
    write(folder, row(0), flat=True)
    (folder / "images-224").mkdir()
    name = row(0)["ImageID"]
    (folder / name).rename(folder / "images-224" / name)
    assert only_image(folder).read.path.endswith(f"images-224/{name}")


def test_folder_that_holds_the_folder_of_the_set(folder):
    folder.mkdir()
    write(folder / "padchest", row(0))
    assert only_image(folder).image_id == row(0)["ImageID"]


def test_groups(folder):
    write(folder, row(0), row(1, PatientID=patient_id(0)), row(2, StudyID=study_id(0)))
    by_study = cases_of(read(folder, group_by="study"))
    assert by_study.keys() == cases_of(read(folder)).keys()
    assert len(by_study) == 3  # study 0 is there under two patients
    by_patient = cases_of(read(folder, group_by="patient"))
    assert {name: len(case.images) for name, case in by_patient.items()} == {
        patient_id(0): 2,
        patient_id(2): 1,
    }
    assert len(cases_of(read(folder, group_by="image"))) == 3


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    "cell, findings",
    [
        ("['normal']", set()),
        ("['unchanged', 'normal']", set()),
        ("['chronic changes']", set()),
        ("['cardiomegaly']", {"cardiomegaly"}),
        ("['', ' Cardiomegaly  ', 'suboptimal study']", {"cardiomegaly"}),
        ('["COPD signs"]', {"copd signs"}),
        ("['cardiomegaly', 'cardiomegaly']", {"cardiomegaly"}),
        ("['exclude', 'pneumothorax']", {"pneumothorax"}),
        ("['subcutaneous emphysema']", set()),
        ("['pericardial effusion']", set()),
        # finer labels
        ("['laminar atelectasis']", {"atelectasis"}),
        ("['loculated pleural effusion']", {"pleural effusion"}),
        ("['hydropneumothorax']", {"pleural effusion", "pneumothorax"}),
        ("['calcified granuloma']", {"calcified granuloma", "granuloma"}),
        ("['consolidation']", {"consolidation", "infiltrates"}),
        ("['pulmonary mass']", {"pulmonary mass", "mass"}),
        ("['mass']", {"mass"}),
    ],
)
def test_labels(folder, cell, findings):
    write(folder, row(0, Labels=cell))
    assert present(only_image(folder)) == findings


@pytest.mark.parametrize(
    "cell", ["", "nan", "[]", "['']", "['exclude']", "['suboptimal study', 'unchanged']"]
)
def test_labels_that_say_nothing(folder, cell):
    write(folder, row(0, Labels=cell))
    assert only_image(folder).findings == (-2,) * len(labels.FINDINGS)


@pytest.mark.parametrize(
    "cell, shown",
    [
        ("cardiomegaly", "cardiomegaly"),
        ("['cardiomegaly'", "['cardiomegaly'"),
        ("{'cardiomegaly': 1}", "{'cardiomegaly': 1}"),
        ("['cardiomegaly', 3]", "['cardiomegaly', 3]"),
        ("__import__('os').getcwd()", "__import__('os').getcwd()"),
        ("[" * 5000, f"{'[' * 57}..."),
    ],
)
def test_labels_that_are_no_list(folder, cell, shown):
    write(folder, row(0), row(1, Labels=cell))
    expect_fault(
        folder,
        f"pad/{TABLE} row 3: column Labels holds {shown}, expected a list as "
        "['cardiomegaly', 'pleural effusion'] or blank",
    )


def test_labels_that_are_not_stored_are_counted(folder):
    write(
        folder,
        row(0, Labels="['nsg tube', 'Sternotomy', 'cardiomegaly']"),
        row(1, Labels="['nsg tube', 'goiter', 'gynecomastia', 'normal', 'unchanged']"),
        row(2, Labels="['nsg tube', 'goiter', 'gynecomastia', 'normal', 'unchanged']"),
    )
    assert (
        "labels in no finding that is stored: 4; most images: nsg tube (3), goiter (2), "
        "gynecomastia (2)"
    ) in read(folder).notes


def test_views_of_a_study_share_its_labels(folder):
    same = {"StudyID": study_id(0), "PatientID": patient_id(0)}
    write(folder, row(0, Labels="['mass']"), row(1, Labels="nan", Projection="L", **same))
    (case,) = cases_of(read(folder)).values()
    assert [present(image) for image in case.images] == [{"mass"}, {"mass"}]
    assert [image.view_position for image in case.images] == ["PA", "L"]


def test_views_of_a_study_that_contradict_each_other(folder):
    same = {"StudyID": study_id(0), "PatientID": patient_id(0)}
    write(folder, row(0, Labels="['mass']"), row(1, Labels="['normal']", **same))
    with pytest.raises(
        BadData, match=rf"row 3: case {patient_id(0)}/.* has mass 0, but 1 in .* row 2"
    ):
        read(folder)


def test_findings_that_other_sets_have_too(folder):
    write(folder, row(0))
    source = read(folder)
    assert source.default_findings == (
        "atelectasis",
        "cardiomegaly",
        "consolidation",
        "pulmonary edema",
        "pleural effusion",
    )
    assert source.synonyms["Pleural Effusion"] == source.synonyms["Effusion"] == "pleural effusion"
    assert source.synonyms["Edema"] == "pulmonary edema"
    assert set(source.synonyms.values()) <= set(labels.FINDINGS)
    assert list(labels.FINDINGS) == sorted(set(labels.FINDINGS))
    assert set(labels._KINDS) <= set(labels.FINDINGS)


# ---------------------------------------------------------------- what is wrong


def test_no_table(folder):
    folder.mkdir()
    expect_fault(
        folder,
        f"--manual_dir=pad: no {TABLE} in it; PadChest is given out on request by BIMCV; beside "
        "its CSV, which may be gzipped, lie the images, in the folders 0 to 53 or all in one",
    )


@pytest.mark.parametrize("column", ["ImageID", "PatientID", "StudyID", "Labels"])
def test_column_is_missing(folder, column):
    write(folder, row(0), header=["Other" if name == column else name for name in row(0)])
    with pytest.raises(BadData) as caught:
        read(folder)
    assert str(caught.value).startswith(f"pad/{TABLE} row 1: no column {column}; it has ")


@pytest.mark.parametrize("column", ["PatientID", "StudyID", "ImageID"])
@pytest.mark.parametrize("cell", ["", "nan"])
def test_blank_ids(folder, column, cell):
    write(folder, row(0), row(1, **{column: cell}), images=[0])
    expect_fault(folder, f"pad/{TABLE} row 3: column {column} is blank")


def test_all_excluded(folder):
    write(folder, row(0, Projection="EXCLUDE"))
    expect_fault(folder, f"pad/{TABLE}: no images in it")


def test_excluded_rows_are_not_read_further(folder):
    excluded = row(1, Projection="EXCLUDE", Labels="?", PatientID="8.05E+37")
    write(folder, row(0), excluded, images=[0])
    assert "left out, Projection being EXCLUDE: 1 image" in read(folder).notes


def test_missing_images(folder):
    write(folder, row(0), row(1), row(2), images=[1])
    messages = [
        f"pad/{TABLE} row {i + 2}: no such image: pad/7/{row(i)['ImageID']}" for i in (0, 2)
    ]
    expect_fault(folder, messages[0])
    source = read(folder, bad_images=BadImages(2))
    assert source.bad_images.messages == messages
    assert source.num_cases == 1
    expect_fault(
        folder,
        f"{messages[1]}; that makes more than --max_bad_images=1",
        bad_images=BadImages(1),
    )


def test_image_twice(folder):
    write(folder, row(0), row(0))
    expect_fault(
        folder,
        f"pad/{TABLE} row 3: image {row(0)['ImageID']} is there twice (pad/{TABLE} row 2)",
    )


# ---------------------------------------------------------------- through tfds


def test_builder_leaves_out_broken_images(folder, tmp_path):
    rows, excluded = trees_padchest.write_tree(folder, 20, broken=2, side=8)
    config = padchest.CaseConfig.of("default", read(folder, bad_images=BadImages(3)))
    builder = padchest.Builder(data_dir=str(tmp_path / "data"), config=config)
    builder.download_and_prepare()
    images = [
        image
        for split in builder.info.splits
        for case in tfds.as_numpy(builder.as_dataset(split=split))
        for image in case["images"]
    ]
    assert len(images) == rows - excluded - 3
    assert len(builder.source.bad_images.messages) == 3
    assert {tf.io.decode_png(image).shape for image in images} == {(8, 8, 1)}
    assert {image[24] for image in images} == {8}  # bits, in the header of a PNG
