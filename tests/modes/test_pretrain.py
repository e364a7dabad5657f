"""What becomes of batches that cannot be made."""

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
    "batch, units, replicas, microbatch, least, expected, reason",
    [
        (96, 61, 1, 0, 2, 61, "there are 61"),
        (96, 61, 4, 0, 2, 60, "there are 61"),
        (96, 609, 5, 0, 2, 95, "5 divides it"),
        (96, 61, 1, 16, 2, 48, "there are 61"),
        (96, 609, 1, 0, 2, 96, ""),
        (96, 1, 1, 0, 2, 96, ""),  # and is refused
        (96, 2, 2, 0, 1, 2, "there are 2"),
        (96, 1, 1, 0, 1, 96, ""),
        (96, 6, 4, 0, 2, 96, ""),
    ],
)
def test_a_batch_that_nobody_stated_is_cut_to_the_data(
    batch, units, replicas, *, microbatch, least, expected, reason, capsys
):
    config = Config(train_batch_size=batch, microbatch_size=microbatch)
    found = pretrain.fit_batch(config, units, replicas, True, least)
    assert found.train_batch_size == expected
    line = f"batch: {batch} cut to {expected}: {reason}\n" if reason else ""
    assert capsys.readouterr().out == line
    assert pretrain.fit_batch(config, units, replicas, False, least) is config
