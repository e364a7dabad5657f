import os
import pathlib

import pytest

from data_builders.case_builder import UNLABELLED, BadData
from data_builders.derm_cases import isic2019
from data_builders.grouping import ReadOptions
from tests.data_builders.manifests import cases_of
from tests.data_builders.trees_derm import counts_of, write_tree

LABELS = "ISIC_2019_Training_GroundTruth.csv"
METADATA = "ISIC_2019_Training_Metadata.csv"
LABEL_HEADER = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\n"
HEADER = "image,age_approx,anatom_site_general,lesion_id,sex\n"
OWNERS_LABEL = "ISIC_0054321,0.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
OWNERS_ROW = "ISIC_0054321,55.0,anterior torso,BCN_0001234,female\n"
ONE_HOT = {
    name: ",".join("1" if name == other else "0" for other in LABEL_HEADER.strip().split(",")[1:])
    for name in LABEL_HEADER.strip().split(",")[1:]
}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """An empty folder "data" in the current one."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("data")


def read(labels, metadata, images=("ISIC_0054321.jpg",), **options):
    pathlib.Path("data", LABELS).write_text(labels)
    pathlib.Path("data", METADATA).write_text(metadata)
    for image in images:
        path = pathlib.Path("data", image)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.encode())
    return isic2019.read("data", ReadOptions(**options))


def read_lesions(*lesions, **options):
    """Images 0, 1, ...: (lesion_id, class) each; a class of None has no row."""
    labels = [f"{k},{ONE_HOT[name]}\n" for k, (_, name) in enumerate(lesions) if name]
    metadata = [f"{k},,,{lesion},\n" for k, (lesion, _) in enumerate(lesions)]
    images = [f"{k}.jpg" for k in range(len(lesions))]
    return read(LABEL_HEADER + "".join(labels), HEADER + "".join(metadata), images, **options)


def labels_of(source):
    """{image_id: class, None if unlabelled}."""
    return {
        image.image_id: None
        if image.class_label == UNLABELLED
        else source.class_names[image.class_label]
        for case in cases_of(source).values()
        for image in case.images
    }


def expect_fault(message, *args, **kwargs):
    with pytest.raises(BadData) as caught:
        read(*args, **kwargs)
    assert str(caught.value) == message


def test_the_owners_row():
    source = read(
        LABEL_HEADER + OWNERS_LABEL,
        HEADER + OWNERS_ROW,
        ["ISIC_2019_Training_Input/ISIC_0054321.jpg"],
    )
    (case,) = cases_of(source).values()
    assert (case.case_id, case.patient_id) == ("BCN_0001234", "")
    assert case.attributes == {
        "age": "55", "sex": "female", "anatom_site_general": "anterior torso",
    }  # fmt: skip
    assert source.class_names == ("AK", "BCC", "BKL", "DF", "MEL", "NV", "SCC", "VASC")
    assert labels_of(source) == {"ISIC_0054321": "NV"}
    assert case.images[0].read() == b"ISIC_2019_Training_Input/ISIC_0054321.jpg"
    assert source.notes == ("no split was given: made by case: train",)


@pytest.mark.parametrize("folder", ["ISIC_2019_Training_Input", ".", "a/b"])
def test_downsampled_names_and_folders(folder):
    labels = LABEL_HEADER + OWNERS_LABEL.replace("0054321", "0054321_downsampled")
    metadata = HEADER + OWNERS_ROW.replace("0054321", "0054321_downsampled")
    source = read(labels, metadata, [f"{folder}/ISIC_0054321_downsampled.jpg"])
    assert labels_of(source) == {"ISIC_0054321_downsampled": "NV"}


def test_every_class_written_both_ways():
    names = list(isic2019.CLASS_NAMES)
    expected = {str(k): name for k, name in enumerate(names)}
    assert labels_of(read_lesions(*((f"L{name}", name) for name in names))) == expected
    text = pathlib.Path("data", LABELS).read_text()
    decimals = text.replace(",0", ",0.0").replace(",1", ",1.0")
    pathlib.Path("data", LABELS).write_text(decimals)
    assert labels_of(isic2019.read("data", ReadOptions())) == expected


def test_unknown_class_is_unlabelled():
    assert labels_of(read_lesions(("a", "UNK"), ("b", "NV"))) == {"0": None, "1": "NV"}


def test_images_without_a_lesion_are_cases_of_their_own():
    source = read_lesions(("BCN_1", "NV"), ("", "MEL"), ("BCN_1", "NV"), ("", "MEL"))
    members = {
        key: [image.image_id for image in case.images] for key, case in cases_of(source).items()
    }
    assert members == {"BCN_1": ["0", "2"], "1": ["1"], "3": ["3"]}
    assert source.notes[0] == "images without a lesion_id, each a case of its own: 2"


def test_photos_of_ham10000_are_counted():
    source = read_lesions(("HAM_1", "NV"), ("BCN_1", "MEL"), ("HAM_1", "NV"), ("HAM_2", "NV"))
    assert source.notes[0] == (
        "3 images are HAM10000's (lesion_id HAM_...): do not test on one what was trained on the "
        "other"
    )


def test_contradictory_labels_are_left_out():
    source = read_lesions(("a", "NV"), ("b", "BCC"), ("a", "MEL"), ("b", "BCC"))
    assert labels_of(source) == {"0": None, "1": "BCC", "2": None, "3": "BCC"}
    assert source.notes[0] == "lesions without a label, since those of their images differ: 1"
    assert source.labels_shared_by_case


def test_rows_without_ground_truth_are_unlabelled():
    source = read_lesions(("a", "NV"), ("b", None), ("c", "BCC"))
    assert labels_of(source) == {"0": "NV", "1": None, "2": "BCC"}
    assert source.notes[0] == f"unlabelled images, without a row in {LABELS}: 1"


def test_ground_truth_without_metadata():
    expect_fault(
        f"data/{LABELS} row 3: image ISIC_9 has no row in data/{METADATA}, so its lesion is not "
        "known; get both files anew",
        LABEL_HEADER + OWNERS_LABEL + f"ISIC_9,{ONE_HOT['NV']}\n",
        HEADER + OWNERS_ROW,
    )


@pytest.mark.parametrize(
    "labels, message",
    [
        ("image,MEL\nISIC_0054321,1\n", "row 1: no column AK; it has image, MEL"),
        (LABEL_HEADER + "ISIC_0054321,0,0,0,0,0,0,0,0,0\n",
         "row 2: 0 classes are 1, expected exactly one"),
        (LABEL_HEADER + "ISIC_0054321,1.0,0,0,0,0,1,0,0,0\n",
         "row 2: 2 classes are 1, expected exactly one"),
        (LABEL_HEADER + "ISIC_0054321,0.5,0.5,0,0,0,0,0,0,0\n",
         "row 2: column MEL holds 0.5, expected 1 or 0"),
        (LABEL_HEADER + "ISIC_0054321,1,,0,0,0,0,0,0,0\n",
         "row 2: column NV holds nothing, expected 1 or 0"),
        (LABEL_HEADER + 2 * OWNERS_LABEL,
         f"row 3: image ISIC_0054321 is there twice (data/{LABELS} row 2)"),
    ],
)  # fmt: skip
def test_faults_of_the_ground_truth(labels, message):
    expect_fault(f"data/{LABELS} {message}", labels, HEADER + OWNERS_ROW)


@pytest.mark.parametrize(
    "metadata, message",
    [
        ("image,age_approx\nISIC_0054321,5\n",
         "row 1: no column lesion_id; it has image, age_approx"),
        (HEADER + ",55,,BCN_1,\n", "row 2: column image is blank"),
        (HEADER + 2 * OWNERS_ROW,
         f"row 3: image ISIC_0054321 is there twice (data/{METADATA} row 2)"),
        (HEADER + OWNERS_ROW + "ISIC_9,,,,\n", "row 3: no such image: data/ISIC_9.jpg"),
    ],
)  # fmt: skip
def test_faults_of_the_metadata(metadata, message):
    expect_fault(f"data/{METADATA} {message}", LABEL_HEADER + OWNERS_LABEL, metadata)


def test_missing_tables():
    advice = (
        f"{LABELS}, {METADATA} and the folder ISIC_2019_Training_Input lie side by side, as the "
        "ISIC challenge of 2019 offers them for download"
    )
    with pytest.raises(BadData) as caught:
        isic2019.read("data", ReadOptions())
    assert str(caught.value) == f"--manual_dir=data: no {LABELS} in it; {advice}"
    pathlib.Path("data", LABELS).write_text(LABEL_HEADER)
    with pytest.raises(BadData) as caught:
        isic2019.read("data", ReadOptions())
    assert str(caught.value) == f"--manual_dir=data: no {METADATA} in it; {advice}"


def test_nothing_left():
    expect_fault(f"data/{METADATA}: no images in it", LABEL_HEADER, HEADER)


def test_a_tree():
    expected = write_tree("tree/isic2019", "isic2019", num_cases=30)
    for folder in ("tree", "tree/isic2019"):
        source = isic2019.read(folder, ReadOptions())
        assert counts_of(source) == expected
        assert any("HAM10000" in note for note in source.notes)
        assert any("without a lesion_id" in note for note in source.notes)
