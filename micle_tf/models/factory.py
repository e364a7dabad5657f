"""The models of a run, put together from its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras

from micle_tf.config import Encoder, ProjectionHead
from micle_tf.errors import BadInput
from micle_tf.models.heads import classifier_head, projection_head, select_layers
from micle_tf.models.resnet import resnet_encoder

Norm = Callable[..., keras.Layer] | None  # makes batch norm; None: Keras's own


def build_encoder(shape: Encoder, image_size: int, norm: Norm = None) -> keras.Model:
    """The ResNet of a shape: [n, image_size, image_size, 3] in [0, 1] -> features [n, d]."""
    return resnet_encoder(
        shape.resnet_depth, shape.width_multiplier, shape.sk_ratio, shape.se_ratio,
        (image_size, image_size, 3), norm, name="encoder",
    )  # fmt: skip


def contrastive_models(
    shape: Encoder, head: ProjectionHead, image_size: int, norm: Norm = None, outputs: int = 0
) -> dict[str, keras.Model]:
    """The models of a pretraining, built: {"encoder", "projection_head"}.

    With `outputs`, classes or findings, also "linear_classifier", of the features. It is built
    last, so that the others start as without it.
    """
    models = {
        "encoder": build_encoder(shape, image_size, norm),
        "projection_head": projection_head(head.num_proj_layers, head.proj_out_dim, norm),
    }
    models["projection_head"].build(models["encoder"].output_shape)
    if outputs:
        models["linear_classifier"] = classifier_head(outputs)
        models["linear_classifier"].build(models["encoder"].output_shape)
    return models


def classifier_models(
    shape: Encoder, head: ProjectionHead, image_size: int, outputs: int, *,
    kept_layers: int = 0, zero_classifier: bool = False, norm: Norm = None,
) -> dict[str, keras.Model]:  # fmt: skip
    """The models of a fine-tuning, built: {"encoder", perhaps "projection_head", "classifier"}.

    Args:
      shape: of the encoder.
      head: shape of the projection head of its pretraining.
      image_size: side of the input, in pixels.
      outputs: classes or findings.
      kept_layers: of the projection head; 0: none, and no "projection_head".
      zero_classifier: whether the classifier starts with zeros.
      norm: makes batch norm.

    Raises:
      BadInput: more layers are to be kept than there are.
    """
    models = {"encoder": build_encoder(shape, image_size, norm)}
    features = models["encoder"].output_shape
    if kept_layers:
        if kept_layers > head.num_proj_layers:
            raise BadInput(
                f"--ft_proj_selector={kept_layers}: the projection head has "
                f"{head.num_proj_layers} layers"
            )
        whole = projection_head(head.num_proj_layers, head.proj_out_dim, norm)
        whole.build(features)
        models["projection_head"] = select_layers(whole, kept_layers)
        models["projection_head"].build(features)
        features = models["projection_head"].output_shape
    models["classifier"] = classifier_head(outputs, zero_classifier)
    models["classifier"].build(features)
    return models


def applied(
    models: Mapping[str, keras.Model], images: keras.KerasTensor, training: bool
) -> keras.KerasTensor:
    """Applies models one after the other: [n, s, s, 3] -> logits [n, K]."""
    x = images
    for model in models.values():
        x = model(x, training=training)
    return x


def describe(
    models: Mapping[str, keras.Model], shape: Encoder, image_size: int, head: ProjectionHead,
    kept_layers: int = 0,
) -> str:  # fmt: skip
    """ "ResNet-10 x0.375 on 32 px, 0.6 M parameters, 192 features; projection head of 2 layers"."""
    encoder = models["encoder"]
    text = (
        f"ResNet-{shape.resnet_depth} x{shape.width_multiplier:g} on {image_size} px, "
        f"{encoder.count_params() / 1e6:.1f} M parameters, {encoder.output_shape[-1]} features"
    )
    if "classifier" in models:
        text += f"; {models['classifier'].output_shape[-1]} outputs"
        if kept_layers:
            text += f", on layer {kept_layers} of the projection head"
    elif "projection_head" in models:
        layers = f"{head.num_proj_layers} layers to {head.proj_out_dim}"
        text += f"; projection head of {layers}" if head.num_proj_layers else "; no projection head"
    if "linear_classifier" in models:
        text += f"; {models['linear_classifier'].output_shape[-1]} outputs beside it"
    return text
