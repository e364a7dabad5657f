"""How often a run is validated."""

import pytest

from micle_tf.config import Config, Selection
from micle_tf.errors import BadInput


@pytest.mark.parametrize(
    "text, expected", [("1epochs", 7), ("12epochs", 84), ("500steps", 500), ("1steps", 1)]
)
def test_steps_between_validations(text, expected):
    assert Selection(validate_every=text).steps_between_validations(7) == expected


@pytest.mark.parametrize(
    "text", ["", "0epochs", "-1steps", "1.5epochs", "epochs", "7", "3m", "²steps"]
)
def test_intervals_that_are_none(text):
    with pytest.raises(BadInput, match="--validate_every="):
        Config(validate_every=text)
