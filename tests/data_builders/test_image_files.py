"""Image files in one folder and nowhere else, and how many may be left out."""

import os
import pathlib
import stat

import pytest

from data_builders.image_files import ImageFolder
from data_builders.schema import BadData, BadImages


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    """A folder "photos" with a few files, beside a file that is not in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a.png", "photos/deep/b.JPG", "photos/c", "outside.png", "photos2/d.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(name.encode())
    (tmp_path / "photos/link.png").symlink_to(tmp_path / "outside.png")
    (tmp_path / "photos/loop.png").symlink_to("loop.png")
    (tmp_path / "photos/folder").symlink_to(tmp_path / "photos2")
    (tmp_path / "photos/inner.png").symlink_to("deep/b.JPG")
    return tmp_path / "photos"


def test_files_that_are_there(photos):
    folder = ImageFolder("photos")
    file = folder.find("a.png", "row 2")
    assert (file.path, file.shown) == (str(photos / "a.png"), "photos/a.png")
    assert (file.size, file()) == (12, b"photos/a.png")
    assert folder.find("a", "row 2").key == folder.find("deep/../a.png", "row 2").key == file.key
    assert folder.find("c", "row 2")() == b"photos/c"
    for name in ("inner.png", "inner", "deep/b.JPG"):
        assert folder.find(name, "row 2").key == str(photos / "deep/b.JPG")
    assert folder.find(f"{photos}/deep/b.JPG", "row 2").shown == f"{photos}/deep/b.JPG"


def test_hard_links_are_one_file(photos):
    os.link("photos/a.png", "photos/again.png")
    folder = ImageFolder("photos")
    first, second = folder.find("a.png", ""), folder.find("again.png", "")
    assert first.key == second.key and first.path != second.path


OUTSIDE = "{name} lies outside the image folder photos"
FAULTS = {
    "none.png": "no such image: photos/none.png",
    "none": "no such image: photos/none",
    "deep": "no such image: photos/deep",
    "loop.png": "no such image: photos/loop.png",
    "a.png/x": "no such image: photos/a.png/x",
    "../outside.png": OUTSIDE,
    "../photos2/d.png": OUTSIDE,
    "deep/../../outside": OUTSIDE,
    "/etc/hostname": OUTSIDE,
    "link.png": OUTSIDE,
    "link": OUTSIDE,
    "folder/d.png": OUTSIDE,
    "folder/none.png": OUTSIDE,
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_bad_image(name):
    message = "t.csv row 7: " + FAULTS[name].format(name=name)
    with pytest.raises(BadData) as caught:
        ImageFolder("photos").find(name, "t.csv row 7")
    assert str(caught.value) == message
    bad = BadImages(1)
    assert ImageFolder("photos", bad).find(name, "t.csv row 7") is None
    assert bad.messages == [message]


@pytest.mark.parametrize("limit", [0, 1, len(FAULTS) - 1, len(FAULTS), len(FAULTS) + 1])
def test_as_many_as_may_be(limit):
    bad = BadImages(limit)
    folder = ImageFolder("photos", bad)
    messages = [
        f"row {n}: {fault.format(name=name)}" for n, (name, fault) in enumerate(FAULTS.items())
    ]
    for number, name in enumerate(FAULTS):
        assert folder.find("a.png", "row").size == 12  # what is good does not count
        if number < limit:
            assert folder.find(name, f"row {number}") is None
        else:
            with pytest.raises(BadData) as caught:
                folder.find(name, f"row {number}")
            more = f"; that makes more than --max_bad_images={limit}" if limit else ""
            assert str(caught.value) == messages[limit] + more
            break
    assert bad.messages[:limit] == messages[:limit]


def test_current_folder():
    with pytest.raises(BadData) as caught:
        ImageFolder("").find("../x.png", "row 2")
    assert str(caught.value) == "row 2: ../x.png lies outside the image folder ."
    assert ImageFolder("").find("outside.png", "row 2").shown == "outside.png"


def test_by_file_name(photos):
    (photos / ".hidden").mkdir()
    (photos / ".hidden/e.png").write_bytes(b"x")
    (photos / "._a.png").write_bytes(b"x")
    (photos / "notes.txt").write_bytes(b"x")
    names = {"a.png": "a.png", "b.JPG": "deep/b.JPG", "inner.png": "inner.png"}
    names |= {"link.png": "link.png", "loop.png": "loop.png"}
    # What lies elsewhere is found, so that `find` can say so; a loop of links ends.
    names["d.png"] = "folder/d.png"
    (photos / "deep/again").symlink_to(photos)
    assert ImageFolder("photos").by_file_name("--manual_dir=photos") == names
    (photos / "deep/deeper").mkdir()
    (photos / "deep/deeper/a.png").write_bytes(b"as many bytes"[:12])
    assert ImageFolder("photos").by_file_name("--manual_dir=photos") == names
    (photos / "deep/deeper/a.png").write_bytes(b"another")
    with pytest.raises(BadData) as caught:
        ImageFolder("photos").by_file_name("--manual_dir=photos")
    assert str(caught.value) == (
        "--manual_dir=photos: two images are called a.png: a.png, deep/deeper/a.png; "
        "leave one of them there"
    )


def test_image_ids_are_no_local_paths(photos):
    folder = ImageFolder("photos")
    assert folder.image_id("deep/b.JPG") == "deep/b.JPG"
    assert folder.image_id(f"{photos}/deep/b.JPG") == "deep/b.JPG"
    (photos.parent / "alias").symlink_to(photos)
    assert folder.image_id(f"{photos.parent}/alias/a.png") == "a.png"


# ---------------------------------------------------------------- swapped since


@pytest.mark.parametrize("kind", ["link", "pipe", "device", "folder", "longer", "gone"])
def test_what_is_another_file_when_it_is_read(photos, kind):
    """No hanging at a pipe, no endless device, no file from elsewhere."""
    path = pathlib.Path("a.jpg")
    path.write_bytes(b"12345")
    pathlib.Path("other").write_bytes(b"54321")
    file = ImageFolder("").find("a.jpg", "row 1")
    assert file() == b"12345" and file.beginning(2) == b"12"
    path.unlink()
    if kind == "link":
        path.symlink_to("other")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
    elif kind == "folder":
        path.mkdir()
    elif kind == "longer":
        path.write_bytes(b"123456")
    with pytest.raises(OSError) as caught:
        file()
    assert caught.value.strerror


def test_a_folder_that_became_a_link():
    pathlib.Path("in").mkdir()
    pathlib.Path("in/a.jpg").write_bytes(b"12345")
    pathlib.Path("away").mkdir()
    pathlib.Path("away/a.jpg").write_bytes(b"54321")
    file = ImageFolder("").find("in/a.jpg", "row 1")
    os.rename("in", "before")
    os.symlink("away", "in")
    with pytest.raises(OSError, match="is not the file any more that was found"):
        file()
