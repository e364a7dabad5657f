"""Cases that are prepared on Apache Beam, by its DirectRunner."""

import json
import pathlib
import sys

import pytest

from data_builders.derm_cases import derm_cases_dataset_builder as derm_cases
from micle_tf.data import cases
from micle_tf.errors import BadInput
from tests.data.ham import config, everything, open_ham, snapshot, spoil

BEAM = {"beam_options": "--runner=DirectRunner"}


@pytest.mark.slow
def test_beam_makes_the_same_data(ham):
    pytest.importorskip("apache_beam")
    spoil(ham, 2)
    plain = open_ham(max_bad_images=2)
    on_beam = open_ham(max_bad_images=2, data_dir="beam", **BEAM)
    assert on_beam.name == plain.name
    assert everything(on_beam) == everything(plain)
    reports = []
    for folder in ("data", "beam"):
        (path,) = pathlib.Path(folder).rglob("report.json")
        report = json.loads(path.read_text())
        reports.append(report | {"bad_images": sorted(report["bad_images"])})
    assert reports[0] == reports[1] and len(reports[0]["bad_images"]) == 2
    assert not list(pathlib.Path("beam").rglob("found-*"))
    assert not list(pathlib.Path("beam").glob("incomplete-*"))


@pytest.mark.slow
def test_bad_images_on_beam(ham):
    pytest.importorskip("apache_beam")
    messages = spoil(ham, 2)
    with pytest.raises(BadInput) as caught:
        open_ham(max_bad_images=1, **BEAM)
    message, more, _ = str(caught.value).partition("; that makes more than --max_bad_images=1")
    assert message in messages.values() and more
    assert not pathlib.Path("data").exists()


@pytest.mark.slow
def test_rendered_cases_on_beam(tmp_path, monkeypatch):
    pytest.importorskip("apache_beam")
    few = {"train": 3, "validation": 1, "test": 1}
    monkeypatch.setattr(derm_cases.synthetic, "PATIENTS_PER_SPLIT", few)
    monkeypatch.chdir(tmp_path)
    plain = cases.open_cases(config(dataset="derm_cases"))
    on_beam = cases.open_cases(config(dataset="derm_cases", data_dir="beam", **BEAM))
    assert everything(on_beam) == everything(plain)


@pytest.mark.parametrize(
    "options, reason",
    [
        ("--runner=Flnk", "Unexpected pipeline runner: Flnk. Valid values are "),
        ("--runner=none.Runner", "No module named 'none'"),
        ("--runner='x", "No closing quotation"),
        ("--direct_num_workers=x", "argument --direct_num_workers: invalid int value: 'x'"),
    ],
)
def test_options_of_beam_that_are_wrong(ham, options, reason):
    pytest.importorskip("apache_beam")
    before = snapshot()
    with pytest.raises(BadInput) as caught:
        open_ham(beam_options=options)
    assert str(caught.value).startswith(f"--beam_options={options}: {reason}")
    assert "\n" not in str(caught.value)
    assert snapshot() == before


def test_beam_that_is_not_installed(ham, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    with pytest.raises(BadInput) as caught:
        open_ham(**BEAM)
    assert str(caught.value) == (
        "--beam_options=--runner=DirectRunner: Apache Beam is not installed: pip install '.[beam]'"
    )
    assert not pathlib.Path("data").exists()
