"""What becomes of batches that cannot be made."""

import pytest

from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.modes import pretrain
from tests.evaluation.test_predictions import make_index


@pytest.mark.parametrize(
    "images, method, advice",
    [
        ([51, 2], "micle", ", of up to 51 images; are they classes or splits, not cases?"),
        ([50, 2], "micle", ""),
        ([51, 2], "simclr", ""),
    ],
)
def test_cases_that_are_too_few_since_they_are_classes(images, method, advice):
    config = Config(train_batch_size=128, method=method)
    units = "2 cases" if method == "micle" else f"{sum(images)} images"
    with pytest.raises(BadInput) as caught:
        pretrain.check_batch(config, make_index(images), 1)
    message = f"--train_batch_size=128: --train_split=train has only {units}{advice}"
    assert str(caught.value) == message
