import csv
import io
import json
import os
import pathlib

import pytest

from data_builders.derm_cases import scin
from data_builders.grouping import ReadOptions
from data_builders.schema import UNLABELLED, BadData, BadImages
from tests.data_builders.manifests import cases_of
from tests.data_builders.trees_derm import (
    SCIN_CASE_COLUMNS,
    SCIN_LABEL_COLUMNS,
    counts_of,
    write_tree,
)

OWNERS_CASE = (
    "-1234567890123456789,SCIN,1.0.0,2023,AGE_30_TO_39,FEMALE,FST3,,,,,,,YES,,,YES,,,,,YES,,,,,,,,,"
    ",,YES,,,,YES,,,,,,,,,,YES,RASH,ONE_TO_FOUR_WEEKS,dataset/images/-1111111111111111111.png,"
    "dataset/images/2222222222222222222.png,,CLOSE_UP,AT_DISTANCE,,,\n"
)
OWNERS_LABEL = (
    "-1234567890123456789,DEFAULT_YES_IMAGE_QUALITY_SUFFICIENT,,,\"['Eczema', 'Insect Bite']\","
    "\"[4, 2]\",\"{'Eczema': 0.67, 'Insect Bite': 0.33}\",YES,,,FST3,,,True,True,3.0,4.0\n"
)
OWNERS_IMAGES = ("-1111111111111111111.png", "2222222222222222222.png")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """An empty folder "data" in the current one."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("data")


def read(cases, labels, images, folder="data/dataset", images_in="images", **options):
    """Reads two CSV texts without their headers."""
    os.makedirs(os.path.join(folder, images_in), exist_ok=True)
    pathlib.Path(folder, "scin_cases.csv").write_text(f"{SCIN_CASE_COLUMNS}\n{cases}")
    pathlib.Path(folder, "scin_labels.csv").write_text(f"{SCIN_LABEL_COLUMNS}\n{labels}")
    for image in images:
        pathlib.Path(folder, images_in, image).write_bytes(image.encode())
    return scin.read("data", ReadOptions(**options))


def read_cases(cases, labels=None, **options):
    """Reads {case_id: [image, ...]} and {case_id: text of the weights}."""
    weights = "weighted_skin_condition_label"
    cases = [
        {"case_id": case_id}
        | {f"image_{k}_path": f"dataset/images/{name}" for k, name in enumerate(names, 1) if name}
        for case_id, names in cases.items()
    ]
    if labels is None:
        labels = {row["case_id"]: "" for row in cases}
    labels = [{"case_id": case_id, weights: text} for case_id, text in labels.items()]
    images = {os.path.basename(v) for row in cases for n, v in row.items() if n != "case_id"}
    texts = (_csv(SCIN_CASE_COLUMNS, cases), _csv(SCIN_LABEL_COLUMNS, labels))
    return read(*texts, images, **options)


def _csv(header, rows):
    text = io.StringIO()
    csv.DictWriter(text, header.split(",")).writerows(rows)
    return text.getvalue()


def label_of(source, case_id):
    """The class of a case, None if it has none."""
    (label,) = {image.class_label for image in cases_of(source)[case_id].images}
    return None if label == UNLABELLED else source.class_names[label]


def expect_fault(message, function, *args, **kwargs):
    with pytest.raises(BadData) as caught:
        function(*args, **kwargs)
    assert str(caught.value) == message


def test_the_owners_rows():
    source = read(OWNERS_CASE, OWNERS_LABEL, OWNERS_IMAGES)
    (case,) = cases_of(source).values()
    assert (case.case_id, case.patient_id) == ("-1234567890123456789", "")
    assert [image.image_id for image in case.images] == list(OWNERS_IMAGES)
    assert [image.view_position for image in case.images] == ["CLOSE_UP", "AT_DISTANCE"]
    assert [image.read() for image in case.images] == [name.encode() for name in OWNERS_IMAGES]
    assert source.class_names == ("Eczema",)
    assert label_of(source, case.case_id) == "Eczema"
    differential = json.loads(case.attributes["differential"])
    assert differential == {"Eczema": 0.67, "Insect Bite": 0.33}
    assert list(differential) == ["Eczema", "Insect Bite"]
    assert {key: text for key, text in case.attributes.items() if key != "differential"} == {
        "age_group": "AGE_30_TO_39", "sex_at_birth": "FEMALE", "fitzpatrick_skin_type": "FST3",
        "textures": "raised_or_bumpy", "body_parts": "arm",
        "condition_symptoms": "bothersome_appearance, itching",
        "other_symptoms": "no_relevant_symptoms", "related_category": "RASH",
        "condition_duration": "ONE_TO_FOUR_WEEKS",
        "dermatologist_fitzpatrick_skin_type_label_1": "FST3",
        "monk_skin_tone_label_india": "3", "monk_skin_tone_label_us": "4",
    }  # fmt: skip


def test_nothing_of_race_or_date_is_taken_over():
    (case,) = cases_of(read(OWNERS_CASE, OWNERS_LABEL, OWNERS_IMAGES)).values()
    assert not any("race" in name or name in ("year", "release") for name in case.attributes)
    assert "2023" not in case.attributes.values()


def test_either_name_of_the_column_of_names():
    first = read(OWNERS_CASE, OWNERS_LABEL, OWNERS_IMAGES)
    path = pathlib.Path("data/dataset/scin_labels.csv")
    text = path.read_text()
    path.write_text(text.replace("condition_on_label_name", "condition_label_name"))
    assert path.read_text() != text
    assert scin.read("data", ReadOptions()).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    "folder, images_in",
    [
        ("data", "images"),
        ("data", "."),
        ("data", "dataset/images"),
        ("data/dataset", "images"),
        ("data/scin", "images"),
        ("data/scin/dataset", "images"),
    ],
)
def test_layouts(folder, images_in):
    source = read(OWNERS_CASE, OWNERS_LABEL, OWNERS_IMAGES, folder, images_in)
    (case,) = cases_of(source).values()
    assert [image.image_id for image in case.images] == list(OWNERS_IMAGES)


def test_second_and_third_photo_may_be_missing():
    cases = {"-1": ["a.png"], "2": ["b.png", "", "c.png"], "3": ["d.png", "e.png", "f.png"]}
    source = read_cases(cases)
    members = {
        key: [image.image_id for image in case.images] for key, case in cases_of(source).items()
    }
    assert members == {"-1": ["a.png"], "2": ["b.png", "c.png"], "3": ["d.png", "e.png", "f.png"]}


@pytest.mark.parametrize(
    "text, label",
    [
        ("", None),
        ("{}", None),
        ("{'Eczema': 1.0}", "Eczema"),
        ("{'Psoriasis': 0.2, 'Eczema': 0.5, 'Acne': 0.3}", "Eczema"),
        ("{'Psoriasis': 0.5, 'Acne': 0.5}", "Psoriasis"),  # the first of several
        ("{'Tinea': 1}", "Tinea"),
        ('{"Erythema ab  igne": 0.7}', "Erythema ab igne"),
    ],
)
def test_label_is_the_condition_of_the_greatest_weight(text, label):
    source = read_cases({"-1": ["a.png", "b.png"]}, {"-1": text})
    assert label_of(source, "-1") == label
    assert source.class_names == ((label,) if label else ())
    assert ("differential" in cases_of(source)["-1"].attributes) == bool(label)


@pytest.mark.parametrize(
    "text",
    [
        "Eczema",
        "['Eczema']",
        "{'Eczema': 'much'}",
        "{'Eczema': -1}",
        "{'Eczema': 1e999}",
        "{'': 1}",
        "{1: 1}",
        "{'Eczema': 1",
        "__import__('os')",
        "(" * 50,
    ],
)
def test_weights_that_are_none(text):
    expect_fault(
        f"data/dataset/scin_labels.csv row 2: column weighted_skin_condition_label holds {text}, "
        "expected conditions with weights, as {'Eczema': 0.67, 'Insect Bite': 0.33}",
        read_cases, {"-1": ["a.png"]}, {"-1": text},
    )  # fmt: skip


def test_what_says_nothing_is_no_attribute():
    row = {
        "case_id": "-1", "image_1_path": "dataset/images/a.png", "age_group": "AGE_UNKNOWN",
        "fitzpatrick_skin_type": "NONE_IDENTIFIED", "sex_at_birth": "OTHER_OR_UNSPECIFIED",
        "body_parts_arm": "YES", "body_parts_leg": "YES",
    }  # fmt: skip
    (case,) = cases_of(read(_csv(SCIN_CASE_COLUMNS, [row]), "", ["a.png"])).values()
    assert case.attributes == {"body_parts": "arm, leg"}


def test_photo_in_two_cases_stays_in_the_first():
    cases = {
        "1": ["a.png", "b.png"],
        "2": ["a.png", "c.png"],
        "3": ["a.png"],
        "4": ["d.png", "d.png"],
    }
    source = read_cases(cases)  # fmt: skip
    members = {
        key: [image.image_id for image in case.images] for key, case in cases_of(source).items()
    }
    assert members == {"1": ["a.png", "b.png"], "2": ["c.png"], "4": ["d.png"]}
    assert source.notes[:3] == (
        "images left out, being in another case already: 2",
        "images left out, being in their case already: 1",
        "cases left out, having no image: 1",
    )


def test_cases_and_labels_that_do_not_meet():
    source = read_cases(
        {"1": ["a.png"], "2": ["b.png"]},
        {"2": "{'Acne': 1.0}", "5": "{'Acne': 1.0}", "6": "{'Eczema': 1.0}"},
    )
    assert source.notes[:2] == (
        "unlabelled cases, without a row in scin_labels.csv: 1",
        "rows of scin_labels.csv left out, having none in scin_cases.csv: 2",
    )
    assert (label_of(source, "1"), label_of(source, "2")) == (None, "Acne")
    assert source.class_names == ("Acne",)


def test_missing_photo():
    source = read_cases({"1": ["a.png"], "2": ["b.png", "c.png"]})
    os.remove("data/dataset/images/b.png")
    message = "data/dataset/scin_cases.csv row 3: no such image: data/dataset/images/b.png"
    expect_fault(message, scin.read, "data", ReadOptions())
    bad = BadImages(1)
    source = scin.read("data", ReadOptions(bad_images=bad))
    assert [image.image_id for image in cases_of(source)["2"].images] == ["c.png"]
    assert bad.messages == [message]


def test_photo_outside_the_folder():
    pathlib.Path("secret.png").write_bytes(b"secret")
    os.makedirs("data/dataset/images")
    os.symlink(os.path.abspath("secret.png"), "data/dataset/images/a.png")
    pathlib.Path("data/dataset/images/b.png").write_bytes(b"b")
    row = "1" + "," * 49 + "dataset/images/a.png" + "," * 7 + "\n"
    expect_fault(
        "data/dataset/scin_cases.csv row 2: images/a.png lies outside the image folder "
        "data/dataset",
        read, row, "", [],
    )  # fmt: skip


@pytest.mark.parametrize(
    "cases, labels, message",
    [
        (2 * OWNERS_CASE, OWNERS_LABEL,
         "scin_cases.csv row 3: case -1234567890123456789 is there twice"),
        (OWNERS_CASE, 2 * OWNERS_LABEL,
         "scin_labels.csv row 3: case -1234567890123456789 is there twice"),
        (OWNERS_CASE.replace("-1234567890123456789", ""), "",
         "scin_cases.csv row 2: column case_id is blank"),
        ("", OWNERS_LABEL, "scin_cases.csv: no images in it"),
    ],
)  # fmt: skip
def test_faults(cases, labels, message):
    expect_fault(f"data/dataset/{message}", read, cases, labels, OWNERS_IMAGES)


def test_missing_tables():
    advice = (
        "scin_cases.csv and scin_labels.csv lie side by side, with the folder images beside them, "
        "as in the folder dataset of gs://dx-scin-public-data"
    )
    expect_fault(f"--manual_dir=data: no scin_cases.csv in it; {advice}",
                 scin.read, "data", ReadOptions())  # fmt: skip
    pathlib.Path("data/scin_cases.csv").write_text(f"{SCIN_CASE_COLUMNS}\n{OWNERS_CASE}")
    expect_fault(f"--manual_dir=data: no scin_labels.csv in it; {advice}",
                 scin.read, "data", ReadOptions())  # fmt: skip


def test_a_tree():
    expected = write_tree("tree/scin", "scin", num_cases=30)
    for folder in ("tree", "tree/scin", "tree/scin/dataset"):
        source = scin.read(folder, ReadOptions())
        assert counts_of(source) == expected
        assert source.class_names == ("Eczema", "Insect Bite", "Psoriasis", "Urticaria")
        assert "images left out, being in another case already: 1" in source.notes
