import os
import pathlib
import zipfile

import pytest
import tensorflow as tf

from micle_tf.errors import BadInput
from micle_tf.pretrained.found import Found, find, is_weights, weights_folder


def lay(folder, *names):
    """Empty files in a folder."""
    for name in names:
        path = pathlib.Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return str(folder)


def state(folder, *paths):
    first = f'model_checkpoint_path: "{paths[-1]}"\n'
    every = "".join(f'all_model_checkpoint_paths: "{path}"\n' for path in paths)
    pathlib.Path(folder, "checkpoint").write_text(first + every)


@pytest.mark.parametrize(
    "files, asked, prefix",
    [
        (["ckpt-7.index"], "", "ckpt-7"),
        (["ckpt-7.index", "ckpt-9.index"], "ckpt-7", "ckpt-7"),
        (["ckpt-7.index"], "ckpt-7.index", "ckpt-7"),
        (["m.ckpt-7.index", "m.ckpt-7.data-00000-of-00001"], "m.ckpt-7.data-00000-of-00001",
         "m.ckpt-7"),
        (["variables/variables.index", "saved_model.pb"], "", "variables/variables"),
        (["variables/variables.index", "saved_model.pb"], "variables", "variables/variables"),
        (["variables/variables.index", "saved_model.pb"], "saved_model.pb", "variables/variables"),
        (["saved_model/variables/variables.index"], "", "saved_model/variables/variables"),
        (["saved_model/500/variables/variables.index"], "", "saved_model/500/variables/variables"),
        (["run[1]/ckpt-7.index"], "run[1]", "run[1]/ckpt-7"),
    ],
)  # fmt: skip
def test_folders_prefixes_and_files_of_a_checkpoint(files, asked, prefix, tmp_path):
    lay(tmp_path, *files)
    expected = Found(str(tmp_path / prefix), False)
    assert find(os.path.join(tmp_path, asked), "here") == expected
    if os.path.isdir(tmp_path / asked):
        assert find(f"{tmp_path / asked}/", "here") == expected


def test_a_state_file_of_another_machine(tmp_path):
    lay(tmp_path, "ckpt-1.index", "ckpt-5.index", "ckpt-10.index")
    state(tmp_path, "/far/away/ckpt-1", "/far/away/ckpt-5")
    assert find(str(tmp_path), "here").path == str(tmp_path / "ckpt-5")
    assert find(str(tmp_path / "checkpoint"), "here").path == str(tmp_path / "ckpt-5")
    state(tmp_path, "C:\\runs\\ckpt-1", "gs://bucket/ckpt-10", "gone/ckpt-20")
    assert find(str(tmp_path), "here").path == str(tmp_path / "ckpt-10")


def test_a_state_file_of_files_that_are_gone(tmp_path):
    lay(tmp_path, "saved_model/variables/variables.index")
    state(tmp_path, "ckpt-5")
    assert find(str(tmp_path), "here").path.endswith("saved_model/variables/variables")


def test_keras_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "encoder.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    lay(tmp_path, "MODEL_CARD.md")
    expected = Found(str(tmp_path / "encoder.keras"), True)
    assert find(str(tmp_path), "here") == find(expected.path, "here") == expected


def test_remote_places():
    for name in ("variables.index", "variables.data-00000-of-00001"):
        with tf.io.gfile.GFile(f"ram://weights/saved_model/variables/{name}", "w") as file:
            file.write("x")
    expected = Found("ram://weights/saved_model/variables/variables", False)
    for asked in ("ram://weights", "ram://weights/saved_model/", expected.path):
        assert find(asked, "here") == expected
        assert is_weights(asked)
    assert weights_folder(expected) == "weights"
    assert not is_weights("ram://weights/none")


@pytest.mark.parametrize(
    "files, asked, said",
    [
        ([], "", "it is an empty folder; taken are SimCLR's checkpoints"),
        ([], "none", "there is no such file or folder"),
        (["a-1.index", "a-2.index"], "", "has 2 files of weights; name one, as a-2"),
        (["ckpt-1.data-00000-of-00001"], "ckpt-1", "its .index is missing"),
        (["ckpt-1.data-00000-of-00001"], "", "part of a checkpoint, whose .index is missing"),
        (["saved_model.pb"], "", r"it is no run \(no config.json\), but a SavedModel without var"),
        (["notes.txt"], "notes.txt", "it is a text file; taken are"),
        (["encoder.keras"], "encoder.keras", "has the name of a Keras model, but is none"),
        (["photos/1.jpg"], "", "has no weights; it has the folders photos"),
    ],
)
def test_what_is_not_there(files, asked, said, tmp_path):
    lay(tmp_path, *files)
    with pytest.raises(BadInput, match=f"^--checkpoint=X: .*{said}") as told:
        find(os.path.join(tmp_path, asked), "--checkpoint=X")
    assert "\n" not in str(told.value)


def test_a_run_is_no_weights(tmp_path):
    lay(tmp_path, "run/config.json", "run/checkpoints/ckpt-1.index", "weights/ckpt-1.index")
    assert not is_weights(str(tmp_path / "run"))
    assert is_weights(str(tmp_path / "run/checkpoints"))
    assert is_weights(str(tmp_path / "weights"))
    assert is_weights(str(tmp_path / "weights/ckpt-1"))
    assert is_weights(str(tmp_path / "weights/ckpt-1.index"))
    assert not is_weights(str(tmp_path / "weights/ckpt-2"))


@pytest.mark.parametrize(
    "path, name",
    [
        ("/data/r50_1x_sk0/saved_model/variables/variables", "r50_1x_sk0"),
        ("/data/r50_1x_sk0/ckpt-500", "r50_1x_sk0"),
        ("gs://bucket/simclr/1x/variables/variables", "1x"),
        ("gs://bucket/variables/variables", "bucket"),
        ("/ckpt-1", "weights"),
    ],
)
def test_the_folder_that_says_something(path, name):
    assert weights_folder(Found(path, False)) == name


def test_a_relative_path_has_the_folder_it_is_in(tmp_path, monkeypatch):
    lay(tmp_path / "mine", "ckpt-1.index")
    monkeypatch.chdir(tmp_path / "mine")
    assert weights_folder(find("ckpt-1", "here")) == "mine"
    assert weights_folder(find(".", "here")) == "mine"
