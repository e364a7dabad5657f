"""SimCLR's residual networks as plain Keras functional models.

The networks are those of google-research/simclr (`tf2/resnet.py`), so that SimCLR, SimCLRv2 and
MICLe weights fit: post-activation ResNets (He et al., 2016) whose stride lies in the 3x3
convolution, whose stride-2 convolutions are padded alike on both sides, and whose groups each
start with a 1x1 projection shortcut. `sk_ratio` adds selective kernels (Li et al., 2019) and the
ResNet-D stem and shortcuts (He et al., 2019), `se_ratio` squeeze-and-excitation (Hu et al., 2018),
as in SimCLRv2 (Chen et al., 2020, "Big Self-Supervised Models are Strong Semi-Supervised
Learners").

Every layer is named after its place: `initial_*` for the stem, `block_group<g>_unit<u>_*` for the
residual units, `block_group<g>` for the output of a group, `final_avg_pool` for the output.
Variable paths follow, whatever was built before.
"""

import dataclasses
import math
import numbers
from typing import Any

import keras
from keras import layers, ops

from micle_tf.tensors import Norm, Tensor, is_a

# SimCLR's settings of every batch norm, in the encoder and in the projection head.
BATCH_NORM: dict[str, Any] = {"momentum": 0.9, "epsilon": 1e-5}

# The largest image side that gets the small-image stem.
SMALL_IMAGE = 32

# With fewer, and an odd batch, the gradient of a strided 1x1 convolution crashes on CPU
# (oneDNN in TensorFlow 2.21). No ResNet in use is that narrow, but those of tests are.
_FEW_CHANNELS = 16

BASIC, BOTTLENECK = "basic", "bottleneck"
# {depth: (kind of unit, units of the four groups)}. Depth = 2 (first convolution, classifier) +
# convolutions on the main path (2 or 3 per unit).
DEPTHS = {
    10: (BASIC, (1, 1, 1, 1)),
    14: (BOTTLENECK, (1, 1, 1, 1)),
    18: (BASIC, (2, 2, 2, 2)),
    34: (BASIC, (3, 4, 6, 3)),
    50: (BOTTLENECK, (3, 4, 6, 3)),
    101: (BOTTLENECK, (3, 4, 23, 3)),
    152: (BOTTLENECK, (3, 8, 36, 3)),
    200: (BOTTLENECK, (3, 24, 36, 3)),
}


def resnet_encoder(
    depth: int,
    width_multiplier: float = 1,
    sk_ratio: float = 0.0,
    se_ratio: float = 0.0,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    norm: Norm | None = None,
    *,
    name: str | None = None,
) -> keras.Model:
    """Builds SimCLR's ResNet without a classifier.

    Args:
        depth: 10, 18, 34 (basic units of two 3x3 convolutions) or 14, 50, 101, 152, 200
            (bottleneck units). 10 and 14 have one unit per group and serve for tests and demos.
        width_multiplier: factor on all channel counts, at least 1/64; fractions are allowed, and
            the counts are rounded. SimCLR's are 1, 2, 3 and 4.
        sk_ratio: in [0, 1]. 0: no selective kernels. Above: bottleneck units replace the 3x3
            convolution by a selective kernel whose hidden layer has this share of its channels
            (at least 32), and every unit and stem takes the ResNet-D form, basic ones included.
            SimCLRv2's is 0.0625.
        se_ratio: in [0, 1]. 0: no squeeze-and-excitation. Above: each residual branch is rescaled
            per channel by a hidden layer with this share of the unit's channels.
        input_shape: `(height, width, channels)`; a side may be None. Images of at most 32 x 32
            get the small stem (3x3, stride 1, no pooling), others 7x7 with stride 2 and a max
            pool.
        norm: called as `norm(name=..., momentum=..., epsilon=..., gamma_initializer=...)`,
            returns the normalisation layer. None: `keras.layers.BatchNormalization`.
        name: of the model. None: "encoder", and then "encoder_1" and so on, so that one model can
            have several. Layers and paths of variables do not depend on it.

    Returns:
        A `keras.Model` from images `[n, height, width, channels]`, in [0, 1] and
        not standardised, to pooled features `[n, d]`, with d = 512 (basic) or 2048 (bottleneck)
        times the width. The layers `block_group1` ... `block_group4` give the outputs
        `[n, h, w, c]` of the groups. Dtypes follow Keras's dtype policy.

    Raises:
        ValueError: on a value outside the ranges above.
    """
    if depth not in DEPTHS:
        raise ValueError(f"depth must be one of {', '.join(map(str, DEPTHS))}, got {depth!r}")
    if not (is_a(width_multiplier, numbers.Real) and 1 / 64 <= width_multiplier < math.inf):
        raise ValueError(
            f"width_multiplier must be a finite number of at least 1/64, got {width_multiplier!r}"
        )
    for which, ratio in (("sk_ratio", sk_ratio), ("se_ratio", se_ratio)):
        if not (is_a(ratio, numbers.Real) and 0 <= ratio <= 1):
            raise ValueError(f"{which} must be a number in [0, 1], got {ratio!r}")
    if len(input_shape) != 3:
        raise ValueError(f"input_shape must be (height, width, channels), got {input_shape!r}")

    kind, units = DEPTHS[depth]
    net = _Blocks(norm or layers.BatchNormalization, sk_ratio, se_ratio)
    unit = {BASIC: net.basic_unit, BOTTLENECK: net.bottleneck_unit}[kind]

    images = keras.Input(input_shape, name="images")
    small = all(side is not None and side <= SMALL_IMAGE for side in input_shape[:2])
    x = net.stem(images, channels(64, width_multiplier), small)
    for group, count in enumerate(units, start=1):
        filters = channels(32 * 2**group, width_multiplier)
        for index in range(count):
            place = f"block_group{group}_unit{index}"
            first = index == 0
            x = unit(x, filters, 2 if first and group > 1 else 1, project=first, name=place)
            last = index == count - 1
            x = layers.ReLU(name=f"block_group{group}" if last else f"{place}_relu")(x)
    features = layers.GlobalAveragePooling2D(name="final_avg_pool")(x)
    return keras.Model(images, features, name=name or _new_name("encoder"))


def _new_name(prefix: str) -> str:
    """ "encoder", "encoder_1", ...: as Keras names layers that have no name of their own."""
    number = keras.backend.get_uid(prefix)
    return prefix if number == 1 else f"{prefix}_{number - 1}"


def freeze_through(encoder: keras.Model, block: int) -> None:
    """Freezes the first part of an encoder, batch norm with its statistics included.

    Args:
        encoder: what `resnet_encoder` returned.
        block: -1: nothing; 0: the stem; 1 to 4: the stem and the groups up to this one
            (SimCLR's `fine_tune_after_block`).
    """
    frozen = ["initial_"][: block + 1] + [f"block_group{group}_" for group in range(1, block + 1)]
    for layer in encoder.layers:
        if layer.name.startswith(tuple(frozen)):
            layer.trainable = False


@dataclasses.dataclass(frozen=True)
class _Blocks:
    """The parts of one network: functions from tensor to tensor that share its settings."""

    norm: Norm
    sk_ratio: float
    se_ratio: float

    def stem(self, x: Tensor, filters: int, small: bool) -> Tensor:
        if small:
            return self._conv_norm_relu(x, filters, 3, 1, "initial_{}")
        if self.sk_ratio > 0:
            half = max(1, filters // 2)
            x = self._conv_norm_relu(x, half, 3, 2, "initial_{}1")
            x = self._conv_norm_relu(x, half, 3, 1, "initial_{}2")
            x = self._conv_norm_relu(x, filters, 3, 1, "initial_{}")
        else:
            x = self._conv_norm_relu(x, filters, 7, 2, "initial_{}")
        return layers.MaxPooling2D(3, 2, padding="same", name="initial_max_pool")(x)

    def basic_unit(self, x: Tensor, filters: int, strides: int, project: bool, name: str) -> Tensor:
        shortcut = self._shortcut(x, filters, strides, name) if project else x
        x = self._conv_norm_relu(x, filters, 3, strides, name + "_{}1")
        x = _conv(x, filters, 3, 1, f"{name}_conv2")
        return self._join(x, shortcut, filters, name, f"{name}_norm2")

    def bottleneck_unit(
        self, x: Tensor, filters: int, strides: int, project: bool, name: str
    ) -> Tensor:
        shortcut = self._shortcut(x, 4 * filters, strides, name) if project else x
        x = self._conv_norm_relu(x, filters, 1, 1, name + "_{}1")
        if self.sk_ratio > 0:
            x = self._selective_kernel(x, filters, strides, name)
        else:
            x = self._conv_norm_relu(x, filters, 3, strides, name + "_{}2")
        x = _conv(x, 4 * filters, 1, 1, f"{name}_conv3")
        return self._join(x, shortcut, filters, name, f"{name}_norm3")

    def _shortcut(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        if self.sk_ratio > 0:  # ResNet-D: average, then project, so that no activation is skipped.
            if strides > 1:
                x = _pad(x, 2, f"{name}_shortcut_pad")
            padding = "valid" if strides > 1 else "same"
            x = layers.AveragePooling2D(2, strides, padding, name=f"{name}_shortcut_pool")(x)
            strides = 1
        elif strides > 1 and x.shape[-1] < _FEW_CHANNELS:  # the same, in two layers
            x = layers.MaxPooling2D(1, strides, name=f"{name}_shortcut_pool")(x)
            strides = 1
        x = _conv(x, filters, 1, strides, f"{name}_shortcut_conv")
        return self._batch_norm(x, f"{name}_shortcut_norm")

    def _join(self, x: Tensor, shortcut: Tensor, filters: int, name: str, norm_name: str) -> Tensor:
        """Ends the residual branch and adds it; its scale starts at 0, the unit at identity."""
        x = self._batch_norm(x, norm_name, gamma_initializer="zeros")
        if self.se_ratio > 0:
            x = self._squeeze_excite(x, filters, name)
        return layers.Add(name=f"{name}_add")([x, shortcut])

    def _selective_kernel(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """Two 3x3 branches, mixed per channel by a softmax that sees the whole image."""
        x = self._conv_norm_relu(x, 2 * filters, 3, strides, name + "_{}2")
        hidden = sk_hidden(filters, self.sk_ratio)
        mixing = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_sk_pool")(x)
        mixing = BranchSum(name=f"{name}_sk_sum")(mixing)
        mixing = self._conv_norm_relu(mixing, hidden, 1, 1, name + "_sk_{}1")
        mixing = _conv(mixing, 2 * filters, 1, 1, f"{name}_sk_conv2")
        return BranchSum(name=f"{name}_sk_mix")(x, mixing)

    def _squeeze_excite(self, x: Tensor, filters: int, name: str) -> Tensor:
        hidden = se_hidden(filters, self.se_ratio)
        scale = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_se_pool")(x)
        scale = _conv(scale, hidden, 1, 1, f"{name}_se_conv1", use_bias=True, activation="relu")
        scale = _conv(
            scale, x.shape[-1], 1, 1, f"{name}_se_conv2", use_bias=True, activation="sigmoid"
        )
        return layers.Multiply(name=f"{name}_se_scale")([x, scale])

    def _conv_norm_relu(
        self, x: Tensor, filters: int, kernel_size: int, strides: int, name: str
    ) -> Tensor:
        """`name` has one gap, for the kind of the layer."""
        x = _conv(x, filters, kernel_size, strides, name.format("conv"))
        x = self._batch_norm(x, name.format("norm"))
        return layers.ReLU(name=name.format("relu"))(x)

    def _batch_norm(self, x: Tensor, name: str, gamma_initializer: str = "ones") -> Tensor:
        return self.norm(name=name, gamma_initializer=gamma_initializer, **BATCH_NORM)(x)


@keras.saving.register_keras_serializable("micle_tf")
class BranchSum(layers.Layer):
    """Sum of the two halves of the channels: `[..., 2c]` to `[..., c]`.

    With `logits` (`[n, 1, 1, 2c]`) the halves are weighted, channel by channel, by a softmax over
    the two. Source: the "select" step of selective kernels (Li et al., 2019, eq. 5 and 6).
    """

    def call(self, inputs: Tensor, logits: Tensor | None = None) -> Tensor:
        first, second = ops.split(inputs, 2, axis=-1)
        if logits is None:
            return first + second
        weights = ops.softmax(ops.stack(ops.split(logits, 2, axis=-1)), axis=0)
        return weights[0] * first + weights[1] * second


def channels(base: int, width_multiplier: float) -> int:
    """How many channels there are where SimCLR's network of width 1 has `base`."""
    return max(1, round(base * width_multiplier))


def sk_hidden(filters: int, sk_ratio: float) -> int:
    """Width of the hidden layer that mixes the branches of a selective kernel of `filters`."""
    return max(int(filters * sk_ratio), 32)


def se_hidden(filters: int, se_ratio: float) -> int:
    """Width of the hidden layer of the squeeze-and-excitation of a unit of `filters`."""
    return max(1, int(filters * se_ratio))


def _conv(
    x: Tensor,
    filters: int,
    kernel_size: int,
    strides: int,
    name: str,
    *,
    use_bias: bool = False,
    activation: str | None = None,
) -> Tensor:
    # With stride 2, Keras's "same" pads only the far side of an even input; SimCLR pads both.
    if strides > 1 and kernel_size > 1:
        x = _pad(x, kernel_size, f"{name}_pad")
    return layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="same" if strides == 1 else "valid",
        use_bias=use_bias,
        activation=activation,
        kernel_initializer=keras.initializers.VarianceScaling(),
        name=name,
    )(x)


def _pad(x: Tensor, kernel_size: int, name: str) -> Tensor:
    """Pads for a window of `kernel_size` whatever the stride; an odd rest goes to the far side."""
    near = (kernel_size - 1) // 2
    sides = (near, kernel_size - 1 - near)
    return layers.ZeroPadding2D((sides, sides), name=name)(x)
