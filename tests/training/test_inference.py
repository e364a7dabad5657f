"""What a model says of every image of a reader, in order."""

import numpy as np
import pytest

from micle_tf.config import Config
from micle_tf.data import cases, decode
from micle_tf.training.inference import predict_images


@pytest.fixture(scope="module")
def config(small_set):
    manifest = str(small_set / "photos/cases.csv")
    return Config(manifest=manifest, data_dir=str(small_set / "data"), image_size=12)


@pytest.mark.parametrize("batch", [1, 7, 256])
@pytest.mark.parametrize("label", ["", "predicting"])
def test_every_image_is_predicted_in_order(config, batch, label):
    reader = cases.open_cases(config).open("test")
    forward = lambda images: images[:, 3, 4]
    found = predict_images(forward, reader, 12, batch, label)
    stored = [c for images in reader.read(np.arange(reader.index.num_cases)) for c in images]
    expected = np.stack([decode.evaluation_view(content, 12)[3, 4] for content in stored])
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32 and found.shape == (reader.index.num_images, 3)
    assert len(found) > 7
