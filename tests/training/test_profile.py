"""Which steps are profiled, and where the profile lies."""

import json

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.training.profile import Profile
from tests.training.small_training import by_hand, train


def test_profile(tmp_path, capsys):
    train(tmp_path / "run", 9, profile="3:5")
    assert f"profile: {tmp_path / 'run'}/plugins/profile" in capsys.readouterr().out
    (written,) = (tmp_path / "run").glob("plugins/profile/*/*.xplane.pb")
    assert written.stat().st_size > 1000
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    np.testing.assert_allclose(losses, [by_hand(9)[0][i][0] for i in (0, 8)], rtol=2e-5)


@pytest.fixture
def calls(monkeypatch):
    """A list of what is asked of TensorFlow's profiler; nothing is profiled."""
    found = []
    monkeypatch.setattr(tf.profiler.experimental, "start", lambda folder: found.append(folder))
    monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: found.append("stop"))
    return found


@pytest.mark.parametrize(
    "start, end, profiled",
    [
        (0, 9, [3, 4, 5]),
        (2, 9, [3, 4, 5]),  # resumed just before
        (3, 9, [4, 5]),  # and within
        (5, 9, []),
        (0, 4, [3, 4]),  # a run that is stopped within
        (0, 2, []),
    ],
)
def test_the_steps_that_are_profiled(start, end, profiled, calls, capsys):
    """Steps 3 to 5 of those that are taken, one by one."""
    profile, found = Profile("run", (3, 5)), []
    assert profile.bounds == (2, 5)
    for step in range(start, end):
        profile.before(step)
        if calls == ["run"]:
            found.append(step + 1)
        profile.after(step + 1)
    profile.close()
    assert found == profiled
    assert calls == (["run", "stop"] if profiled else [])  # once each
    line = "profile: run/plugins/profile (tensorboard's profile page)\n"
    assert capsys.readouterr().out == (line if profiled else "")


def test_without_steps_nothing_is_profiled(calls):
    profile = Profile("run", None)
    for step in range(5):
        profile.before(step)
        profile.after(step + 1)
    profile.close()
    assert profile.bounds == () and calls == []
