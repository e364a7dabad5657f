"""What is borrowed of other packages does what `borrowed` says, with the versions it names."""

import ast
import importlib.metadata
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle

import micle_tf
from micle_tf import borrowed

PACKAGE = pathlib.Path(micle_tf.__file__).parent
ROOT = PACKAGE.parent
# The package that each function borrows of, and the versions with which this file passed. With
# another one: run this file, read what changed there, and add the version here and in the function.
CHECKED = {
    borrowed.leave_gradients_to_caller: ("keras", ("3.12", "3.13", "3.14", "3.15")),
    borrowed.index_of: ("keras", ("3.12", "3.13", "3.14", "3.15")),
    borrowed.data_dir: ("tensorflow-datasets", ("4.9",)),
    borrowed.limit_shuffle_memory: ("tensorflow-datasets", ("4.9",)),
    borrowed.read_events: ("tensorboard", ("2.20", "2.21")),
}


@pytest.mark.parametrize("function", CHECKED, ids=lambda function: function.__name__)
def test_it_was_checked_with_this_version(function):
    package, versions = CHECKED[function]
    minor = ".".join(importlib.metadata.version(package).split(".")[:2])
    assert minor in versions, f"check {function.__name__} again: not yet with {package} {minor}"
    told = function.__doc__.partition("Checked with")[2].partition("Args:")[0]
    assert tuple(re.findall(r"\d+\.\d+", told)) == versions


def test_every_function_is_checked():
    tree = ast.parse(pathlib.Path(borrowed.__file__).read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert names == {function.__name__ for function in CHECKED}


@pytest.mark.parametrize("told, sum_of_gradients", [(False, 6.0), (True, 3.0)])
def test_gradients_are_added_up_by_keras_unless_it_is_told(told, sum_of_gradients):
    """Two replicas whose gradients are 3, a sum already, and 3."""
    strategy = tf.distribute.MirroredStrategy(
        ["/cpu:0", "/cpu:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        variable = keras.Variable([10.0])
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build([variable])
    if told:
        borrowed.leave_gradients_to_caller(optimizer)
    other = keras.optimizers.SGD(1.0)  # one that is not told is left as it is
    assert "_all_reduce_sum_gradients" not in vars(other)

    @tf.function
    def step():
        strategy.run(lambda: optimizer.apply([tf.constant([3.0])], [variable]))

    step()
    np.testing.assert_array_equal(variable, [10.0 - sum_of_gradients])


def test_index_is_the_place_among_the_variables_built_for():
    """Of variables that are alike, and of TensorFlow's own, which `update_step` is handed."""
    variables = [keras.Variable([0.0]) for _ in range(3)]
    steps = []

    class Noting(keras.optimizers.Optimizer):
        def update_step(self, gradient, variable, learning_rate):
            steps.append((borrowed.index_of(self, variable), float(gradient[0])))

    optimizer = Noting(0.1)
    optimizer.apply([tf.constant([float(number)]) for number in range(3)], variables)
    assert steps == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert [borrowed.index_of(optimizer, variable) for variable in variables] == [0, 1, 2]


@pytest.mark.parametrize("stated", ["", "elsewhere"])
def test_data_dir_is_where_tfds_prepares(stated, tmp_path):
    """In a process of its own: the environment counts as it is at the first import."""
    told = "import tensorflow_datasets as tfds; from micle_tf import borrowed; "
    told += "builder = tfds.builder('mnist'); print(borrowed.data_dir()); print(builder.data_dir)"
    environment = {"HOME": str(tmp_path), "PATH": "", "PYTHONPATH": str(ROOT)}
    if stated:
        environment["TFDS_DATA_DIR"] = str(tmp_path / stated)
    output = subprocess.run(
        [sys.executable, "-c", told], env=environment, check=True, capture_output=True, text=True
    ).stdout.split()
    folder = str(tmp_path / (stated or "tensorflow_datasets"))
    assert output[0] == folder
    assert output[1].startswith(f"{folder}/mnist/")


@pytest.mark.parametrize("num_bytes, on_disk", [(10 * 100, False), (10 * 100 - 1, True)])
def test_examples_beyond_the_limit_are_sorted_on_disk(num_bytes, on_disk, tmp_path, monkeypatch):
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", shuffle.MAX_MEM_BUFFER_SIZE)
    expected = shuffled(tmp_path / "before")
    borrowed.limit_shuffle_memory(num_bytes)
    assert shuffled(tmp_path / "after", on_disk) == expected
    assert sorted(expected) == [f"{number:0100}".encode() for number in range(10)]


def shuffled(folder, on_disk=False):
    """Ten records of 100 bytes in tfds's order."""
    folder.mkdir()
    shuffler = shuffle.Shuffler(folder, "salt")
    for number in range(10):
        shuffler.add(f"key {number}", f"{number:0100}".encode())
    assert bool(list(folder.iterdir())) == on_disk
    return [record for _, record in shuffler]


@pytest.mark.parametrize("scheme", ["", "ram://"])
def test_events_are_read_up_to_the_first_that_is_not_whole(scheme, tmp_path):
    folder = f"{scheme}{tmp_path}"
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default():
        for step in range(3):
            tf.summary.scalar("loss", step, step=step)
    writer.close()
    (name,) = tf.io.gfile.listdir(folder)
    path = f"{folder}/{name}"
    with tf.io.gfile.GFile(path, "rb") as file:
        written = file.read()
    events = list(borrowed.read_events(path))
    assert [event.WhichOneof("what") for _, event in events] == ["file_version"] + ["summary"] * 3
    assert [event.step for _, event in events[1:]] == [0, 1, 2]
    # A record in the file: length of 8 bytes and its checksum of 4, the bytes, their checksum.
    framed = [len(serialised) + 16 for serialised, _ in events]
    assert sum(framed) == len(written)
    assert written[12:].startswith(events[0][0])

    cut_off = f"{folder}-cut"
    with tf.io.gfile.GFile(cut_off, "wb") as file:
        file.write(written[:-5])
    assert [event.step for _, event in borrowed.read_events(cut_off)][1:] == [0, 1]
    damaged = bytearray(written)
    damaged[framed[0] + framed[1] + 14] ^= 1
    with tf.io.gfile.GFile(f"{folder}-damaged", "wb") as file:
        file.write(bytes(damaged))
    assert [event.step for _, event in borrowed.read_events(f"{folder}-damaged")][1:] == [0]


# ---------------------------------------------------------------- nowhere else

PRIVATE_PACKAGES = ("keras.src", "tensorflow.python", "tensorflow_datasets.core", "tensorboard")
DOCUMENTED = {"_exit", "_replace"}  # of os and of named tuples


def private_uses(text):
    """What a module's text imports or reads that is private to another package."""
    nodes = list(ast.walk(ast.parse(text)))
    imported = {
        alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
    }
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    private = {name for name in imported if f"{name}.".startswith(PRIVATE_PACKAGES)}
    # A module's own names: its functions, variables and fields, and what it sets on `self`.
    own = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    own |= {node.id for node in nodes if isinstance(node, ast.Name)}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    own |= {
        node.attr
        for node in attributes
        if isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }
    for node in attributes:
        if re.match("_[^_]", node.attr) and node.attr not in own | DOCUMENTED:
            private.add(node.attr)
        if ast.unparse(node.value) == "tfds.core" and node.attr not in tfds.core.__all__:
            private.add(ast.unparse(node))
    return private


@pytest.mark.parametrize(
    "text, expected",
    [
        ("self._get_variable_index(variable)", {"_get_variable_index"}),
        ("optimizer._all_reduce_sum_gradients = None", {"_all_reduce_sum_gradients"}),
        ("from tensorflow_datasets.core import shuffle", {"tensorflow_datasets.core.shuffle"}),
        ("import tensorboard.plugins", {"tensorboard.plugins"}),
        ("tfds.core.constants.DATA_DIR", {"tfds.core.constants"}),
        ("tfds.core.Version('1.0.0'), keras.Model, os._exit(0), x.__name__", set()),
        ("class A:\n def f(self):\n  self._x = 1\ndef g(a): return a._x, a._y", {"_y"}),
    ],
)
def test_private_uses_are_seen(text, expected):
    assert private_uses(text) == expected


def test_nothing_private_is_used_elsewhere():
    paths = [path for top in ("micle_tf", "data_builders") for path in ROOT.glob(f"{top}/**/*.py")]
    uses = {str(path.relative_to(ROOT)): private_uses(path.read_text()) for path in paths}
    assert len(uses) > 100
    borrowing = uses.pop("micle_tf/borrowed.py")
    assert {"_all_reduce_sum_gradients", "_get_variable_index"} <= borrowing
    assert {path: names for path, names in uses.items() if names} == {}
