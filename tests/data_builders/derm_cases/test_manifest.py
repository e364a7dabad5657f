import pytest

from data_builders.reading.columns import parse_columns
from data_builders.schema import UNLABELLED
from tests.data_builders.manifests import cases_of, expect_fault, read, split_of

pytestmark = pytest.mark.usefixtures("image_folder")


def labels_of(manifest):
    """{image_id: class name, or None if unlabelled}."""
    return {
        image.image_id: None
        if image.class_label == UNLABELLED
        else manifest.class_names[image.class_label]
        for case in cases_of(manifest).values()
        for image in case.images
    }


# ---------------------------------------------------------------- columns


def test_every_column():
    manifest = read(
        "image,case_id,patient_id,label,view,split,age\n"
        "a.png,c1,p1,nevus,close,train,40\n"
        "b.png,c2,p2,melanoma,far,validation,50\n"
        "c.png,c1,p1,nevus,far,train,40\n"
        "d.png,c3,p3,nevus,far,test,\n"
    )
    assert manifest.class_names == ("melanoma", "nevus")
    assert manifest.notes == ()
    assert split_of(manifest) == {"c1": "train", "c2": "validation", "c3": "test"}
    case = cases_of(manifest)["c1"]
    assert (case.case_id, case.patient_id, case.attributes) == ("c1", "p1", {"age": "40"})
    assert [image.image_id for image in case.images] == ["a.png", "c.png"]
    assert [image.view_position for image in case.images] == ["close", "far"]
    assert [image.class_label for image in case.images] == [1, 1]
    assert [image.read() for image in case.images] == [b"a", b"c"]
    assert [image.source for image in case.images] == [
        "cases.csv row 2: a.png",
        "cases.csv row 4: c.png",
    ]
    assert cases_of(manifest)["c3"].attributes == {}


def test_two_columns_are_enough():
    manifest = read("case_id,image\nc1,a.png\nc1,b.png\nc2,c.png\nc3,d.png\n")
    assert manifest.class_names == ()
    assert set(labels_of(manifest).values()) == {None}
    assert {case.patient_id for case in cases_of(manifest).values()} == {""}
    assert set(split_of(manifest).values()) == {"train", "validation", "test"}
    assert manifest.notes == ("no split was given: made by case: train, validation, test",)


@pytest.mark.parametrize(
    "header, columns, view, attributes",
    [
        ("view", "", "x", {}),
        ("view_position", "", "x", {}),
        ("angle", "view=angle", "x", {}),
        ("angle", "view_position=angle", "x", {}),
        ("angle", "", "", {"angle": "x"}),
    ],
)
def test_view(header, columns, view, attributes):
    case = cases_of(read(f"image,case_id,{header}\na.png,c1,x\n", columns=columns))["c1"]
    assert (case.images[0].view_position, case.attributes) == (view, attributes)


def test_view_goes_before_view_position():
    case = cases_of(read("image,case_id,view_position,view\na.png,c1,x,y\n"))["c1"]
    assert case.images[0].view_position == "y"
    assert case.attributes == {"view_position": "x"}


def test_columns_of_other_names():
    manifest = read(
        "isic_id,lesion_id,dx,label\na,l1,nv,seen\nb,l1,,seen\n",
        columns=" image = isic_id, case_id=lesion_id ,label=dx,",
    )
    case = cases_of(manifest)["l1"]
    assert [image.image_id for image in case.images] == ["a", "b"]
    assert [image.read() for image in case.images] == [b"a", b"b"]  # found as a.png and b.png
    assert manifest.class_names == ("nv",)
    assert case.attributes == {"label": "seen"}


def test_one_column_for_two_purposes():
    manifest = read("image\na.png\nb.png\nc.png\n", columns="case_id=image")
    assert sorted(cases_of(manifest)) == ["a.png", "b.png", "c.png"]


_NAMES = "image, case_id, patient_id, study_id, label, view, split"


@pytest.mark.parametrize(
    "columns, message",
    [
        ("image", f"--columns=image: 'image' is not OURS=YOURS with OURS one of {_NAMES}"),
        ("image=", f"--columns=image=: 'image=' is not OURS=YOURS with OURS one of {_NAMES}"),
        ("age=x", f"--columns=age=x: 'age=x' is not OURS=YOURS with OURS one of {_NAMES}"),
        ("=x", f"--columns==x: '=x' is not OURS=YOURS with OURS one of {_NAMES}"),
        ("view=a,view_position=b", "--columns=view=a,view_position=b: view is named twice"),
        ("label=dx", "--columns=label=dx: cases.csv has no column dx; it has image, case_id"),
    ],
)
def test_columns_that_are_wrong(columns, message):
    expect_fault("image,case_id\na.png,c1\n", message, columns=columns)


def test_parse_columns():
    assert parse_columns("") == {}
    assert parse_columns("view_position=a=b") == {"view": "a=b"}


@pytest.mark.parametrize(
    "header, message",
    [
        (
            "file,case_id",
            "cases.csv row 1: no column image; it has file, case_id; "
            "name yours with --columns=image=...",
        ),
        (
            "image,lesion",
            "cases.csv row 1: no column case_id; it has image, lesion; "
            "name yours with --columns=case_id=...",
        ),
        ("image,case_id,age,age", "cases.csv row 1: 2 columns are named age"),
        ("image,case_id,image", "cases.csv row 1: 2 columns are named image"),
        (
            "Images,case_id",
            "cases.csv row 1: no column image; it has Images, case_id; "
            "name yours with --columns=image=...",
        ),
    ],
)
def test_header_that_is_wrong(header, message):
    expect_fault(f"{header}\na.png,c1\n", message)


def test_columns_without_a_name_are_left_out():
    manifest = read(",image,case_id,\n0,a.png,c1,x\n1,b.png,c1,y\n")
    assert cases_of(manifest)["c1"].attributes == {}


# ---------------------------------------------------------------- blanks and attributes


def test_blank_means_absent():
    manifest = read(
        "image,case_id,patient_id,label,view,split,age\n"
        "a.png,c1, , ,\t,  ,\nb.png,c2,,,,,\nc.png,c3,,,,,\n"
    )
    case = cases_of(manifest)["c1"]
    assert (case.patient_id, case.attributes, case.images[0].view_position) == ("", {}, "")
    assert manifest.class_names == ()
    assert len(manifest.cases) == 3


@pytest.mark.parametrize("row, column", [(" ,c1", "image"), ("a.png,", "case_id")])
def test_image_and_case_must_not_be_blank(row, column):
    expect_fault(f"image,case_id\nb.png,c2\n{row}\n", f"cases.csv row 3: column {column} is blank")


def test_blank_case_names_the_users_column():
    expect_fault(
        "image,lesion\na.png,\n",
        "cases.csv row 2: column lesion is blank",
        columns="case_id=lesion",
    )


def test_attributes_that_differ_are_a_list_with_one_per_image():
    manifest = read(
        "image,case_id,age,site,note\n"
        'a.png,c1,40,arm,\nb.png,c1,40,"left, arm",\nc.png,c1,40,,seen\n'
    )
    assert cases_of(manifest)["c1"].attributes == {
        "age": "40",
        "site": ["arm", "left, arm", ""],
        "note": ["", "", "seen"],
    }


# ---------------------------------------------------------------- labels


def test_labels_of_a_case_must_agree():
    expect_fault(
        "image,case_id,label\na.png,c1,\nb.png,c1,nevus\nc.png,c2,wart\nd.png,c1,wart\n",
        "cases.csv row 5: case c1 has label wart, but nevus in cases.csv row 3; "
        "if the images of a case may differ, say --labels_shared_by_case=false",
    )


def test_label_of_one_image_is_that_of_its_case():
    manifest = read("image,case_id,label\na.png,c1,\nb.png,c1,nevus\nc.png,c2,\n")
    assert labels_of(manifest) == {"a.png": "nevus", "b.png": "nevus", "c.png": None}
    assert manifest.labels_shared_by_case is True


def test_labels_of_images_on_their_own():
    manifest = read(
        "image,case_id,label\na.png,c1,\nb.png,c1,nevus\nc.png,c1,wart\n",
        labels_shared_by_case=False,
    )
    assert labels_of(manifest) == {"a.png": None, "b.png": "nevus", "c.png": "wart"}
    assert manifest.labels_shared_by_case is False


def test_labels_are_one_line_each():
    manifest = read('image,case_id,label\na.png,c1,"basal\r\n  cell"\nb.png,c2,basal cell\n')
    assert manifest.class_names == ("basal cell",)
