"""What a setting may be: bounds, choices, texts like "10m", and names that are near."""

import pytest

from micle_tf.settings import nearest


@pytest.mark.parametrize(
    "text, near",
    [
        ("simCLR", "; did you mean simclr?"),
        ("SIMCLR", "; did you mean simclr?"),
        ("mickle", "; did you mean micle?"),
        ("barlow", ""),
    ],
)
def test_the_nearest_of_some_names(text, near):
    assert nearest(text, ("simclr", "micle")) == near
