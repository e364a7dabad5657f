"""Encoders and heads, in plain Keras."""

from micle_tf.models.heads import projection_head, select_layers
from micle_tf.models.resnet import resnet_encoder

__all__ = ["projection_head", "resnet_encoder", "select_layers"]
