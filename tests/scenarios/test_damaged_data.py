"""Prepared data that somebody or something has damaged: mended, or told in one line."""

import pathlib
import shutil

import numpy as np
import pytest

from data_builders import on_threads
from micle_tf.data import cases
from micle_tf.errors import BadInput
from tests.data.ham import config, everything, open_ham


@pytest.fixture
def prepared(ham):
    """The folder of what was prepared, and what is in it."""
    data = open_ham()
    (info,) = pathlib.Path("data").rglob("dataset_info.json")
    return info.parent, everything(data)


@pytest.fixture
def decoded(monkeypatch):
    """A list that grows by one whenever a case is read."""
    found, original = [], on_threads.read_case

    def counted(case, images):
        found.append(case.case_id)
        return original(case, images)

    monkeypatch.setattr(on_threads, "read_case", counted)
    return found


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("content", [b"", b"xx", b"PK\x03\x04 and no more", b"\x80\x04K\x01."])
def test_an_index_is_made_again(prepared, decoded, content, gone):
    folder, images = prepared
    before = {path.name: dict(np.load(path)) for path in folder.glob("case_index-*.npz")}
    assert len(before) == 3
    for name in before:
        (folder / name).write_bytes(content)
    if gone:
        shutil.rmtree("files")
    data = cases.open_cases(config())
    assert everything(data) == images and decoded == []
    for name, arrays in before.items():
        with np.load(folder / name) as again:
            assert sorted(again) == sorted(arrays)
            for key, array in arrays.items():
                np.testing.assert_array_equal(again[key], array)


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null", "\xff"])
def test_a_report_is_no_need(prepared, content, gone):
    folder, images = prepared
    (folder / "report.json").write_text(content, encoding="latin-1")
    if gone:
        shutil.rmtree("files")
    assert everything(cases.open_cases(config())) == images


NO_JSON = (
    "Failed to load JSON: Expecting property name enclosed in double quotes: line 1 column 2 "
    "(char 1)."
)


@pytest.mark.parametrize(
    "name, content, place, reason",
    [
        ("dataset_info.json", "{", "", f"holds damaged data ({NO_JSON}); delete it"),
        ("dataset_info.json", "{}", "", "holds damaged data (The constructed DatasetInfo instance "
         "and the restored proto version do not match. Builder version: 1.1.0. Proto version:); "
         "delete it"),
        ("dataset_info.json", None, "/1.1.0", "is damaged; delete it to prepare it again"),
        ("features.json", "{", "/1.1.0", "is damaged; delete it to prepare it again"),
    ],
)  # fmt: skip
def test_what_cannot_be_mended(prepared, decoded, name, content, place, reason):
    folder, images = prepared
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    for changes in ({}, {"manual_dir": "files"}):
        with pytest.raises(BadInput) as caught:
            cases.open_cases(config(**changes))
        assert str(caught.value) == f"{folder.parent}{place}: {reason}"
    shutil.move("files", "moved")
    with pytest.raises(BadInput) as caught:
        cases.open_cases(config())
    assert str(caught.value) == f"{folder}: is damaged; delete it to prepare it again"
    assert decoded == []
    # What the line says helps.
    shutil.rmtree(folder)
    shutil.move("moved", "files")
    assert everything(cases.open_cases(config())) == images
