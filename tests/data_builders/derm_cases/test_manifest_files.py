"""Where the images of a manifest are, and what is wrong with files."""

import json
import os

import pytest

from data_builders.derm_cases.manifest import read_manifest
from data_builders.grouping import ReadOptions
from data_builders.images import ImageOptions
from data_builders.on_threads import case_examples
from data_builders.schema import BadData
from tests.data_builders.manifests import GIF, cases_of, expect_fault, read, split_of
from tests.pictures import jpeg, png

pytestmark = pytest.mark.usefixtures("image_folder")


# ---------------------------------------------------------------- images


def test_image_in_two_cases():
    expect_fault(
        "image,case_id\na.png,c1\nb.png,c1\na.png,c2\n",
        "cases.csv row 4: image a.png is in case c1 too (cases.csv row 2)",
    )


@pytest.mark.parametrize("again", ["a.png", "./a.png", "sub/../a.png", "link.png", "a"])
def test_image_twice_however_it_is_spelled(image_folder, again):
    (image_folder / "sub").mkdir()
    (image_folder / "link.png").symlink_to("a.png")
    expect_fault(
        f"image,case_id\na.png,c1\n{again},c1\n",
        f"cases.csv row 3: image {again} is there twice (cases.csv row 2)",
    )


@pytest.mark.parametrize(
    "name", ["g.png", "g", "sub", "sub/a.png", "a.png/b.png", "x" * 300 + ".png"]
)
def test_image_that_is_missing(image_folder, name):
    (image_folder / "sub").mkdir()
    expect_fault(f"image,case_id\na.png,c1\n{name},c1\n", f"cases.csv row 3: no such image: {name}")


@pytest.mark.parametrize("case, message", [("c1", "is there twice"), ("c2", "is in case c1 too")])
@pytest.mark.parametrize("kind", ["hard", "symbolic", "folder", "absolute"])
def test_one_file_by_two_paths(image_folder, kind, case, message):
    if kind == "hard":
        again = "again.png"
        os.link("a.png", again)
    elif kind == "symbolic":
        again = "again.png"
        os.symlink("a.png", again)
    elif kind == "folder":
        again = "here/a.png"
        os.symlink(".", "here")
    else:
        again = f"{image_folder}/a.png"
    shown = "a.png" if kind == "absolute" else again
    expect_fault(
        f"image,case_id\na.png,c1\nb.png,c1\n{again},{case}\n",
        f"cases.csv row 4: image {shown} {message} (cases.csv row 2)",
    )


def test_images_lie_in_their_folder(image_folder):
    outside = image_folder / "outside"
    outside.mkdir()
    (outside / "x.png").write_bytes(b"x")
    inside = image_folder / "inside"
    inside.mkdir()
    (inside / "link.png").symlink_to(outside / "x.png")
    (inside / "folder").symlink_to(outside)
    for name in ("../outside/x.png", str(outside / "x.png"), "link.png", "folder/x.png", "link"):
        expect_fault(
            f"image,case_id\n{name},c1\n",
            f"cases.csv row 2: {name} lies outside the image folder inside",
            image_dir="inside",
        )
    (image_folder / "inside-not").mkdir()
    (image_folder / "inside-not" / "x.png").write_bytes(b"x")
    expect_fault(
        "image,case_id\n../inside-not/x.png,c1\n",
        "cases.csv row 2: ../inside-not/x.png lies outside the image folder inside",
        image_dir="inside",
    )


def test_absolute_path_inside_the_folder_is_no_image_id(image_folder):
    case = cases_of(read(f"image,case_id\n{image_folder}/a.png,c1\n"))["c1"]
    assert case.images[0].image_id == "a.png"
    case = cases_of(read(f"image,case_id\n{image_folder}/a.png,c1\n", image_dir="/"))["c1"]
    assert case.images[0].image_id == str(image_folder / "a.png").removeprefix("/")


def test_absolute_path_by_a_link_to_the_folder_is_no_image_id(image_folder):
    outside = image_folder.parent / "link"
    outside.symlink_to(image_folder)
    case = cases_of(read(f"image,case_id\n{outside}/a.png,c1\n{outside}/b,c1\n"))["c1"]
    assert [image.image_id for image in case.images] == ["a.png", "b"]


def test_folder_of_the_images(image_folder):
    (image_folder / "photos" / "deep").mkdir(parents=True)
    (image_folder / "photos" / "deep" / "é 1.JPG").write_bytes(b"photo")
    image = cases_of(read("image,case_id\ndeep/é 1.JPG,c1\n", image_dir="photos"))["c1"].images[0]
    assert (image.image_id, image.read()) == ("deep/é 1.JPG", b"photo")
    assert image.source == "cases.csv row 2: photos/deep/é 1.JPG"
    expect_fault(
        "image,case_id\na,c1\n", "--image_dir=pictures: no such folder", image_dir="pictures"
    )


def test_images_lie_beside_the_manifest_by_default(image_folder, monkeypatch):
    read("image,case_id\na.png,c1\nb.png,c2\nc.png,c3\n")
    (image_folder / "elsewhere").mkdir()
    monkeypatch.chdir(image_folder / "elsewhere")
    for path in ("../cases.csv", str(image_folder / "cases.csv")):
        manifest = read_manifest(path)
        assert {i.read() for c in cases_of(manifest).values() for i in c.images} == {
            b"a",
            b"b",
            b"c",
        }
    monkeypatch.setenv("HOME", str(image_folder))
    assert len(cases_of(read_manifest("~/cases.csv"))) == 3


# ---------------------------------------------------------------- what is in an image file


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("x.jpg", b"", "the file is empty"),
        ("x.jpg", b"a text\n", "not a JPEG, PNG or DICOM image"),
        ("x.dcm", bytes(200), "not a JPEG, PNG or DICOM image"),
        ("x.jpg", GIF, "not a JPEG, PNG or DICOM image"),
        ("x.jpg", b"BM" + bytes(60), "not a JPEG, PNG or DICOM image"),
        ("x.jpg", jpeg(40, 50)[:-200], "the image is damaged or cut short"),
        ("x.png", png(40, 50)[:-200], "the image is damaged or cut short"),
        ("x.jpg", jpeg(61, 60), "60 x 61 pixels are more than --max_pixels=3600"),
        ("x.png", png(60, 61), "61 x 60 pixels are more than --max_pixels=3600"),
    ],
)
def test_content_that_is_wrong_names_the_row(image_folder, name, content, message):
    (image_folder / "a.png").write_bytes(png(60, 60))
    (image_folder / name).write_bytes(content)
    source = read(f"image,case_id\na.png,c1\n{name},c1\n")
    with pytest.raises(BadData) as caught:
        list(case_examples(source.cases["train"], ImageOptions(max_pixels=3600), source))
    assert str(caught.value) == f"cases.csv row 3: {name}: {message}"


def test_image_that_goes_while_it_is_prepared(image_folder):
    source = read("image,case_id\na.png,c1\n")
    (image_folder / "a.png").unlink()
    with pytest.raises(BadData) as caught:
        list(case_examples(source.cases["train"], ImageOptions(), source))
    assert str(caught.value) == (
        "cases.csv row 2: a.png: cannot be read: No such file or directory"
    )


# ---------------------------------------------------------------- the file


def test_no_such_manifest():
    with pytest.raises(BadData) as caught:
        read_manifest("none.csv")
    assert str(caught.value) == "--manifest=none.csv: no such file or folder"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "cases.csv: the file is empty"),
        ("\n \n", "cases.csv: the file is empty"),
        ("image,case_id\n\n", "--manifest=cases.csv: no images in it"),
        (
            "image,case_id,label\na.png,c1,x\nb.png,c1\n",
            "cases.csv row 3: 2 fields, but the header has 3",
        ),
        ("image,case_id\na.png,c1,x\n", "cases.csv row 2: 3 fields, but the header has 2"),
        (b"image,case_id\na.png,c1\nb.png,c\xe9\n", "cases.csv row 3: not UTF-8 text"),
        (b"\xef\xbb\xbfimage,case_id\na.png,c\xe9\n", "cases.csv row 2: not UTF-8 text"),
        ("image,case_id\n".encode("utf-16"), "cases.csv row 1: not UTF-8 text"),
        ("image,case_id\na.png,c\0\n", "cases.csv row 2: a zero byte: this is not a text file"),
        (
            'image,case_id\na.png,c1\n"b.png,c1\nc.png,c2\n',
            "cases.csv row 3: not valid CSV: unexpected end of data",
        ),
        (
            'image,case_id,"label\na.png,c1,x\n',
            "cases.csv row 1: not valid CSV: unexpected end of data",
        ),
        (b"image,case_id,\xe9\na.png,c1,x\n", "cases.csv row 1: not UTF-8 text"),
        ("\0image,case_id\n", "cases.csv row 1: a zero byte: this is not a text file"),
        ("image,case_id", "--manifest=cases.csv: no images in it"),
        (
            "{" + 200_000 * "x" + "}",
            "cases.csv row 1: not valid CSV: field larger than field limit (131072)",
        ),
        (
            "image,case_id\na.png," + 200_000 * "x",
            "cases.csv row 2: not valid CSV: field larger than field limit (131072)",
        ),
        (
            'image,case_id\n"a.png"x,c1\n',
            "cases.csv row 2: not valid CSV: ',' expected after '\"'",
        ),
    ],
)
def test_file_that_is_wrong(text, message):
    expect_fault(text, message)


def test_rows_are_numbered_by_their_first_line():
    note = '"first\nsecond\n\nfourth"'
    expect_fault(
        f"image,case_id,note\na.png,c1,{note}\n\nb.png,c1,{note}\nc.png,,{note}\n",
        "cases.csv row 11: column case_id is blank",
    )
    expect_fault(
        'image,case_id,"two\nlines"\na.png,c1,\nb.png,,\n',
        "cases.csv row 4: column case_id is blank",
    )
    expect_fault(
        'image,case_id\na.png,c1\n"b\n\n', "cases.csv row 3: not valid CSV: unexpected end of data"
    )


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_dialects(mark, line_end, start):
    lines = ['image|case_id|label|"a, b; c"', "a.png|c1|nevus|x", '"b.png"|c1|nevus|"two\nlines"']
    manifest = read(start + line_end.join(line.replace("|", mark) for line in lines) + line_end)
    case = cases_of(manifest)["c1"]
    assert [image.image_id for image in case.images] == ["a.png", "b.png"]
    assert manifest.class_names == ("nevus",)
    assert case.attributes == {"a, b; c": ["x", "two\nlines"]}


def test_blank_fields_at_the_end_of_a_row_do_not_count():
    case = cases_of(read("image,case_id\na.png,c1,\nb.png,c1,, \nc.png,c1\n"))["c1"]
    assert [image.image_id for image in case.images] == ["a.png", "b.png", "c.png"]
    assert case.attributes == {}


def test_a_manifest_that_is_no_text_but_an_image(image_folder):
    with pytest.raises(BadData) as caught:
        (image_folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
        read_manifest("photo.jpg")
    assert str(caught.value) == "photo.jpg row 1: not UTF-8 text"


# ---------------------------------------------------------------- folders


def test_a_folder_per_case(image_folder):
    for name in ("c1/2.jpg", "c1/1.PNG", "c2/photo.jpeg", "c3/x.png", "c3/notes.txt", "c4/._x.png",
                 ".git/a.png", "readme.txt", "c1/deep/y.png"):  # fmt: skip
        path = image_folder / "cases" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    manifest = read_manifest("cases")
    cases = cases_of(manifest)
    assert {name: [i.image_id for i in case.images] for name, case in cases.items()} == {
        "c1": ["c1/1.PNG", "c1/2.jpg"],
        "c2": ["c2/photo.jpeg"],
        "c3": ["c3/x.png"],
    }
    assert cases["c1"].images[0].read() == b"c1/1.PNG"
    assert cases["c1"].images[0].source == "cases/c1/1.PNG"
    assert manifest.class_names == ()
    assert manifest.notes == (
        # notes.txt, readme.txt, c1/deep
        "left out, being no JPEG, PNG or DICOM (.dcm) of a case folder: 3",
        "no split was given: made by case: train, validation, test",
    )
    assert split_of(manifest) == split_of(read_manifest("cases/"))


def test_a_folder_without_sub_folders_has_a_case_per_image(image_folder):
    (image_folder / "flat").mkdir()
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg"):
        (image_folder / "flat" / name).write_bytes(name.encode())
    manifest = read_manifest("flat")
    assert {name: [i.image_id for i in c.images] for name, c in cases_of(manifest).items()} == {
        "a.PNG": ["a.PNG"],
        "b.jpg": ["b.jpg"],
    }
    assert manifest.notes[:2] == (
        "there are no sub-folders: each image is a case of its own",
        "left out, being no JPEG, PNG or DICOM (.dcm) of a case folder: 1",
    )


@pytest.mark.parametrize("images, noted", [(20, False), (21, True)])
def test_sub_folders_that_look_like_classes_are_noted(image_folder, images, noted):
    for name in ("benign", "malignant"):
        (image_folder / "sorted" / name).mkdir(parents=True)
        for number in range(images):
            (image_folder / "sorted" / name / f"{number}.jpg").write_bytes(b"x")
    note = (
        "the 2 sub-folders have 21 images each, and each is taken for a case, whose images show "
        "one "
        "thing of one patient; if they are classes, or splits, write a table with columns image, "
        "case_id and label instead"
    )
    assert (note in read_manifest("sorted").notes) == noted
    each = ReadOptions(group_by="image")
    assert note not in read_manifest("sorted", options=each).notes


def test_where_an_image_of_the_name_lies_is_said(image_folder):
    for name in ("ACK", "BCC"):
        (image_folder / "photos" / name).mkdir(parents=True)
    (image_folder / "photos/ACK/1.jpg").write_bytes(b"x")
    (image_folder / "table.csv").write_text("image,case_id\n1.jpg,a\n2.jpg,b\n")
    missing = "table.csv row 2: no such image: photos/1.jpg"
    with pytest.raises(BadData) as caught:
        read_manifest("table.csv", "photos")
    assert (
        str(caught.value) == f"{missing}; there is ACK/1.jpg: name images by their path from there"
    )
    (image_folder / "photos/BCC/1.jpg").write_bytes(b"other")  # which is meant?
    with pytest.raises(BadData) as caught:
        read_manifest("table.csv", "photos")
    assert str(caught.value) == missing


def test_folders_without_cases(image_folder):
    (image_folder / "cases" / "c1").mkdir(parents=True)
    (image_folder / "cases" / "loose.jpg").write_bytes(b"x")
    with pytest.raises(BadData) as caught:
        read_manifest("cases")
    assert str(caught.value) == "--manifest=cases: no images in it"
    for flag, message in (
        ("image_dir", "--image_dir=x: --manifest=cases is a folder, not a CSV"),
        ("columns", "--columns=x: --manifest=cases is a folder, not a CSV"),
    ):
        with pytest.raises(BadData) as caught:
            read_manifest("cases", **{flag: "x"})
        assert str(caught.value) == message


def test_a_folder_with_links_to_elsewhere(image_folder):
    (image_folder / "cases" / "c1").mkdir(parents=True)
    (image_folder / "cases" / "c1" / "1.png").symlink_to(image_folder / "a.png")
    with pytest.raises(BadData) as caught:
        read_manifest("cases")
    assert str(caught.value) == "cases/c1/1.png: c1/1.png lies outside the image folder cases"
    (image_folder / "cases" / "c1" / "1.png").unlink()
    (image_folder / "elsewhere").mkdir()
    (image_folder / "elsewhere" / "2.png").write_bytes(b"x")
    (image_folder / "cases" / "c2").symlink_to(image_folder / "elsewhere")
    with pytest.raises(BadData) as caught:
        read_manifest("cases")
    assert str(caught.value) == "cases/c2/2.png: c2/2.png lies outside the image folder cases"


# ---------------------------------------------------------------- fingerprint


def test_fingerprint_is_of_what_the_manifest_says(image_folder):
    text = (
        "image,case_id,patient_id,label,view,split,age\n"
        "a.png,c1,p1,x,v,train,40\nb.png,c2,p2,y,v,test,50\n"
    )
    first = read(text).fingerprint
    assert read(text).fingerprint == first
    assert read(text.replace(",", ";")).fingerprint == first
    changes = [("p1", "p3"), ("c1", "c3"), (",x,", ",z,"), ("v,train", "w,train"), ("test", "val"),
               ("40", "41"), ("a.png", "c.png"), (",age", ",years")]  # fmt: skip
    seen = {read(text.replace(old, new)).fingerprint for old, new in changes}
    assert len(seen | {first}) == len(changes) + 1
    assert read(text, labels_shared_by_case=False).fingerprint != first
    os.utime(image_folder / "a.png", (1, 1))
    assert read(text).fingerprint == first
    (image_folder / "a.png").write_bytes(b"longer")
    assert read(text).fingerprint != first


def test_attributes_can_be_written_as_json():
    case = cases_of(read("image,case_id,skin type,n\na.png,c1,é,1\nb.png,c1,é,2\n"))["c1"]
    assert json.loads(json.dumps(case.attributes)) == {"skin type": "é", "n": ["1", "2"]}
