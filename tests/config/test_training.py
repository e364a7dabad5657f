"""How often a pretraining is judged by neighbours, and when momentum does something."""

import pytest

from micle_tf.config import Config, Pretraining
from micle_tf.errors import BadInput


@pytest.mark.parametrize(
    "text, expected", [("1epochs", 7), ("12epochs", 84), ("500steps", 500), ("", None)]
)
def test_steps_between_two_looks_at_neighbours(text, expected):
    assert Pretraining(knn_every=text).steps_between_neighbours(7) == expected


@pytest.mark.parametrize("text", ["0epochs", "-1steps", "1.5epochs", "epochs", "7", "3m", "²steps"])
def test_intervals_that_are_none(text):
    with pytest.raises(BadInput, match="--knn_every="):
        Config(knn_every=text)


@pytest.mark.parametrize("optimizer, otherwise", [("lars", ""), ("adam", "with --optimizer=adam")])
def test_momentum_is_not_for_adam(optimizer, otherwise):
    assert Config(optimizer=optimizer).otherwise("momentum") == otherwise
