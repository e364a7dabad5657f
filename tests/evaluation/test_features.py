"""Features are computed once, in the order of the index, and made again where damaged."""

import types

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.config import Config
from micle_tf.data import cases, decode
from micle_tf.data.supervised import LabelledSplit
from micle_tf.evaluation.features import cached_features


@pytest.fixture(scope="module")
def split(small_set):
    config = Config(manifest=str(small_set / "photos/cases.csv"), data_dir=str(small_set / "data"))
    reader = cases.open_cases(config).open("test")
    return LabelledSplit("test", reader, reader.index.class_label, np.arange(3))


def test_features_are_kept_and_made_again_where_damaged(split, tmp_path):
    run = types.SimpleNamespace(file=lambda name: str(tmp_path / name))
    calls = []

    def forward(images):
        calls.append(len(images))
        return tf.reduce_mean(images, axis=[1, 2])

    found = cached_features(run, split, forward, 12, 4)
    index = split.reader.index
    stored = [c for images in split.reader.read(np.arange(index.num_cases)) for c in images]
    expected = [decode.evaluation_view(content, 12).numpy().mean(axis=(0, 1)) for content in stored]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.shape == (index.num_images, 3) and calls
    assert sum(calls) == len(found)
    called = len(calls)
    np.testing.assert_array_equal(cached_features(run, split, forward, 12, 4), found)
    assert len(calls) == called  # from the file
    path = tmp_path / "features-test.npy"
    for damage in (path.read_bytes()[:90], b"", np.save):
        if damage is np.save:
            np.save(path, found[1:])  # of another split
        else:
            path.write_bytes(damage)
        np.testing.assert_array_equal(cached_features(run, split, forward, 12, 4), found)
