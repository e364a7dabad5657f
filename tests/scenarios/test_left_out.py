"""What preparing finds in the data: bad images, one picture in several splits, a leak."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from micle_tf import cli
from micle_tf.config import Config
from micle_tf.data import cases
from micle_tf.data.reader import CaseIndex
from micle_tf.errors import BadInput
from tests.data.ham import (
    config,
    everything,
    images_of,
    open_ham,
    path_of,
    rows_of,
    snapshot,
    splits_of,
    spoil,
)
from tests.data_builders.trees_derm import write_tree
from tests.pictures import jpeg, png

# ---------------------------------------------------------------- images that are left out


def test_left_out_and_listed(ham, shipped):
    messages = spoil(ham, 7, keep="validation")
    rows, row_of = rows_of(ham)
    gone = next(row["image_id"] for row in rows if row["image_id"] not in messages)
    path_of(ham, gone).unlink()
    missing = f"files/HAM10000_metadata row {row_of[gone]}: no such image: files/{gone}.jpg"
    data = open_ham(max_bad_images=8)
    found = everything(data)
    assert {key[2] for key in found} == {row["image_id"] for row in rows} - {*messages, gone}
    (folder,) = pathlib.Path("data/derm_cases").glob("ham10000-*/*")
    report = json.loads((folder / "report.json").read_text())
    # What the reader finds comes first, then what is found in the cases.
    assert report["bad_images"][0] == missing
    assert sorted(report["bad_images"][1:]) == sorted(messages.values())
    assert report["identical_images"] == []
    assert report["source_bytes"] == sum(path.stat().st_size for path in images_of(ham))
    assert report["stored_bytes"] == sum(len(image) for _, image in found.values())
    notes = [line.removeprefix("  note: ") for line in cases.describe(data) if "note: " in line]
    assert f"left out: 8 bad images; all in {folder}/report.json" in notes
    listed = [note.strip() for note in notes if note.startswith("  files/")]
    assert listed == report["bad_images"][:5]
    again = cases.open_cases(config())  # as it was prepared
    assert cases.describe(again) == cases.describe(data)


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_one_more_than_may_be_left_out(ham, limit):
    messages = spoil(ham, 3)
    for _ in range(2):
        with pytest.raises(BadInput) as caught:
            open_ham(max_bad_images=limit)
        message, more, _ = str(caught.value).partition("; that makes more than")
        assert message in messages.values()
        assert str(caught.value) == message + (f"{more} --max_bad_images={limit}" if limit else "")
    assert not pathlib.Path("data").exists()


@pytest.mark.parametrize("lost", [["validation"], ["train", "validation", "test"]])
def test_no_image_of_a_split_is_left(ham, lost):
    first = next(split for split in ("train", "validation", "test") if split in lost)
    images = {i.image_id for split in lost for case in splits_of(ham)[split] for i in case.images}
    for path in images_of(ham):
        if path.stem in images:
            path.write_bytes(b"lost")
    last = splits_of(ham)[first][-1].images[-1].source
    before = snapshot()
    for command in (cases.open_cases, cases.check_cases):
        with pytest.raises(BadInput) as caught:
            command(config(manual_dir="files", max_bad_images=len(images)))
        assert str(caught.value) == (
            f"{last}: not a JPEG, PNG or DICOM image; that leaves no image in {first}"
        )
    assert snapshot() == before


def test_attributes_go_with_the_images_that_are_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(png(seed=ord(name)))
    (tmp_path / "b.png").write_bytes(b"lost")
    (tmp_path / "cases.csv").write_text("image,case_id,site\na,c,arm\nb,c,leg\nc,c,head\n")
    data = cases.open_cases(Config(manifest="cases.csv", data_dir="data", max_bad_images=1))
    record = tf.train.Example.FromString(data.readers["train"].read_records(np.array([0]))[0])
    (attributes,) = record.features.feature["attributes"].bytes_list.value
    assert json.loads(attributes) == {"site": ["arm", "head"]}


# ---------------------------------------------------------------- one picture in several splits


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A manifest with pictures that are there twice, in other bytes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    grey = tf.io.decode_image(png(9, 9, seed=1, channels=1))
    colour = tf.io.decode_image(jpeg(9, 9, seed=2))
    content = {
        "grey.png": tf.io.encode_png(grey).numpy(),
        "rgb.png": tf.io.encode_png(tf.repeat(grey, 3, axis=2)).numpy(),
        "photo.jpg": jpeg(9, 9, seed=2),
        "photo.png": tf.io.encode_png(colour, compression=1).numpy(),
        "smaller.png": tf.io.encode_png(colour, compression=9).numpy(),
        "wide.png": tf.io.encode_png(tf.reshape(colour, (3, 27, 3))).numpy(),
        "one.png": png(seed=3),
        "two.png": tf.io.encode_png(tf.io.decode_png(png(seed=3)), compression=0).numpy(),
        "other.png": png(9, 9, seed=4),
    }
    assert len(set(content.values())) == len(content)
    split = {"grey.png": "train", "rgb.png": "test", "photo.jpg": "validation",
             "photo.png": "train", "smaller.png": "train", "wide.png": "test",
             "one.png": "test", "two.png": "test", "other.png": "validation"}  # fmt: skip
    lines = ["image,case_id,split"]
    for name, value in content.items():
        (tmp_path / "photos" / name).write_bytes(value)
        lines.append(f"{name},{name[:-4]},{split[name]}")
    (tmp_path / "photos/cases.csv").write_text("\n".join(lines).replace("photo,", "photograph,", 1))
    return Config(manifest="photos/cases.csv", data_dir="data", mode="prepare")


def test_the_same_pixels_in_several_splits(pictures):
    data = cases.open_cases(pictures)
    (folder,) = pathlib.Path("data/derm_cases").glob("*/*")
    report = json.loads((folder / "report.json").read_text())
    groups = [{(i["image_id"], i["split"]) for i in group} for group in report["identical_images"]]
    wanted = [
        {("grey.png", "train"), ("rgb.png", "test")},
        {("photo.png", "train"), ("smaller.png", "train"), ("photo.jpg", "validation")},
    ]
    assert len(groups) == 2 and all(group in groups for group in wanted)
    notes = cases.describe(data)[-3:]
    assert notes[0] == "  note: 2 pictures in several splits"
    assert all(note.startswith("  note:   ") for note in notes[1:])
    shown = [set(note.removeprefix("  note:   ").split(" = ")) for note in notes[1:]]
    assert {"grey.png (train)", "rgb.png (test)"} in shown
    assert {"photo.png (train)", "smaller.png (train)", "photo.jpg (validation)"} in shown
    (checked,) = cases.check_cases(pictures)
    assert set(cases.describe(checked)) == set(cases.describe(data))


def test_the_same_pixels_are_known_after_shrinking(pictures):
    lines = cases.describe(cases.open_cases(pictures.replace(max_image_side=4)))
    assert "  note: 2 pictures in several splits" in lines


# ---------------------------------------------------------------- a patient in two splits


@pytest.fixture
def leak(tmp_path, monkeypatch):
    """Prepared data, and a function that puts its first test case on a patient of train."""
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "files", "pad_ufes_20", num_cases=24)
    found = config(dataset="derm_cases/pad_ufes_20", manual_dir="files")
    data = cases.open_cases(found)

    def spoil(split):
        (path,) = pathlib.Path("data").rglob(f"case_index-{split}.npz")
        index = CaseIndex.load(path)
        patient = str(data.index["train"].patient_id[-1])
        patients = index.patient_id.astype("U20")
        patients[0] = patient
        dataclasses.replace(index, patient_id=patients).save(path)
        train = data.index["train"]
        first = train.first_image[np.flatnonzero(train.patient_id == patient)[0]]
        return data.name, patient, str(train.image_id[first]), str(index.image_id[0])

    return found, spoil


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_leak_is_found_when_the_data_is_opened(leak, split, capsys):
    found, spoil = leak
    cases.open_cases(found)
    name, patient, first, second = spoil(split)
    message = (
        f"--dataset: patient {patient} of {name} is in train ({first}) and in {split} ({second}); "
        "a patient must stay in one split"
    )
    with pytest.raises(BadInput) as caught:
        cases.open_cases(found)
    assert str(caught.value) == message
    command = ["--mode=pretrain", f"--dataset={found.dataset}", "--data_dir=data"]
    capsys.readouterr()
    assert cli.main(command) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not pathlib.Path("runs").exists()


def test_cases_of_unknown_patients_are_no_leak(ham):
    data = open_ham()
    cases.check_patients(data.index, "x")
    assert all((index.patient_id == "").all() for index in data.index.values())
