"""How often a run saves, and which steps it profiles."""

import pytest

from micle_tf.config import Config, Pace
from micle_tf.errors import BadInput


def test_intervals_of_checkpoints():
    for text, expected in (("10m", (600, None)), ("30s", (30, None)), ("9steps", (None, 9))):
        assert Pace(checkpoint_every=text).checkpoint_interval() == expected


def test_profiled_steps():
    assert Pace(profile="20:25").profiled_steps() == (20, 25)
    assert Pace().profiled_steps() is None
    for text in ("20", "0:3", "5:4", "a:b", "1:2:3", "-1:3"):
        with pytest.raises(BadInput, match=f"--profile={text}: give the first and the last step"):
            Config(profile=text)
