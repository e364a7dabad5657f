"""Data for a plan: all cases of the source, a few of its photos, and nothing is written."""

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.config import Config
from micle_tf.data import cases
from micle_tf.data.preview import open_preview
from micle_tf.errors import BadInput
from tests.data.ham import snapshot
from tests.generated_cases import write_cases


@pytest.fixture(params=["", "labels"])
def config(request, tmp_path, monkeypatch):
    """Of a manifest with classes, and with a column of findings; nothing is prepared."""
    monkeypatch.chdir(tmp_path)
    manifest = write_cases("photos", num_cases=80)
    manifest.write_text(manifest.read_text().replace(",label,", ",labels,", bool(request.param)))
    return Config(manifest=str(manifest), data_dir="data", findings_column=request.param)


def labels_of(index):
    """{image_id: class or findings}, of which an index has one."""
    labels = index.findings if index.findings.size else index.class_label
    return dict(zip(index.image_id.tolist(), labels.tolist(), strict=True))


def test_the_index_is_that_of_the_data_when_it_is_prepared(config, capsys):
    before = snapshot()
    found = open_preview(config)
    assert snapshot() == before
    assert "not prepared yet; the plan is made with 64 of its photos\n" in capsys.readouterr().out
    prepared = cases.open_cases(config)
    assert list(found.index) == list(prepared.index) and found.name.split("-")[0] in prepared.name
    for split, index in prepared.index.items():
        order = np.argsort(index.case_id)
        seen = found.index[split]
        theirs = np.argsort(seen.case_id)
        for name in ("case_id", "patient_id", "images_per_case"):
            np.testing.assert_array_equal(getattr(seen, name)[theirs], getattr(index, name)[order])
        assert labels_of(seen) == labels_of(index)
    assert found.class_names == prepared.class_names
    assert found.finding_names == prepared.finding_names
    # What is prepared is shown itself, with its own photos.
    before = snapshot("data")
    again = open_preview(config)
    assert snapshot("data") == before and again.name == prepared.name
    np.testing.assert_array_equal(read(again, "train"), read(prepared, "train"))


def read(data, split):
    reader = data.open(split)
    return reader.read(tf.range(reader.index.num_cases, dtype=tf.int64)).flat_values.numpy()


def test_every_image_is_one_of_the_photos(config, tmp_path):
    data = open_preview(config)
    shown = {split: read(data, split) for split in data.index}
    for split, photos in shown.items():
        assert len(photos) == data.index[split].num_images
    everything = {path.read_bytes() for path in (tmp_path / "photos/images").iterdir()}
    distinct = {photo for photos in shown.values() for photo in photos}
    assert distinct <= everything and 40 < len(distinct) <= 64 < len(everything)


def test_what_cannot_be_planned(config, tmp_path):
    for path in (tmp_path / "photos/images").iterdir():
        path.write_bytes(b"text")
    with pytest.raises(
        BadInput, match=r"photos/cases.csv row 2: .*: not a JPEG, PNG or DICOM image"
    ):
        open_preview(config)
    with pytest.raises(BadInput, match="no photo can be read: "):
        open_preview(config.replace(max_bad_images=1000))
    with pytest.raises(BadInput) as caught:
        open_preview(Config(dataset="cifar10", data_dir="data"))
    assert str(caught.value) == "--dry_run: cifar10 is not prepared yet; --mode=prepare does that"
    assert not (tmp_path / "data").exists()
