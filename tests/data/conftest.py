import shutil

import pytest

from tests.data_builders.trees_derm import write_tree


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """HAM10000 in small as its owners ship it, and its counts."""
    folder = tmp_path_factory.mktemp("shipped")
    return folder, write_tree(folder, "ham10000", num_cases=16)


@pytest.fixture
def ham(shipped, tmp_path, monkeypatch):
    """A copy of it to be spoilt, in "files" of the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shipped[0], tmp_path / "files")
    return tmp_path / "files"
