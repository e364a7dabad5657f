"""Kernels of published networks at the scale of fresh ones."""

import keras
import numpy as np


def rescale_kernels(encoder: keras.Model) -> dict[str, float]:
    """Scales every convolution that a batch norm follows to the spread that it starts from.

    The kernels of SimCLR's first networks are several times as large as those of SimCLRv2, which
    changes nothing for LARS or in inference, but a lot for SGD with momentum. Each is multiplied
    by c = (std of its initialiser) / (its own std), the moving mean behind it by c and the
    moving variance by c squared, so that what the norm gives in inference stays as it was but
    for epsilon. Convolutions without a batch norm behind them stay.

    Args:
        encoder: of `resnet_encoder`; changed in place.

    Returns:
        {name of the convolution: c}.
    """
    layers = {layer.name: layer for layer in encoder.layers}
    factors = {}
    for name, norm in layers.items():
        if not isinstance(norm, keras.layers.BatchNormalization):
            continue
        conv_name = _conv_of(name)
        kernel = np.asarray(layers[conv_name].kernel)
        spread = kernel.std(dtype=np.float64)
        if spread == 0:  # nothing to scale
            continue
        # VarianceScaling, which convolutions start from: the variance is 1 / fan-in.
        factor = float(np.prod(kernel.shape[:-1]) ** -0.5 / spread)
        layers[conv_name].kernel.assign(kernel * factor)
        norm.moving_mean.assign(np.asarray(norm.moving_mean) * factor)
        norm.moving_variance.assign(np.asarray(norm.moving_variance) * factor**2)
        factors[conv_name] = factor
    return factors


def _conv_of(norm: str) -> str:
    """ "block_group1_unit0_conv1" of "block_group1_unit0_norm1"."""
    head, _, tail = norm.rpartition("norm")
    return f"{head}conv{tail}"
