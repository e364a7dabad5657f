"""Folders that a preparation leaves when it is killed, and those of one that is still at it."""

import pathlib
import subprocess
import sys

import pytest

from micle_tf.data.unfinished import unfinished_folder
from tests.data.ham import open_ham

AT_IT = """
import sys
from micle_tf.data.unfinished import unfinished_folder
with unfinished_folder(sys.argv[1]) as folder:
    open(folder + "/half", "w").close()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def at_it():
    """Begins a process with a folder below "data": (process, folder)."""
    begun = []

    def begin():
        process = subprocess.Popen(
            [sys.executable, "-c", AT_IT, "data"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        begun.append(process)
        return process, pathlib.Path(process.stdout.readline().strip())

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(pathlib.Path(__file__).parents[2]))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def names(root):
    return sorted(path.name for path in root.iterdir())


def test_it_is_gone_afterwards(root):
    with unfinished_folder("data") as folder:
        pathlib.Path(folder, "half").touch()
        assert names(root) == [pathlib.Path(folder).name]
        assert names(root)[0].startswith("incomplete-")
    assert names(root) == []
    with pytest.raises(ZeroDivisionError), unfinished_folder("data"):
        assert 1 / 0
    assert names(root) == []


def test_one_that_was_killed_is_removed_and_one_at_work_is_not(ham, root, at_it):
    killed, left = at_it()
    killed.kill()
    killed.wait()
    working, kept = at_it()
    assert not left.exists() and (kept / "half").exists()
    open_ham()
    assert (kept / "half").exists() and names(root) == ["derm_cases", kept.name]
    working.kill()
    working.wait()
    assert kept.exists()  # as whatever is killed leaves it
    open_ham()
    assert kept.exists()  # nothing was prepared
    open_ham(max_image_side=9)
    assert names(root) == ["derm_cases"]


def test_one_that_ends_removes_its_own(root, at_it):
    process, folder = at_it()
    process.communicate("")
    assert process.returncode == 0 and names(root) == [] and not folder.exists()


def test_what_is_none_of_them_stays(root):
    """A folder without a lock, which may be just being made, and files of others."""
    (root / "incomplete-new").mkdir()
    (root / "incomplete-file").touch()
    (root / "mine").mkdir()
    (root / "mine/.lock").touch()
    with unfinished_folder("data"):
        pass
    assert names(root) == ["incomplete-file", "incomplete-new", "mine"]
