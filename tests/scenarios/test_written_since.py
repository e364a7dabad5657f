"""Images that were written again after they had been prepared, in as many bytes as before."""

import os
import pathlib
import shutil

import numpy as np
import pytest

from data_builders.images import ImageOptions, stored_image
from micle_tf.config import Config
from micle_tf.data import cases
from tests.data.ham import config, everything, images_of, open_ham, snapshot


def test_a_dicom_file_of_the_same_size(tmp_path, monkeypatch, capsys):
    """Uncompressed, those of one detector always have it."""
    pytest.importorskip("pydicom")
    pytest.importorskip("imagecodecs")
    from tests.data_builders.reading.test_dicom import dicom

    monkeypatch.chdir(tmp_path)
    scans = np.random.default_rng(0).integers(0, 4096, (5, 8, 6)).astype(np.uint16)
    rows = ["image,case_id"]
    for number, scan in enumerate(scans[:4]):
        pathlib.Path(f"{number}.dcm").write_bytes(dicom(scan, 12))
        rows.append(f"{number}.dcm,c{number // 2}")
    pathlib.Path("cases.csv").write_text("\n".join(rows))
    given = Config(manifest="cases.csv", data_dir="data")
    first = cases.open_cases(given)
    before = everything(first)
    capsys.readouterr()

    assert everything(cases.open_cases(given)) == before
    assert "preparing" not in capsys.readouterr().out
    new = dicom(scans[4], 12)
    assert len(new) == os.path.getsize("2.dcm")
    pathlib.Path("2.dcm").write_bytes(new)
    again = cases.open_cases(given)
    assert f"preparing {first.name} in data/{first.name}/" in capsys.readouterr().out
    assert again.name == first.name
    (key,) = (key for key in before if key[2] == "2.dcm")
    stored = stored_image(new, ImageOptions()).content
    assert stored != before[key][1]
    assert everything(again) == before | {key: (-1, stored)}
    cases.open_cases(given)
    assert "preparing" not in capsys.readouterr().out


@pytest.fixture
def read_only(monkeypatch):
    """Takes away the right to write below a folder; from root, who keeps it, by word."""
    changed = {}

    def take(folder):
        for path in (folder, *folder.rglob("*")):
            changed[path] = path.stat().st_mode
            path.chmod(0o555 if path.is_dir() else 0o444)
        if os.access(folder, os.W_OK):
            access = os.access
            allowed = lambda path, mode: mode != os.W_OK and access(path, mode)
            monkeypatch.setattr(os, "access", allowed)

    yield take
    for path, mode in changed.items():
        path.chmod(mode)


def test_files_with_a_new_date_where_nothing_can_be_written(ham, read_only, capsys):
    """As somebody else's prepared data, with a copy of the files of one's own."""
    first = open_ham()
    for image in images_of(ham):
        os.utime(image, ns=(10**18, 10**18))
    read_only(pathlib.Path("data"))
    before = snapshot(f"data/{first.name}")
    capsys.readouterr()
    again = cases.open_cases(config())
    assert (again.name, everything(again)) == (first.name, everything(first))
    assert "preparing" not in capsys.readouterr().out
    assert snapshot(f"data/{first.name}") == before


def test_a_copy_with_other_dates_is_prepared_once_in_the_same_place(ham, capsys):
    first = open_ham()
    images = everything(first)
    shutil.copytree(ham, "copy", copy_function=shutil.copy)  # not copy2: dates of its own
    capsys.readouterr()
    for number in range(2):
        again = cases.open_cases(config(manual_dir="copy"))
        assert (again.name, everything(again)) == (first.name, images)
        assert ("preparing" in capsys.readouterr().out) == (number == 0)
    folders = [path.name for path in pathlib.Path("data/derm_cases").iterdir() if path.is_dir()]
    assert folders == [first.name.rpartition("/")[2]]
