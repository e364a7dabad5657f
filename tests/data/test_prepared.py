"""Prepared data is opened whole, its index made again, or refused with what to do."""

import pathlib

import numpy as np
import pytest

from micle_tf.config import Config
from micle_tf.data import prepared, sources
from micle_tf.data.prepare import open_prepared
from micle_tf.errors import BadInput
from tests.generated_cases import write_cases

NAME = "derm_cases/manifest"


@pytest.fixture
def config(tmp_path):
    manifest = write_cases(tmp_path / "photos", num_cases=12, classes=("oval", "ring"))
    return Config(manifest=str(manifest), data_dir=str(tmp_path / "data"))


def test_a_lost_index_is_made_again(config):
    there = open_prepared(config, NAME)
    assert prepared.open_folder(there.folder).name == there.name
    for split, index in there.index.items():
        path = f"{there.folder}/case_index-{split}.npz"
        for content in (b"", b"PK damaged"):
            with open(path, "wb") as file:
                file.write(content)
            unwritten = prepared.open_folder(there.folder, keep=False).index[split]
            with open(path, "rb") as file:
                assert file.read() == content  # which only looked
            again = prepared.open_folder(there.folder).index[split]
            for found in (unwritten, again):
                for name, value in index.arrays().items():
                    np.testing.assert_array_equal(found.arrays()[name], value, err_msg=name)


def without_attributes(folder):
    """Indices as versions before attributes wrote them; returns their paths."""
    paths = sorted(pathlib.Path(folder).glob("case_index-*.npz"))
    for path in paths:
        arrays = {n: a for n, a in np.load(path).items() if not n.startswith("attribute_")}
        np.savez_compressed(path, **arrays)
    return paths


def test_an_index_that_knows_no_attributes_is_made_again_and_nothing_is_prepared(config):
    there = open_prepared(config, NAME)
    views = there.index["train"].attributes.of("view").tolist()
    assert set(views) == {"front", "side"}
    paths = without_attributes(there.folder)
    before = [path.read_bytes() for path in paths]
    assert prepared.open_folder(there.folder, keep=False).index["train"].attributes is None
    assert [path.read_bytes() for path in paths] == before
    records = {p: p.stat() for p in pathlib.Path(there.folder).glob("*array_record*")}
    again = open_prepared(config, NAME).index["train"]
    assert again.attributes.of("view").tolist() == views
    assert {path: path.stat() for path in records} == records


def test_an_index_of_before_will_do_where_nothing_can_be_written(config, monkeypatch):
    there = open_prepared(config, NAME)
    paths = without_attributes(there.folder)
    before = [path.read_bytes() for path in paths]
    monkeypatch.setattr(prepared.os, "access", lambda path, mode: False)  # root may write anywhere
    index = prepared.open_folder(there.folder).index["train"]
    assert index.attributes is None and index.num_images == there.index["train"].num_images
    assert [path.read_bytes() for path in paths] == before


def test_data_is_current_until_an_image_is_written(config, tmp_path):
    there = open_prepared(config, NAME)
    builder = lambda: prepared.checked_builder(
        config.data_dir, NAME, sources.configuration_of(config, NAME)
    )
    assert not prepared.is_outdated(builder())
    assert prepared.name_of(builder()) == there.name
    photo = next((tmp_path / "photos").rglob("*.jpg"))
    photo.write_bytes(photo.read_bytes())  # as many bytes, another time
    assert prepared.is_outdated(builder())


def test_damaged_data_is_named(config):
    there = open_prepared(config, NAME)
    with open(f"{there.folder}/dataset_info.json", "w", encoding="utf-8") as file:
        file.write("{")
    with pytest.raises(BadInput, match=r"is damaged; delete it to prepare it again$"):
        prepared.open_folder(there.folder)
    configuration = sources.configuration_of(config, NAME)
    with pytest.raises(BadInput, match=rf"derm_cases/{configuration.name}: holds damaged data "):
        prepared.checked_builder(config.data_dir, NAME, configuration)
