"""Flags that say nothing of the images: no second copy of the data, and old copies are found."""

import pathlib
import shutil

import pytest

from data_builders.case_builder import CaseConfig
from data_builders.images import ImageOptions
from micle_tf.config import Config
from micle_tf.data import cases, sources
from tests.data_builders import trees_nih
from tests.generated_cases import write_cases


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_cases(tmp_path / "photos", num_cases=12)
    return Config(mode="prepare", manifest="photos/cases.csv", data_dir="data")


def prepared():
    return sorted(path.name for path in pathlib.Path("data/derm_cases").iterdir())


def as_before(monkeypatch):
    """Names the data as versions did that took every option into the name."""

    def as_stored(config, name, source):
        options = {field: getattr(config, field) for field in ImageOptions.__dataclass_fields__}
        return CaseConfig.of(name.partition("/")[2], source, ImageOptions(**options))

    monkeypatch.setattr(sources, "_as_stored", as_stored)


def test_a_quality_without_shrinking_makes_no_second_copy(given, capsys):
    first = cases.open_cases(given)
    again = cases.open_cases(given.replace(jpeg_quality=80))
    assert again.name == first.name and len(prepared()) == 1
    shrunk = cases.open_cases(given.replace(jpeg_quality=80, max_image_side=16))
    other = cases.open_cases(given.replace(jpeg_quality=70, max_image_side=16))
    assert len({first.name, shrunk.name, other.name}) == 3 and len(prepared()) == 3
    assert capsys.readouterr().out.count("preparing derm_cases/manifest-") == 3


def test_a_set_that_was_prepared_under_such_a_name_is_used(given, monkeypatch, capsys):
    with monkeypatch.context() as before:
        as_before(before)
        old = cases.open_cases(given.replace(jpeg_quality=80))
    capsys.readouterr()
    assert cases.open_cases(given.replace(jpeg_quality=80)).name == old.name
    assert "preparing" not in capsys.readouterr().out and len(prepared()) == 1
    # Where both are there, a run on the old one goes on with it, and all others take the new one.
    new = cases.open_cases(given)
    assert new.name != old.name and len(prepared()) == 2
    assert cases.open_cases(given.replace(jpeg_quality=80)).name == old.name
    assert cases.open_cases(given.replace(jpeg_quality=70)).name == new.name
    assert len(prepared()) == 2


def test_flags_without_effect_lose_nothing_that_was_prepared(tmp_path, monkeypatch):
    """What lies where is noted by what counts, so that it is found when the files are gone."""
    monkeypatch.chdir(tmp_path)
    trees_nih.write_tree(tmp_path / "nih", patients=12, side=16)
    nih = Config(mode="prepare", dataset="nih_chest_xray14", data_dir="data", manual_dir="nih")
    first = cases.open_cases(nih)
    each = cases.open_cases(nih.replace(group_by="image"))
    assert cases.open_cases(nih.replace(jpeg_quality=80)).name == first.name
    assert cases.open_cases(nih.replace(labels_shared_by_case=False)).name == first.name
    shutil.rmtree("nih")
    for changes, name in (
        ({}, first.name),
        ({"group_by": "image"}, each.name),
        ({"jpeg_quality": 70}, first.name),
        ({"labels_shared_by_case": False}, first.name),
    ):
        assert cases.open_cases(nih.replace(manual_dir="", **changes)).name == name


def test_beam_with_nothing_to_prepare(given, capsys):
    cases.open_cases(given)
    assert "beam_options" not in capsys.readouterr().out
    cases.open_cases(given.replace(beam_options="--runner=DirectRunner"))
    assert (
        "note: --beam_options does nothing: derm_cases/manifest is prepared already\n"
        in capsys.readouterr().out
    )
