"""Which steps are profiled, and where the profile lies."""

import json

import numpy as np

from tests.training.small_training import by_hand, train


def test_profile(tmp_path, capsys):
    train(tmp_path / "run", 9, profile="3:5")
    assert f"profile: {tmp_path / 'run'}/plugins/profile" in capsys.readouterr().out
    (written,) = (tmp_path / "run").glob("plugins/profile/*/*.xplane.pb")
    assert written.stat().st_size > 1000
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    np.testing.assert_allclose(losses, [by_hand(9)[0][i][0] for i in (0, 8)], rtol=2e-5)
