"""What is said of batches that cannot be made, or that a CPU will not finish."""

import pytest

from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.training import pretrain
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


@pytest.mark.parametrize(
    "changes, warned",
    [
        ({}, True),
        ({"resnet_depth": 18}, False),
        ({"image_size": 64}, False),
        ({"train_batch_size": 16}, False),
        ({"microbatch_size": 8}, False),
        ({"tpu_name": "v3"}, False),
        ({"resnet_depth": 152, "train_batch_size": 64}, True),
    ],
)
def test_what_a_cpu_will_not_finish(changes, warned, capsys):
    pretrain._warn_of_size(Config(**changes))
    shown = capsys.readouterr().out
    assert shown.startswith("warning: a ResNet-") == warned and bool(shown) == warned
    if not changes:
        assert shown == (
            "warning: a ResNet-50 on 256 images of 224 px a step is for GPUs: on a CPU it takes days, "
            "and tens of GB; --image_size=64 --resnet_depth=18 --train_batch_size=64 suit a laptop\n"
        )
