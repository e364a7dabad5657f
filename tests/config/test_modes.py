"""The modes, and when a pretraining is watched."""

import pytest

from micle_tf.config import Config
from micle_tf.config.modes import MODES
from micle_tf.errors import BadInput


def test_modes_are_those_of_the_config():
    assert Config.of_mode("prepare").mode == "prepare"
    assert [Config.of_mode(mode).mode for mode in MODES] == list(MODES)
    with pytest.raises(BadInput, match=r"^--mode=cook: not one of prepare, pretrain, "):
        Config(mode="cook")


@pytest.mark.parametrize(
    "settings, otherwise",
    [
        ({"mode": "pretrain"}, "without --knn_every"),
        ({"mode": "pretrain", "knn_every": "1epochs"}, ""),
        ({"mode": "finetune"}, ""),
        ({"mode": "evaluate"}, ""),
    ],
)
def test_what_judges_does_something_where_something_is_judged(settings, otherwise):
    config = Config(**settings)
    assert config.otherwise("eval_split") == config.otherwise("eval_batch_size") == otherwise
