"""Photos that lie on their side: trained on as one sees them, and what becomes of older data."""

import csv
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from data_builders.images import ImageOptions
from data_builders.reading import exif, upright
from micle_tf.config import Config
from micle_tf.data import augment, cases, pipeline, prepare, report
from micle_tf.errors import BadInput
from micle_tf.training import state
from tests import kinds_of_images

NUM_CASES = 12


def write_photos(folder, turned, encoding="PNG"):
    """Cases of two photos; `turned` gives the EXIF orientation of the k-th. As one sees them they
    do not depend on it."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    rows = [("image", "case_id", "label", "split")]
    for k in range(2 * NUM_CASES):
        seen = kinds_of_images.picture(30 + k, 50, seed=k)
        orientation = turned(k)
        stored = upright.turn(seen, {6: 8, 8: 6}.get(orientation, orientation))
        name = f"{k}.{encoding.lower()}"
        content = kinds_of_images.saved(stored, encoding, turned=orientation)
        (folder / name).write_bytes(content)
        split = ("train", "train", "train", "validation", "test")[k // 2 % 5]
        rows.append((name, f"c{k // 2}", "ab"[k // 2 % 2], split))
    with open(folder / "cases.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return Config(manifest=str(folder / "cases.csv"), data_dir="data")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def before(monkeypatch):
    """Prepares as the version before did: no photo is turned, and the report is silent on it."""

    def prepared(config):
        with monkeypatch.context() as patch:
            patch.setattr(prepare, "_is_seen_otherwise", lambda source: False)
            patch.setattr(exif, "orientation", lambda block: 1)
            data = cases.open_cases(config)
        (path,) = pathlib.Path("data", data.name).rglob("report.json")
        noted = json.loads(path.read_text())
        del noted["turned"], noted["with_position"]
        noted.pop("seen_otherwise", None)
        path.write_text(json.dumps(noted))
        return data

    return prepared


# ---------------------------------------------------------------- what is seen


@pytest.mark.parametrize("rotation", [0.0, 30.0])
@pytest.mark.parametrize("method, once", [("simclr", True), ("simclr", False), ("micle", False)])
def test_views_are_those_of_upright_photos(method, once, rotation):
    options = augment.Augmentation(size=24, rotation_degrees=rotation, vertical_flip=True)
    batches = []
    for folder, turned in (("turned", lambda k: 1 + k % 8), ("upright", lambda k: 1)):
        data = cases.open_cases(write_photos(folder, turned))
        reader = data.open("train")
        assert reader.turned == (folder == "turned")
        dataset = pipeline.pair_dataset(reader, method, 6, options, 3, (0, 4), decode_once=once)
        batches.append(list(dataset))
    for turned, wanted in zip(*batches, strict=True):
        for view in ("view1", "view2"):
            np.testing.assert_allclose(turned[view], wanted[view], atol=2e-5)


def test_labelled_images_and_judged_ones_are_upright():
    found = []
    for folder, turned in (("turned", lambda k: 1 + k % 8), ("upright", lambda k: 1)):
        reader = cases.open_cases(write_photos(folder, turned)).open("train")
        labels = reader.index.class_label
        images = np.arange(reader.index.num_images)
        options = augment.Augmentation(size=24)
        labelled = pipeline.labelled_dataset(
            reader, images, labels, 4, options, seed=0, steps=(0, 3)
        )
        judged = pipeline.image_dataset(reader, 5, 40)
        found.append(([b["image"] for b in labelled], list(judged)))
    for ours, wanted in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_allclose(ours, wanted, atol=2e-5)
    for ours, wanted in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(ours, wanted)


def test_summary_counts_them_and_positions():
    config = write_photos("photos", lambda k: 6 if k < 3 else 1, "JPEG")
    for k in (7, 9):
        path = pathlib.Path(f"photos/{k}.jpeg")
        path.write_bytes(kinds_of_images.with_position(path.read_bytes()))
    said = "\n".join(cases.describe(cases.open_cases(config)))
    assert "note: 5 photos turned upright, as the EXIF orientation says" in said
    assert "note: 2 files with a GPS position; --strip_metadata stores them without" in said
    bare = cases.open_cases(config.replace(strip_metadata=True))
    assert "position" not in "\n".join(cases.describe(bare))
    assert bare.name != cases.open_cases(config).name
    for reader in bare.readers.values():
        for content in reader.read(tf.range(reader.index.num_cases, dtype=tf.int64)).flat_values:
            assert b"GPS" not in content.numpy() and b"Jane" not in content.numpy()


# ---------------------------------------------------------------- names


def test_what_is_hashed_stays_hashed():
    assert ImageOptions().key() == "(100000000, 0, 95)"
    assert ImageOptions(9, 8, 7, 1 << 28, False).key() == "(9, 8, 7)"
    changed = [ImageOptions(strip_metadata=True), ImageOptions(max_image_bytes=5)]
    assert len({options.key() for options in (ImageOptions(), *changed)}) == 3


def test_data_without_turned_photos_keeps_its_name(before, capsys):
    config = write_photos("photos", lambda k: 1)
    old = before(config)
    (path,) = pathlib.Path("data", old.name).rglob("report.json")
    assert "turned" not in json.loads(path.read_text())
    capsys.readouterr()
    for _ in range(2):
        now = cases.open_cases(config)
        assert now.name == old.name and not now.superseded
        assert not now.open("train").turned
    assert "preparing" not in capsys.readouterr().out
    assert json.loads(path.read_text())["turned"] == 0


def test_old_data_with_turned_photos_is_prepared_again(before):
    config = write_photos("photos", lambda k: 6 if k == 20 else 1)
    old = before(config)
    now = cases.open_cases(config)
    assert now.name != old.name and now.superseded == old.name
    assert any("1 photo turned upright" in note for note in now.notes)
    again = cases.open_cases(config)
    assert (again.name, again.superseded) == (now.name, old.name)
    elsewhere = cases.open_cases(config.replace(data_dir="other"))
    assert elsewhere.name == now.name and not elsewhere.superseded
    judged = cases.open_cases(config, trained_on=old.name)
    assert judged.name == old.name and not judged.open("train").turned
    assert report.is_superseded("data", old.name) and not report.is_superseded("data", now.name)


def test_a_run_on_old_data(before):
    config = write_photos("photos", lambda k: 3)
    old = before(config)
    facts = {"replicas": 1, "data": old.name}
    run = state.RunDirectory("run", config, facts)
    with run.claimed():
        pass
    now = cases.open_cases(config)
    resumed = state.RunDirectory("run", config, facts | {"data": now.name}, now.superseded)
    with pytest.raises(BadInput) as caught:
        resumed.status()
    assert f"holds a run on {old.name}: " in str(caught.value)
    assert "lying on their side" in str(caught.value)
    run.finish(
        mode="pretrain",
        dataset=old.name,
        method="micle",
        steps=1,
        seconds=1,
        metrics={},
        intervals={},
    )
    assert resumed.status() == state.FINISHED


def test_files_that_turn_later_change_the_name():
    config = write_photos("photos", lambda k: 1)
    first = cases.open_cases(config)
    path = pathlib.Path("photos/4.png")
    turned = kinds_of_images.saved(kinds_of_images.picture(34, 50, seed=4), "PNG", turned=5)
    upright_size = len(path.read_bytes())
    assert len(turned) == upright_size  # Pillow states orientation 1 too
    path.write_bytes(turned)
    second = cases.open_cases(config)
    assert second.name != first.name
    path.write_bytes(
        kinds_of_images.saved(kinds_of_images.picture(34, 50, seed=4), "PNG", turned=1)
    )
    assert cases.open_cases(config).name == first.name
