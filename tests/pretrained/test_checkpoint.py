import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.errors import BadInput
from micle_tf.pretrained.checkpoint import GRAPH, Checkpoint, ObjectGraph
from tests.pretrained.originals import Node


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    inner = Node(kernel=tf.Variable(np.arange(6000, dtype=np.float32).reshape(60, 100)))
    inner.count = tf.Variable(3, dtype=tf.int64)
    root = tf.train.Checkpoint(model=Node(parts=[Node(), inner], again=inner))
    return root.write(str(tmp_path_factory.mktemp("written") / "ckpt-1"))


@pytest.fixture
def prefix(written, tmp_path):
    """A copy to be spoilt."""
    for ending in ("index", "data-00000-of-00001"):
        shutil.copy(f"{written}.{ending}", tmp_path)
    return str(tmp_path / "ckpt-1")


def test_tensors_by_key_and_objects_by_path(written):
    checkpoint = Checkpoint(written, "here")
    graph = ObjectGraph(checkpoint, "here")
    node = graph.find("model/parts/1")
    assert node == graph.find("model/again") == graph.find("1", graph.find("model/parts"))
    assert graph.find("model/none") is None and graph.find("model/parts/7") is None
    variables = graph.variables(node)
    assert variables.keys() == {"kernel", "count"}
    assert checkpoint.shapes[variables["kernel"]] == (60, 100)
    np.testing.assert_array_equal(
        checkpoint.read(variables["kernel"]), np.arange(6000).reshape(60, 100)
    )
    assert graph.all_below(graph.find("model")).keys() == set(variables.values())
    assert {"parts", "again", "kernel"} <= set(graph.names())


def test_the_hash_is_of_the_weights(written, prefix, tmp_path):
    assert Checkpoint(prefix, "here").sha256 == Checkpoint(written, "here").sha256
    other = tf.train.Checkpoint(model=Node(kernel=tf.Variable([1.0, 2.0])))
    first = Checkpoint(other.write(str(tmp_path / "a")), "here").sha256
    other.model.kernel.assign([1.0, 2.0000002])
    assert Checkpoint(other.write(str(tmp_path / "b")), "here").sha256 != first


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_index(prefix, share):
    os.truncate(f"{prefix}.index", int(share * os.path.getsize(f"{prefix}.index")))
    with pytest.raises(BadInput, match=r"^here: ckpt-1 is damaged or no TensorFlow checkpoint"):
        checkpoint = Checkpoint(prefix, "here")
        ObjectGraph(checkpoint, "here")


def test_truncated_data_is_told_before_it_is_read(prefix):
    os.truncate(f"{prefix}.data-00000-of-00001", 20_000)
    with pytest.raises(BadInput, match=r"data is truncated: 20,000 bytes, and its .* need 24,008"):
        Checkpoint(prefix, "here")


def test_data_that_was_changed(prefix):
    checkpoint = Checkpoint(prefix, "here")
    key = next(key for key, shape in checkpoint.shapes.items() if shape == (60, 100))
    with open(f"{prefix}.data-00000-of-00001", "r+b") as file:
        content = bytearray(file.read())
        place = content.index(np.arange(6000, dtype=np.float32).tobytes()[:400])
        content[place + 50] ^= 1
        file.seek(0)
        file.write(content)
    with pytest.raises(BadInput, match=r"^here: ckpt-1 is damaged"):
        Checkpoint(prefix, "here").read(key)


def test_data_that_is_missing(prefix):
    os.remove(f"{prefix}.data-00000-of-00001")
    with pytest.raises(BadInput, match=r"ckpt-1.data-00000-of-00001 or a part of it is missing"):
        Checkpoint(prefix, "here")


def test_a_text_file_with_the_name_of_an_index(tmp_path):
    (tmp_path / "notes.index").write_text("Notes on the weights.\n" * 9)
    with pytest.raises(BadInput, match="notes is damaged or no TensorFlow checkpoint") as told:
        Checkpoint(str(tmp_path / "notes"), "here")
    assert "\n" not in str(told.value)


def test_a_graph_that_is_none(tmp_path):
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "odd"), tensor_names=[GRAPH], shape_and_slices=[""],
        tensors=[tf.constant(b"\xff\xff\xff")],
    )  # fmt: skip
    with pytest.raises(BadInput, match="graph of objects is damaged"):
        ObjectGraph(Checkpoint(str(tmp_path / "odd"), "here"), "here")
