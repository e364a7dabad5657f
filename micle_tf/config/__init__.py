"""Every setting: the groups, each in a file with its fields, and `Config`, the flat whole."""

from micle_tf.config.config import Config, is_compared

__all__ = ["Config", "is_compared"]
