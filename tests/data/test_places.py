"""What is remembered of a dataset's files, so that a later command need not name them."""

import json
import os
import shutil

import pytest

from micle_tf.config import Config
from micle_tf.data import places
from micle_tf.errors import BadInput

HAM = "derm_cases/ham10000"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """The files of a dataset in "files", prepared in "data/prepared"."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    (tmp_path / "files/table.csv").touch()
    (tmp_path / "data/prepared").mkdir(parents=True)
    (tmp_path / "data/derm_cases").mkdir()
    return tmp_path


def config(**changes):
    return Config(dataset=HAM, data_dir="data", **changes)


def remember(folder="data/prepared", **changes):
    places.write_note(config(manual_dir="files", **changes), HAM, folder)


def test_nothing_is_known_before(capsys):
    assert places.locate(config(), HAM) == (config(), "")
    assert capsys.readouterr().out == ""


def test_what_was_said_is_recalled(folders, capsys):
    remember(max_image_side=64, max_bad_images=2)
    wanted = config(manual_dir=str(folders / "files"), max_image_side=64, max_bad_images=2)
    assert places.locate(config(), HAM) == (wanted, "")
    assert capsys.readouterr().out == (
        f"{HAM}: as it was prepared, --manual_dir={folders}/files --max_bad_images=2 "
        "--max_image_side=64\n"
    )


def test_a_note_keeps_its_order(folders):
    """Those that came later stand after the others, as they do where it is said what is noted."""
    remember(max_image_side=64)
    note = json.loads((folders / f"data/{HAM}.prepared.json").read_text())
    assert list(note) == [
        "manual_dir", "max_pixels", "max_bad_images", "max_image_side", "jpeg_quality",
        "max_image_bytes", "strip_metadata", "prepared",
    ]  # fmt: skip
    assert note["manual_dir"] == str(folders / "files")


def test_what_is_said_now_goes_first(folders):
    remember(max_image_side=64, jpeg_quality=80)
    located, folder = places.locate(config(max_image_side=32), HAM)
    assert (located.max_image_side, located.jpeg_quality, folder) == (32, 80, "")
    given = config(manual_dir="elsewhere")
    assert places.locate(given, HAM) == (given, "")  # other files, other options


def test_what_is_stated_stays_though_it_is_the_default(folders, capsys):
    remember(max_image_side=64, max_bad_images=2, jpeg_quality=80)
    located = places.as_prepared(config(), HAM, stated=("max_image_side", "max_bad_images"))
    assert located == config(manual_dir=str(folders / "files"), jpeg_quality=80)
    assert capsys.readouterr().out == (
        f"{HAM}: as it was prepared, --manual_dir={folders}/files --jpeg_quality=80\n"
    )
    given = config(manual_dir="elsewhere")
    assert places.as_prepared(given, HAM) == given
    assert places.as_prepared(config(), "derm_cases/scin") == config()
    assert capsys.readouterr().out == ""


def test_other_datasets_are_not_concerned():
    remember()
    assert places.locate(config(), "derm_cases/scin") == (config(), "")
    for name in ("derm_cases/manifest", "derm_cases/synthetic"):
        places.write_note(config(manual_dir="files"), name, "data/prepared")
        assert places.locate(config(), name) == (config(), "")


def test_files_that_are_gone(folders, capsys):
    remember(max_image_side=64)
    shutil.rmtree(folders / "files")
    located, folder = places.locate(config(), HAM)
    assert (located.max_image_side, folder) == (64, "data/prepared")
    assert capsys.readouterr().out == (
        f"{HAM}: as it was prepared, --manual_dir={folders}/files --max_image_side=64\n"
        + gone_but_prepared(folders)
    )
    # Nothing that is there was made in these ways.
    for changes in (
        {"max_image_side": 32},
        {"group_by": "image"},
        {"labels_shared_by_case": False},
        {"max_bad_images": 1},
    ):
        expect_gone(folders, **changes)
    (folders / "data/prepared").rmdir()
    expect_gone(folders)


def gone_but_prepared(folders):
    return f"{HAM}: its files are no longer in {folders}/files, but what was prepared is there\n"


def test_an_empty_folder_is_one_that_is_gone(folders, capsys):
    """As where the disk that held the files is not mounted."""
    remember()
    (folders / "files/table.csv").unlink()
    assert places.locate(config(), HAM)[1] == "data/prepared"
    assert capsys.readouterr().out.endswith("\n" + gone_but_prepared(folders))
    (folders / "files/table.csv").touch()
    assert places.locate(config(), HAM)[1] == ""


def test_files_that_are_gone_and_named_all_the_same(folders, capsys):
    remember(max_image_side=64)
    shutil.rmtree(folders / "files")
    for manual_dir in ("files", str(folders / "files")):
        given = config(manual_dir=manual_dir, max_image_side=64)
        assert places.locate(given, HAM) == (given, "data/prepared")
        assert capsys.readouterr().out == (
            f"{HAM}: its files are no longer in {manual_dir}, but what was prepared is there\n"
        )
    with pytest.raises(BadInput) as caught:  # other images
        places.locate(config(manual_dir="files"), HAM)
    assert str(caught.value) == (
        f"--dataset={HAM}: its files are no longer in files; say where they are with --manual_dir"
    )
    other = config(manual_dir="nowhere", max_image_side=64)
    assert places.locate(other, HAM) == (other, "")


def expect_gone(folders, **changes):
    with pytest.raises(BadInput) as caught:
        places.locate(config(**changes), HAM)
    assert str(caught.value) == (
        f"--dataset={HAM}: its files are no longer in {folders}/files; "
        "say where they are with --manual_dir"
    )


def test_several_ways_side_by_side(folders):
    ways = {
        "by_case": {},
        "by_image": {"group_by": "image"},
        "apart": {"labels_shared_by_case": False},
    }
    for name, changes in ways.items():
        (folders / "data" / name).mkdir()
        remember(f"data/{name}", **changes)
    shutil.rmtree(folders / "files")
    for name, changes in ways.items():
        assert places.locate(config(**changes), HAM)[1] == f"data/{name}"


def test_only_the_latest_files_and_options_are_known(folders):
    (folders / "data/small").mkdir()
    remember(group_by="image")
    remember("data/small", max_image_side=8)
    shutil.rmtree(folders / "files")
    assert places.locate(config(), HAM)[1] == "data/small"
    expect_gone(folders, group_by="image")


def test_data_may_move(folders):
    remember()
    shutil.rmtree(folders / "files")
    os.rename("data", "moved")
    moved = Config(dataset=HAM, data_dir="moved")
    assert places.locate(moved, HAM)[1] == "moved/prepared"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"manual_dir": "files"}', "\xff"])
def test_a_note_that_cannot_be_read(folders, text):
    remember()
    (folders / "data" / f"{HAM}.prepared.json").write_text(text, encoding="latin-1")
    assert places.locate(config(), HAM) == (config(), "")
    remember()
    assert places.locate(config(), HAM)[0].manual_dir == str(folders / "files")


def test_a_note_that_cannot_be_written(folders):
    (folders / "data/derm_cases/ham10000.prepared.json/x").mkdir(parents=True)
    remember()
    assert places.locate(config(), HAM) == (config(), "")


def test_the_note(folders):
    """Others may read it: what it says is stable, and relative where it can be."""
    remember(jpeg_quality=80)
    note = json.loads((folders / "data" / f"{HAM}.prepared.json").read_text())
    assert note == {
        "manual_dir": str(folders / "files"),
        "max_pixels": 100_000_000,
        "max_bad_images": 0,
        "max_image_side": 0,
        "jpeg_quality": 80,
        "max_image_bytes": 1 << 28,
        "strip_metadata": False,
        "prepared": {"case": "prepared"},
    }


def test_where_tfds_looks(monkeypatch, folders):
    assert places.default_manual_dir("data") == "data/downloads/manual"
    monkeypatch.setenv("HOME", str(folders))
    assert places.root("~/data") == str(folders / "data")
    (folders / "data/downloads/manual").mkdir(parents=True)
    places.write_note(config(), HAM, "data/prepared")
    assert places.locate(config(), HAM)[0].manual_dir == str(folders / "data/downloads/manual")
