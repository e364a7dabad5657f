"""How good a model is: metrics, their intervals, and the linear head on frozen features."""

from micle_tf.evaluation.intervals import bootstrap_interval

__all__ = ["bootstrap_interval"]
