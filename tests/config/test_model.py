"""When the shape of the projection head does something."""

import pytest

from micle_tf.config import Config


@pytest.mark.parametrize(
    "settings, otherwise",
    [
        ({"mode": "pretrain"}, ""),
        ({"mode": "finetune"}, "without --ft_proj_selector"),
        ({"mode": "finetune", "ft_proj_selector": 1}, ""),
        ({"mode": "linear_eval"}, "in --mode=linear_eval"),
    ],
)
def test_a_projection_head_is_for_pretraining_and_for_what_is_kept_of_it(settings, otherwise):
    assert Config(**settings).otherwise("proj_out_dim") == otherwise
