"""MIMIC-CXR-JPG as PhysioNet ships it."""

import csv
import gzip
import pathlib

import pytest
import tensorflow_datasets as tfds

from data_builders.chexpert_labels import COMPETITION, FINDINGS
from data_builders.grouping import ReadOptions
from data_builders.mimic_cxr_jpg.mimic_cxr_jpg_dataset_builder import Builder, read_source
from data_builders.schema import BadData, BadImages
from tests.data_builders.trees_mimic import write_tree

METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,"
    "StudyDate,StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
    "PatientOrientationCodeSequence_CodeMeaning"
)
SPLIT = "dicom_id,study_id,subject_id,split"
LABELS = (
    "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,"
    "Fracture,Lung Lesion,Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,"
    "Pneumothorax,Support Devices"
)
# The examples of the format's description, to the letter.
DICOM = "0123abcd-4567ef01-89ab2345-cdef6789-01234567"
QUOTED = (
    f"{DICOM},10001234,50123456,CHEST (PA AND LAT),PA,3056,2544,21800506,213014.531,"
    "CHEST (PA AND LAT),postero-anterior,Erect"
)
QUOTED_LABELS = "10001234,50123456,,1.0,,-1.0,,,,1.0,,0.0,,,,"
PREFIX = "d/mimic-cxr-2.0.0-"
SPLIT_FILE = "mimic-cxr-2.0.0-split.csv"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def image(dicom, subject="10001234", study="50123456", view="PA"):
    """A row of the metadata."""
    return f"{dicom},{subject},{study},CHEST,{view},10,12,21800506,213014.531,,,"


def put(
    metadata=(QUOTED,),
    split=(f"{DICOM},50123456,10001234,train",),
    labels=(QUOTED_LABELS,),
    prefix=PREFIX,
    images=True,
):
    """Writes the three tables and files for the images; a reader does not look into them."""
    pathlib.Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    tables = {
        "metadata": (METADATA, metadata),
        "split": (SPLIT, split),
        "chexpert": (LABELS, labels),
    }
    for kind, (header, rows) in tables.items():
        pathlib.Path(f"{prefix}{kind}.csv").write_text("\n".join((header, *rows)) + "\n")
    for row in metadata if images else ():
        dicom, subject, study = row.split(",")[:3]
        folder = pathlib.Path(prefix).parent / f"files/p{subject[:2]}/p{subject}/s{study}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{dicom}.jpg").write_bytes(b"x")


def read(folder="d", **options):
    return read_source("default", folder, ReadOptions(**options))


def cases_of(source):
    return {case.case_id: case for cases in source.cases.values() for case in cases}


def expect_fault(message, folder="d", **options):
    with pytest.raises(BadData) as caught:
        read(folder, **options)
    assert str(caught.value) == message


# ---------------------------------------------------------------- rows


def test_a_study_is_a_case():
    put()
    source = read()
    (case,) = source.cases["train"]
    assert (case.case_id, case.patient_id) == ("p10001234/s50123456", "p10001234")
    (only,) = case.images
    assert only.image_id == f"files/p10/p10001234/s50123456/{DICOM}.jpg"
    assert only.view_position == "PA"
    assert only.where == "d/mimic-cxr-2.0.0-metadata.csv row 2"
    stated = {
        name: value for name, value in zip(FINDINGS, only.findings, strict=True) if value != -2
    }
    assert stated == {"Cardiomegaly": 1, "Edema": -1, "Lung Opacity": 1, "Pleural Effusion": 0}
    assert source.finding_names == FINDINGS  # CheXpert's order, not the file's
    assert source.default_findings == COMPETITION
    assert source.labels_shared_by_case


def test_no_dates_and_times_are_kept():
    put()
    (case,) = read().cases["train"]
    assert case.attributes == {"orientation": "Erect"}


def test_a_blank_view_and_no_orientation():
    put([image(DICOM, view="")])
    (case,) = read().cases["train"]
    assert (case.images[0].view_position, case.attributes) == ("", {})


def test_a_study_number_under_two_subjects_is_two_cases():
    put(
        [image("a", "10000001"), image("b", "10000002"), image("c", "10000001")],
        [f"{name},50123456,1000000{k},train" for name, k in (("a", 1), ("b", 2), ("c", 1))],
        ["10000001,50123456" + ",1.0" * 14, "10000002,50123456" + ",0.0" * 14],
    )
    cases = cases_of(read())
    assert {key: len(case.images) for key, case in cases.items()} == {
        "p10000001/s50123456": 2,
        "p10000002/s50123456": 1,
    }
    values = {key: {i.findings for i in case.images} for key, case in cases.items()}
    assert values == {"p10000001/s50123456": {(1,) * 14}, "p10000002/s50123456": {(0,) * 14}}


def test_columns_are_found_by_their_names():
    put()
    pathlib.Path(f"{PREFIX}split.csv").write_text(f"split,subject_id,dicom_id\ntest,x,{DICOM}\n")
    pathlib.Path(f"{PREFIX}metadata.csv").write_text(
        f"study_id,ViewPosition,dicom_id,subject_id\n50123456,LL,{DICOM},10001234\n"
    )
    names = [*FINDINGS, "study_id", "subject_id"]
    values = [str(k % 3 - 1) for k in range(14)] + ["50123456", "10001234"]
    pathlib.Path(f"{PREFIX}chexpert.csv").write_text(f"{','.join(names)}\n{','.join(values)}\n")
    (case,) = cases_of(read()).values()
    assert case.images[0].findings == tuple(k % 3 - 1 for k in range(14))
    assert case.images[0].view_position == "LL"


# ---------------------------------------------------------------- three tables


def test_a_study_without_labels_is_kept():
    put([image("a"), image("b", study="50000002")], ["a,50123456,10001234,train"])
    source = read()
    assert [case.images[0].findings == (-2,) * 14 for case in cases_of(source).values()] == [
        False,
        True,
    ]
    assert source.notes[:2] == (
        "studies kept without labels, having no row in mimic-cxr-2.0.0-chexpert.csv: 1",
        "images kept in the split of their patient, having no row in mimic-cxr-2.0.0-split.csv: 1",
    )
    assert {case.case_id for case in source.cases["train"]} == {
        "p10001234/s50123456",
        "p10001234/s50000002",
    }


def test_rows_that_no_image_needs_are_counted():
    put(
        split=[f"{name},50123456,10001234,train" for name in (DICOM, "x", "y")],
        labels=[QUOTED_LABELS, "10001234,5" + "," * 14],
    )
    assert read().notes[:2] == (
        "rows left out of mimic-cxr-2.0.0-chexpert.csv, having no image: 1",
        "rows left out of mimic-cxr-2.0.0-split.csv, having no row in the metadata: 2",
    )


def test_an_image_that_the_metadata_do_not_name_does_not_exist():
    put()
    pathlib.Path("d/files/p10/p10001234/s50123456/other.jpg").write_bytes(b"x")
    assert [len(case.images) for case in cases_of(read()).values()] == [1]


def test_splits():
    names = ["train", "validate", "test"]
    put(
        [image(name, f"1000000{k}") for k, name in enumerate(names)],
        [f"{name},50123456,1000000{k},{name}" for k, name in enumerate(names)],
        [f"1000000{k},50123456" + "," * 14 for k in range(3)],
    )
    source = read()
    stated = {split: [c.images[0].image_id for c in cases] for split, cases in source.cases.items()}
    assert stated == {
        "train": ["files/p10/p10000000/s50123456/train.jpg"],
        "validation": ["files/p10/p10000001/s50123456/validate.jpg"],
        "test": ["files/p10/p10000002/s50123456/test.jpg"],
    }
    assert source.notes == ()


@pytest.mark.parametrize("version", ["2.0.0", "2.1.0"])
@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize(
    "name", ["", "physionet.org/files/mimic-cxr-jpg/2.1.0", "mimic-cxr-jpg-2.0.0"]
)
def test_versions_and_places(version, gz, name):
    root = write_tree("t", patients=5, version=version, gz=gz, name=name, size=8)
    source = read("t")
    assert {
        split: len({case.patient_id for case in cases}) for split, cases in source.cases.items()
    } == {
        "train": 3,
        "validation": 1,
        "test": 1,
    }
    images = [image for case in cases_of(source).values() for image in case.images]
    assert len(images) == len(list(root.rglob("*.jpg")))
    ending = ".csv.gz" if gz else ".csv"
    assert images[0].where.startswith(f"{root}/mimic-cxr-{version}-metadata{ending} row ")


@pytest.mark.parametrize(("group_by", "count"), [("study", 3), ("patient", 2), ("image", 4)])
def test_other_ways_to_group(group_by, count):
    put(
        [image("a"), image("b"), image("c", study="5"), image("d", subject="10000009")],
        [f"{name},,,train" for name in "abcd"],
    )
    assert len(cases_of(read(group_by=group_by))) == count


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("kind", ["metadata", "split", "chexpert"])
def test_a_table_is_missing(kind):
    put()
    pathlib.Path(f"{PREFIX}{kind}.csv").unlink()
    expect_fault(
        f"--manual_dir=d: no mimic-cxr-2.0.0-{kind}.csv in it; MIMIC-CXR-JPG is at PhysioNet, for "
        "credentialed users; its tables metadata, split and chexpert lie here, beside the "
        "folder files"
    )


def test_no_such_folder():
    expect_fault("--manual_dir=x: cannot be read: No such file or directory", "x")


def test_a_value_that_is_none():
    put(labels=[QUOTED_LABELS.replace("-1.0", "-3")])
    expect_fault(f"{PREFIX}chexpert.csv row 2: column Edema holds -3, expected 1, 0, -1 or blank")


def test_a_split_of_another_name():
    put(split=[f"{DICOM},50123456,10001234,dev"])
    expect_fault(f"{PREFIX}split.csv row 2: split dev is not one of train, validate, test")


def test_an_image_in_two_splits():
    put(split=[f"{DICOM},50123456,10001234,{split}" for split in ("train", "test")])
    expect_fault(f"{PREFIX}split.csv row 3: image {DICOM} is in test, but not in a row before")


def test_a_patient_in_two_splits():
    put([image("a"), image("b", study="5")], ["a,,,train", "b,,,test"])
    expect_fault(
        f"{PREFIX}metadata.csv row 3: patient p10001234 is in test by {SPLIT_FILE}, but in train "
        f"by {SPLIT_FILE} in {PREFIX}metadata.csv row 2; a patient must stay in one split"
    )


def test_a_study_with_two_rows_of_labels():
    put(labels=[QUOTED_LABELS, QUOTED_LABELS])  # the same twice does no harm
    assert len(cases_of(read())) == 1
    put(labels=[QUOTED_LABELS, QUOTED_LABELS.replace("-1.0", "1.0")])
    expect_fault(
        f"{PREFIX}chexpert.csv row 3: study p10001234/s50123456 has other labels than in a row "
        "before"
    )


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (image(""), "dicom_id"),
        (image(DICOM, subject=""), "subject_id"),
        (image(DICOM, study=""), "study_id"),
    ],
)
def test_an_id_is_blank(row, column):
    put([row])
    expect_fault(f"{PREFIX}metadata.csv row 2: column {column} is blank")


def test_an_image_that_is_missing_or_elsewhere():
    put([QUOTED, image("../../../../../x")], images=False)
    missing = f"files/p10/p10001234/s50123456/{DICOM}.jpg"
    bad = BadImages(2)
    expect_fault("--manual_dir=d: no images in it that d/mimic-cxr-2.0.0-metadata.csv names",
                 bad_images=bad)  # fmt: skip
    assert bad.messages == [
        f"{PREFIX}metadata.csv row 2: no such image: d/{missing}",
        f"{PREFIX}metadata.csv row 3: files/p10/p10001234/s50123456/../../../../../x.jpg lies "
        "outside the image folder d",
    ]


def test_an_image_named_twice():
    put([QUOTED, QUOTED])
    expect_fault(
        f"{PREFIX}metadata.csv row 3: image files/p10/p10001234/s50123456/{DICOM}.jpg is there "
        f"twice ({PREFIX}metadata.csv row 2)"
    )


# ---------------------------------------------------------------- the whole way


def test_prepared_data_holds_the_tree(tmp_path):
    root = write_tree("t", patients=15, size=16)
    builder = Builder(data_dir=str(tmp_path / "tfds"))
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir="t"))
    with gzip.open(root / "mimic-cxr-2.0.0-chexpert.csv.gz", "rt", newline="") as file:
        labels = {f"p{r['subject_id']}/s{r['study_id']}": r for r in csv.DictReader(file)}
    numbers = {"": -2, "1.0": 1, "0.0": 0, "-1.0": -1}
    images = unlabelled = 0
    for split in ("train", "validation", "test"):
        for example in tfds.as_numpy(builder.as_dataset(split=split)):
            case = example["case_id"].decode()
            stated = labels.get(case, dict.fromkeys(FINDINGS, ""))
            wanted = [numbers[stated[name]] for name in FINDINGS]
            assert example["findings"].tolist() == [wanted] * len(example["images"])
            for name, content in zip(example["image_id"], example["images"], strict=True):
                assert (root / name.decode()).read_bytes() == content
            images += len(example["images"])
            unlabelled += case not in labels
    assert images == len(list(root.rglob("*.jpg")))
    assert builder.info.metadata["notes"] == [
        "studies kept without labels, having no row in mimic-cxr-2.0.0-chexpert.csv.gz: "
        f"{unlabelled}"
    ]
    assert unlabelled >= 2
