"""Datasets as their owners ship them: read, prepared once and whole, opened again."""

import errno
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from data_builders.derm_cases import derm_cases_dataset_builder as derm_cases
from micle_tf import cli
from micle_tf.data import cases, prepare
from micle_tf.errors import BadInput, Preempted, Stopped
from tests.data.ham import HAM, config, everything, images_of, open_ham, rows_of, snapshot, spoil
from tests.pictures import jpeg, png


@pytest.fixture
def prepared(monkeypatch):
    """A list that grows by one whenever tfds prepares something."""
    found = []
    original = derm_cases.Builder.download_and_prepare

    def counted(builder, **options):
        found.append(builder.builder_config.name)
        return original(builder, **options)

    monkeypatch.setattr(derm_cases.Builder, "download_and_prepare", counted)
    return found


# ---------------------------------------------------------------- prepared and recalled


def test_a_tree_through_the_whole(ham, shipped):
    data = open_ham()
    found = everything(data)
    rows, _ = rows_of(ham)
    assert len(found) == len(rows) == shipped[1]["images"]
    images = {path.stem: path.read_bytes() for path in images_of(ham)}
    for row in rows:
        (key,) = (key for key in found if key[2] == row["image_id"])
        label, image = found[key]
        assert (key[1], data.class_names[label]) == (row["lesion_id"], row["dx"])
        assert image == images[row["image_id"]]
    assert data.name.startswith(f"{HAM}-")
    assert data.notes == ("no split was given: made by case: train, validation, test",)


def test_a_later_command_names_neither_files_nor_options(ham, prepared, capsys):
    first = open_ham(max_image_side=20, jpeg_quality=80)
    capsys.readouterr()
    again = cases.open_cases(config(mode="pretrain"))
    assert (again.name, len(prepared)) == (first.name, 1)
    assert capsys.readouterr().out == (
        f"{HAM}: as it was prepared, --manual_dir={ham} --max_image_side=20 --jpeg_quality=80\n"
    )
    other = cases.open_cases(config(max_image_side=16))
    assert (other.name != first.name, len(prepared)) == (True, 2)
    sides = {image.shape[0] for image in map(tf.io.decode_jpeg, jpegs_of(other))}
    assert sides == {16}


def jpegs_of(data):
    return [image for _, image in everything(data).values()]


def test_files_that_are_gone(ham, prepared, capsys):
    first = open_ham()
    images = everything(first)
    shutil.rmtree(ham)
    capsys.readouterr()
    for changes in ({}, {"manual_dir": str(ham)}):  # the same command as before, too
        again = cases.open_cases(config(**changes))
        assert (again.name, again.notes, len(prepared)) == (first.name, first.notes, 1)
        assert everything(again) == images
        recalled = "" if changes else f"{HAM}: as it was prepared, --manual_dir={ham}\n"
        assert capsys.readouterr().out == (
            f"{recalled}{HAM}: its files are no longer in {ham}, but what was prepared is there\n"
        )
    gone = (
        f"--dataset={HAM}: its files are no longer in {ham}; say where they are with --manual_dir"
    )
    for changes, message in (
        ({"group_by": "image"}, gone),
        ({"max_image_side": 9}, gone),
        ({"manual_dir": f"{ham}s"}, f"--manual_dir={ham}s: no such folder"),
    ):
        for command in (cases.open_cases, cases.check_cases):
            with pytest.raises(BadInput) as caught:
                command(config(**changes))
            assert str(caught.value) == message
    with pytest.raises(BadInput) as caught:
        cases.check_cases(config(dry_run=True))
    assert str(caught.value) == (
        f"--dry_run: the files of {HAM} are gone; say where with --manual_dir"
    )


def test_files_that_were_never_named(ham):
    with pytest.raises(BadInput) as caught:
        cases.open_cases(config())
    assert str(caught.value) == f"--dataset={HAM}: say where its files are with --manual_dir"
    (ham.parent / "data/downloads").mkdir(parents=True)
    os.rename("files", "data/downloads/manual")
    assert cases.open_cases(config()).index["train"].num_images  # where tfds looks, too


def test_what_changes_is_prepared_anew(ham, prepared):
    names = [open_ham().name]
    table = ham / "HAM10000_metadata"
    text = table.read_text()
    table.write_text(text.replace(",nv,", ",mel,"))
    names.append(open_ham().name)
    table.write_text("".join(text.splitlines(keepends=True)[:-1]))  # a row less
    names.append(open_ham().name)
    table.write_text(text)
    image = images_of(ham)[0]
    content = image.read_bytes()
    image.write_bytes(jpeg(30, 30))
    names.append(open_ham().name)
    image.write_bytes(content)
    assert len(set(names)) == 4 == len(prepared)
    assert open_ham().name == names[0]
    os.rename("files", "moved")
    assert cases.open_cases(config(manual_dir="moved")).name == names[0]
    # The first copy was made again in its place, as the image was written since.
    assert prepared[4:] == prepared[:1]


def test_every_way_of_preparing_has_a_name_of_its_own(ham):
    ways = [{}, {"max_pixels": 10_000}, {"max_bad_images": 1}, {"max_image_side": 20},
            {"group_by": "image"}, {"labels_shared_by_case": False}]  # fmt: skip
    found = [open_ham(**way) for way in ways]
    assert len({data.name for data in found}) == len(ways)
    assert [data.labels_shared_by_case for data in found] == [True] * 5 + [False]


def test_images_as_cases_keep_the_splits(ham):
    by_case, by_image = everything(open_ham()), everything(open_ham(group_by="image"))
    assert {(split, image) for split, _, image in by_case} == {
        (split, image) for split, _, image in by_image
    }
    assert all(case == image for _, case, image in by_image)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"group_by": "patient"},
         "--group_by=patient: the data has no such key; it can be grouped by case, image"),
        ({"manual_dir": "nowhere"}, "--manual_dir=nowhere: no such folder"),
        ({"manual_dir": "files/HAM10000_metadata"},
         "--manual_dir=files/HAM10000_metadata: no such folder"),
        ({"dataset": "derm_cases/synthetic", "manual_dir": "", "group_by": "image"},
         "--group_by=image: derm_cases/synthetic is grouped by case"),
        ({"data_dir": "gs://bucket/x"},
         "--data_dir=gs://bucket/x: prepared data lies on a local disk"),
    ],
)  # fmt: skip
def test_what_cannot_be(ham, changes, message):
    before = snapshot()
    for command in (cases.open_cases, cases.check_cases):
        with pytest.raises(BadInput) as caught:
            command(config(**{"manual_dir": "files"} | changes))
        assert str(caught.value) == message
    assert snapshot() == before


# ---------------------------------------------------------------- --dry_run


@pytest.mark.parametrize("changes", [{}, {"group_by": "image", "max_image_side": 9}])
def test_a_dry_run_finds_what_preparing_does_and_writes_nothing(ham, changes):
    spoil(ham, 2)
    changes = changes | {"max_bad_images": 2}
    before = snapshot()
    (checked,) = cases.check_cases(config(manual_dir="files", **changes))
    assert snapshot() == before
    data = open_ham(**changes)
    lines = cases.describe(checked, labels=True)
    assert lines == cases.describe(data, labels=True)
    assert any("left out: 2 bad images" in line for line in lines)
    shrunk = [line for line in lines if line.startswith("  note: shrunk to 9 pixels: ")]
    assert len(shrunk) == ("max_image_side" in changes)
    for split, index in data.index.items():
        order = lambda part: np.argsort(part.image_id)
        mine, theirs = order(checked.index[split]), order(index)
        for name in ("image_id", "class_label", "pixel_hash"):
            np.testing.assert_array_equal(
                getattr(checked.index[split], name)[mine], getattr(index, name)[theirs]
            )


def test_a_dry_run_as_a_command(ham, shipped, capsys):
    before = snapshot()
    command = ["--mode=prepare", f"--dataset={HAM}", "--manual_dir=files", "--data_dir=data"]
    assert cli.main([*command, "--dry_run"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert snapshot() == before
    assert "dry run: nothing was written" in said
    assert said[-1] == "next: python run.py " + " ".join(command)
    assert cli.main(command) == 0
    really = capsys.readouterr().out.splitlines()
    described = [line for line in said if line.startswith((f"{HAM}-", "  "))]
    assert described == [line for line in really if line.startswith((f"{HAM}-", "  "))]
    assert f"{shipped[1]['cases']} cases, {shipped[1]['images']} images" in described[0]
    (table,) = (number for number, line in enumerate(described) if "images of" in line)
    assert described[table].split() == ["images", "of", "train", "validation", "test"]
    counts = [line.split() for line in described[table + 1 : table + 8]]
    assert sorted(name for name, *_ in counts) == sorted(derm_cases.ham10000.CLASS_NAMES)
    assert sum(int(count) for _, *row in counts for count in row) == shipped[1]["labelled"]


def test_a_dry_run_finds_the_same_faults(ham):
    spoil(ham, 1)
    before, messages = snapshot(), []
    for command in (cases.check_cases, cases.open_cases):
        with pytest.raises(BadInput) as caught:
            command(config(manual_dir="files"))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert messages[0].endswith(": the image is damaged or cut short")
    assert snapshot() == before


def test_a_dry_run_of_what_has_no_files(ham):
    before = snapshot()
    for dataset, message in (
        ("derm_cases", "--dry_run: derm_cases/synthetic is rendered; there are no files to check"),
        ("mnist", "--dry_run: mnist is tensorflow_datasets' own: no files to check"),
    ):
        with pytest.raises(BadInput) as caught:
            cases.check_cases(config(dataset=dataset, dry_run=True))
        assert str(caught.value) == message
    assert snapshot() == before


# ---------------------------------------------------------------- it ends early


@pytest.mark.parametrize("step", ["_write", "write_index", "_move"])
def test_an_interrupted_preparation_leaves_nothing(ham, step, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(prepare, step, interrupted)
        with pytest.raises(Preempted) as caught:
            open_ham()
    assert str(caught.value) == "nothing was prepared; the same command begins that again"
    left = [path for path in pathlib.Path("data").rglob("*")]
    assert not any(path.is_file() or "incomplete" in path.name for path in left)
    assert open_ham().index["train"].num_images


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    RuntimeError("write() failed: No space left on device; writing x; at byte 57344"),
    tf.errors.ResourceExhaustedError(None, None, "x/report.json; No space left on device"),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["_write", "write_index"])
def test_a_full_disk(ham, step, error, monkeypatch):
    def full(*arguments):
        raise error

    monkeypatch.setattr(prepare, step, full)
    with pytest.raises(Stopped) as caught:
        open_ham()
    assert str(caught.value) == f"the disk is full: {ham.parent}/data"
    assert not pathlib.Path("data").exists()


@pytest.fixture
def small_disk(ham):
    """A disk of 60 kB in "data", where this may be made."""
    pathlib.Path("data").mkdir()
    options = ["-t", "tmpfs", "-o", "size=60k", "tmpfs", "data"]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("may not mount a disk")
    yield lambda change: subprocess.run(["mount", "-o", f"remount,{change}", "data"], check=True)
    subprocess.run(["umount", "--lazy", "data"], check=True)


@pytest.mark.skipif(not shutil.which("mount"), reason="cannot mount a disk")
def test_a_disk_that_is_full_or_read_only(ham, small_disk):
    for image in images_of(ham):
        image.write_bytes(png(40, 40, seed=int(image.stem[-3:])))
    with pytest.raises(Stopped) as caught:
        open_ham()
    assert str(caught.value) == f"the disk is full: {ham.parent}/data"
    assert os.listdir("data") == []
    small_disk("size=10m")
    name = open_ham().name
    small_disk("ro")
    assert cases.open_cases(config()).name == open_ham().name == name
    with pytest.raises(BadInput) as caught:
        open_ham(max_image_side=9)
    assert str(caught.value) == (
        f"--data_dir={ham.parent}/data: cannot be written: Read-only file system"
    )


def test_a_note_that_cannot_be_written_is_no_failure(ham, prepared):
    pathlib.Path(f"data/{HAM}.prepared.json/x").mkdir(parents=True)
    assert open_ham().name == open_ham().name
    assert len(prepared) == 1
