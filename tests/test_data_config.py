"""The settings of the data: defaults, and where they do anything."""

from micle_tf.config import Config


def test_defaults_of_what_counts_as_a_label():
    for mode in ("linear_eval", "finetune", "evaluate"):
        config = Config.of_mode(mode)
        assert (config.uncertain, config.unmentioned) == ("ignore", "zeros")
