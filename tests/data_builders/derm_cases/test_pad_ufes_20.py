import os
import pathlib

import pytest

from data_builders.case_builder import BadData
from data_builders.derm_cases import pad_ufes_20
from data_builders.grouping import ReadOptions
from tests.data_builders.manifests import cases_of
from tests.data_builders.trees_derm import counts_of, write_tree

HEADER = (
    "patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,"
    "skin_cancer_history,cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,"
    "diameter_1,diameter_2,diagnostic,itch,grew,hurt,changed,bleed,elevation,img_id,biopsed\n"
)
FULL_ROW = (
    "PAT_1234,567,False,True,GERMANY,ITALY,61,True,MALE,True,False,True,True,2.0,FOREARM,9.0,7.0,"
    "BCC,True,False,False,UNK,True,True,PAT_1234_567_89.png,True\n"
)
BLANK_ROW = (
    "PAT_1400,1555,,,,,44,,,,,,,,FACE,,,NEV,False,False,False,False,False,False,"
    "PAT_1400_1555_321.png,False\n"
)
SHORT_HEADER = "patient_id,lesion_id,diagnostic,img_id\n"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """An empty folder "data" in the current one."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("data")


def read(text, images=(), **options):
    pathlib.Path("data/metadata.csv").write_text(text)
    for image in images:
        path = pathlib.Path("data", image)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.encode())
    return pad_ufes_20.read("data", ReadOptions(**options))


def expect_fault(message, *args, **kwargs):
    with pytest.raises(BadData) as caught:
        read(*args, **kwargs)
    assert str(caught.value) == message


def test_the_owners_rows():
    first = "images/imgs_part_1/PAT_1234_567_89.png"
    second = "images/imgs_part_3/PAT_1400_1555_321.png"
    source = read(HEADER + FULL_ROW + BLANK_ROW, [first, second])
    assert set(cases_of(source)) == {"PAT_1234/567", "PAT_1400/1555"}
    full, blank = cases_of(source)["PAT_1234/567"], cases_of(source)["PAT_1400/1555"]
    assert full.patient_id == "PAT_1234"
    assert full.attributes == {
        "age": "61", "sex": "MALE", "fitzpatrick": "2", "region": "FOREARM", "diameter_1": "9",
        "diameter_2": "7", "smoke": "False", "drink": "True", "skin_cancer_history": "True",
        "cancer_history": "False", "itch": "True", "grew": "False", "hurt": "False",
        "bleed": "True", "elevation": "True", "biopsed": "True",
    }  # fmt: skip
    assert [image.image_id for image in full.images] == ["PAT_1234_567_89.png"]
    assert full.images[0].read() == first.encode()
    assert source.class_names == ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")
    assert source.class_names[full.images[0].class_label] == "BCC"
    assert source.class_names[blank.images[0].class_label] == "NEV"
    assert blank.attributes == {
        "age": "44", "region": "FACE", "itch": "False", "grew": "False", "hurt": "False",
        "changed": "False", "bleed": "False", "elevation": "False", "biopsed": "False",
    }  # fmt: skip


def test_household_and_descent_are_not_taken_over():
    (case,) = cases_of(read(HEADER + FULL_ROW, ["PAT_1234_567_89.png"])).values()
    assert not {"GERMANY", "ITALY"} & set(case.attributes.values())
    assert not {"pesticide", "has_piped_water", "has_sewage_system"} & set(case.attributes)


def test_one_lesion_id_under_two_patients_is_two_cases():
    text = SHORT_HEADER + "P1,5,NEV,a.png\nP2,5,MEL,b.png\nP1,6,BCC,c.png\nP1,5,NEV,d.png\n"
    cases = cases_of(read(text, ["a.png", "b.png", "c.png", "d.png"]))
    members = {key: [image.image_id for image in case.images] for key, case in cases.items()}
    assert members == {"P1/5": ["a.png", "d.png"], "P2/5": ["b.png"], "P1/6": ["c.png"]}


def test_grouped_by_patient():
    text = SHORT_HEADER + "P1,5,NEV,a.png\nP2,5,MEL,b.png\nP1,6,BCC,c.png\n"
    source = read(text, ["a.png", "b.png", "c.png"], group_by="patient")
    case = cases_of(source)["P1"]
    labels = [source.class_names[image.class_label] for image in case.images]
    assert labels == ["NEV", "BCC"]
    assert not source.labels_shared_by_case


def test_lesions_of_a_patient_stay_in_one_split():
    rows = "".join(f"P{k // 3},{k},NEV,{k}.png\n" for k in range(60))
    source = read(SHORT_HEADER + rows, [f"{k}.png" for k in range(60)])
    patients = [{case.patient_id for case in cases} for cases in source.cases.values()]
    assert len(patients) == 3
    assert sum(map(len, patients)) == len(set.union(*patients)) == 20


@pytest.mark.parametrize("stated", ["PAT_1_2_3", "PAT_1_2_3.png"])
def test_image_names_without_an_ending(stated):
    (case,) = cases_of(
        read(f"{SHORT_HEADER}PAT_1,2,NEV,{stated}\n", ["imgs/PAT_1_2_3.png"])
    ).values()
    assert case.images[0].image_id == stated
    assert case.images[0].read() == b"imgs/PAT_1_2_3.png"


def test_missing_table():
    with pytest.raises(BadData) as caught:
        pad_ufes_20.read("data", ReadOptions())
    assert str(caught.value) == (
        "--manual_dir=data: no metadata.csv in it; it comes with PAD-UFES-20 (Mendeley Data, doi "
        "10.17632/zr7vgbcyr2.1); beside it lies the folder images with imgs_part_1, imgs_part_2 "
        "and imgs_part_3"
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("patient_id,img_id,diagnostic\nP,a.png,NEV\n",
         "row 1: no column lesion_id; it has patient_id, img_id, diagnostic"),
        (SHORT_HEADER + ",2,NEV,a.png\n", "row 2: column patient_id is blank"),
        (SHORT_HEADER + "P,,NEV,a.png\n", "row 2: column lesion_id is blank"),
        (SHORT_HEADER + "P,2,NEV,\n", "row 2: column img_id is blank"),
        (SHORT_HEADER + "P,2,NEV,b.png\n", "row 2: no such image: data/b.png"),
        (SHORT_HEADER + "P,2,NEV,b\n", "row 2: no such image: data/b.png"),
        (SHORT_HEADER + "P,2,NV,a.png\n", "row 2: NV is not a known label; known are ACK, BCC, "
         "MEL, NEV, SCC, SEK; did you mean NEV?"),
        (SHORT_HEADER + "P,2,NEV,a.png\nP,2,NEV,a.png\n",
         "row 3: image a.png is there twice (data/metadata.csv row 2)"),
    ],
)  # fmt: skip
def test_faults(text, message):
    expect_fault(f"data/metadata.csv {message}", text, ["a.png"])


def test_two_images_of_one_name():
    expect_fault(
        "--manual_dir=data: two images are called a.png: x/a.png, yy/a.png; leave "
        "one of them there",
        SHORT_HEADER + "P,2,NEV,a.png\n",
        ["x/a.png", "yy/a.png"],
    )


def test_nothing_left():
    expect_fault("data/metadata.csv: no images in it", SHORT_HEADER)


def test_a_tree():
    expected = write_tree("tree/pad_ufes_20", "pad_ufes_20", num_cases=30)
    for folder in ("tree", "tree/pad_ufes_20"):
        source = pad_ufes_20.read(folder, ReadOptions())
        assert counts_of(source) == expected
        assert len({case.patient_id for case in cases_of(source).values()}) == 15
        assert len({case.case_id.split("/")[1] for case in cases_of(source).values()}) == 3
