import collections
import os
import pathlib

import pytest

from data_builders.derm_cases import ham10000
from data_builders.grouping import ReadOptions
from data_builders.schema import BadData, BadImages
from tests.data_builders.manifests import cases_of
from tests.data_builders.trees_derm import counts_of, write_tree

HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"
OWNERS_ROW = "HAM_0001234,ISIC_0025678,bkl,histo,65.0,female,back,vidir_modern\n"
REAL = os.environ.get("HAM10000_DIR", "")  # the set itself, where there is a copy


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """An empty folder "data" in the current one."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("data")


def read(text, images=("ISIC_0025678.jpg",), table="HAM10000_metadata", **options):
    pathlib.Path("data", table).write_text(text)
    for k, image in enumerate(images):
        path = pathlib.Path("data", image)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % k)
    return ham10000.read("data", ReadOptions(**options))


def expect_fault(message, *args, **kwargs):
    with pytest.raises(BadData) as caught:
        read(*args, **kwargs)
    assert str(caught.value) == message


def test_the_owners_row():
    source = read(HEADER + OWNERS_ROW, ["HAM10000_images_part_1/ISIC_0025678.jpg"])
    (case,) = cases_of(source).values()
    assert (case.case_id, case.patient_id) == ("HAM_0001234", "")
    assert case.attributes == {
        "age": "65", "sex": "female", "localization": "back", "dx_type": "histo",
        "dataset": "vidir_modern",
    }  # fmt: skip
    (image,) = case.images
    assert image.image_id == "ISIC_0025678"
    assert source.class_names == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert source.class_names[image.class_label] == "bkl"
    assert image.read() == b"0"
    assert source.labels_shared_by_case


@pytest.mark.parametrize("name", ["HAM10000_metadata", "HAM10000_metadata.csv"])
def test_names_of_the_table(name):
    assert set(cases_of(read(HEADER + OWNERS_ROW, table=name))) == {"HAM_0001234"}


def test_tab_separated_table():
    text = (HEADER + OWNERS_ROW).replace(",", "\t")
    assert set(cases_of(read(text, table="HAM10000_metadata.tab"))) == {"HAM_0001234"}


def test_kaggle_has_no_column_dataset():
    text = "lesion_id,image_id,dx,dx_type,age,sex,localization\nl,i,nv,histo,80,,\n"
    (case,) = cases_of(read(text, ["i.jpg"])).values()
    assert case.attributes == {"age": "80", "dx_type": "histo"}


def test_blank_and_unknown_are_no_attributes():
    row = "HAM_1,ISIC_1,nv,follow_up,,unknown,unknown,rosendahl\n"
    (case,) = cases_of(read(HEADER + row, ["ISIC_1.jpg"])).values()
    assert case.attributes == {"dx_type": "follow_up", "dataset": "rosendahl"}


@pytest.mark.parametrize(
    "folder",
    ["HAM10000_images_part_1", "ham10000_images_part_2", "any/where", "."],
)
def test_images_lie_anywhere_below(folder):
    (case,) = cases_of(read(HEADER + OWNERS_ROW, [f"{folder}/ISIC_0025678.jpg"])).values()
    assert case.images[0].image_id == "ISIC_0025678"  # the same in every copy


def test_fingerprint_does_not_depend_on_the_folders():
    first = read(HEADER + OWNERS_ROW, ["HAM10000_images_part_1/ISIC_0025678.jpg"]).fingerprint
    os.rename("data/HAM10000_images_part_1", "data/images")
    assert ham10000.read("data", ReadOptions()).fingerprint == first


def test_copy_with_every_photo_twice():
    both = ["HAM10000_images_part_1/ISIC_0025678.jpg", "ham10000_images_part_1/ISIC_0025678.jpg"]
    (case,) = cases_of(read(HEADER + OWNERS_ROW, both)).values()
    assert [image.read() for image in case.images] == [b"0"]


def test_two_different_photos_of_one_name():
    pathlib.Path("data/small").mkdir()
    pathlib.Path("data/small/ISIC_0025678.jpg").write_bytes(b"another one")
    expect_fault(
        "--manual_dir=data: two images are called ISIC_0025678.jpg: ISIC_0025678.jpg, "
        "small/ISIC_0025678.jpg; leave one of them there",
        HEADER + OWNERS_ROW,
    )


def test_images_of_a_lesion_are_a_case_though_not_neighbours():
    rows = "l1,a,nv,,,,,\nl2,b,mel,,,,,\nl1,c,nv,,,,,\n"
    cases = cases_of(read(HEADER + rows, ["a.jpg", "b.jpg", "c.jpg"]))
    members = {key: [image.image_id for image in case.images] for key, case in cases.items()}
    assert members == {"l1": ["a", "c"], "l2": ["b"]}


def test_missing_table():
    with pytest.raises(BadData) as caught:
        ham10000.read("data", ReadOptions())
    assert str(caught.value) == (
        "--manual_dir=data: no HAM10000_metadata in it; it comes with HAM10000 (Harvard Dataverse, "
        "doi 10.7910/DVN/DBW86T); beside it lie the folders HAM10000_images_part_1 and "
        "HAM10000_images_part_2"
    )


def test_missing_folder():
    with pytest.raises(BadData) as caught:
        ham10000.read("nowhere", ReadOptions())
    assert str(caught.value) == "--manual_dir=nowhere: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    "text, message",
    [
        ("lesion_id,image_id\nl,i\n", "row 1: no column dx; it has lesion_id, image_id"),
        (HEADER + ",i,nv,,,,,\n", "row 2: column lesion_id is blank"),
        (HEADER + OWNERS_ROW + "l,,nv,,,,,\n", "row 3: column image_id is blank"),
        (
            HEADER + OWNERS_ROW.replace("bkl", "blk"),
            "row 2: blk is not a known label; known are akiec, bcc, bkl, df, mel, nv, vasc; "
            "did you mean bkl?",
        ),
        (HEADER + "l,i,nv,,,,,\n", "row 2: no such image: data/i.jpg"),
        (HEADER + 2 * OWNERS_ROW, "row 3: image ISIC_0025678 is there twice "
         "(data/HAM10000_metadata row 2)"),
        (HEADER + "l,i,nv\n", "row 2: 3 fields, but the header has 8"),
    ],
)  # fmt: skip
def test_faults(text, message):
    expect_fault(f"data/HAM10000_metadata {message}", text)


def test_nothing_left():
    expect_fault("data/HAM10000_metadata: no images in it", HEADER)


def test_missing_images_are_left_out_up_to_the_limit():
    bad = BadImages(1)
    source = read(HEADER + OWNERS_ROW + "l,i,nv,,,,,\n", bad_images=bad)
    assert set(cases_of(source)) == {"HAM_0001234"}
    assert bad.messages == ["data/HAM10000_metadata row 3: no such image: data/i.jpg"]


def test_there_are_no_patients():
    expect_fault(
        "--group_by=patient: the data has no such key; it can be grouped by case, image",
        HEADER + OWNERS_ROW,
        group_by="patient",
    )


def test_a_tree():
    expected = write_tree("tree/ham10000", "ham10000", num_cases=30)
    for folder in ("tree", "tree/ham10000"):
        source = ham10000.read(folder, ReadOptions())
        assert counts_of(source) == expected
        assert set(source.cases) == {"train", "validation", "test"}


@pytest.mark.skipif(not REAL, reason="HAM10000_DIR does not name a copy of HAM10000")
def test_all_of_ham10000():
    source = ham10000.read(REAL, ReadOptions())
    assert counts_of(source) == dict(images=10_015, cases=7_470, several=1_956, labelled=10_015)
    sizes = collections.Counter(len(case.images) for case in cases_of(source).values())
    assert sizes == {1: 5514, 2: 1423, 3: 490, 4: 34, 5: 5, 6: 4}
    labels = collections.Counter(
        source.class_names[image.class_label]
        for case in cases_of(source).values()
        for image in case.images
    )
    assert labels == dict(nv=6705, mel=1113, bkl=1099, bcc=514, akiec=327, vasc=142, df=115)
