"""What stands on the encoder: SimCLR's projection head, and the classifier of fine-tuning."""

import keras
from keras import layers, ops

from micle_tf.models.resnet import BATCH_NORM
from micle_tf.tensors import Norm, Tensor


def projection_head(
    num_layers: int = 2, out_dim: int = 128, norm: Norm | None = None
) -> keras.Sequential:
    """Builds the head g of SimCLR (Chen et al., 2020, section 2.1) as google-research/simclr does.

    Each of the first `num_layers - 1` layers is a square dense layer, batch norm and ReLU; the
    last one is a dense layer to `out_dim` and a batch norm with a scale but no centre. No dense
    layer has a bias, since a batch norm follows. Kernels start as N(0, 0.01).

    Args:
        num_layers: dense layers: 1 is a linear head, 2 SimCLR's, 3 SimCLRv2's; 0 is no head, the
            embedding being the features.
        out_dim: width of the embedding, at least 1.
        norm: called as `norm(name=..., momentum=..., epsilon=..., center=...)`, returns the
            normalisation layer. None: `keras.layers.BatchNormalization`. The head is saved by its
            layers, so a layer class of one's own must be registered with Keras to be loaded.

    Returns:
        A `keras.Sequential` named "projection_head" from `[n, d]` to `[n, out_dim]`, built when
        it first sees d. The embedding is not normalised: the loss does that. Layers are named
        `dense1`, `norm1`, `relu1`, `dense2`, ...

    Raises:
        ValueError: on `num_layers` below 0 or `out_dim` below 1.
    """
    for name, value, least in (("num_layers", num_layers, 0), ("out_dim", out_dim, 1)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    if not num_layers:
        return keras.Sequential([layers.Identity(name="identity")], name="projection_head")
    norm = norm or layers.BatchNormalization
    parts = []
    for number in range(1, num_layers):
        parts += [
            SquareDense(name=f"dense{number}"),
            norm(name=f"norm{number}", center=True, **BATCH_NORM),
            layers.ReLU(name=f"relu{number}"),
        ]
    parts += [
        layers.Dense(
            out_dim,
            use_bias=False,
            kernel_initializer=_kernel_initializer(),
            name=f"dense{num_layers}",
        ),
        norm(name=f"norm{num_layers}", center=False, **BATCH_NORM),
    ]
    return keras.Sequential(parts, name="projection_head")


def select_layers(head: keras.Sequential, selector: int) -> keras.Sequential:
    """The part of a projection head up to one of its layers, with shared weights.

    SimCLRv2 fine-tunes from the middle of the head (`ft_proj_selector`): from 1 with few labels,
    from 0 with all of them.

    Args:
        head: what `projection_head` returned, built or not.
        selector: 0: the input itself; k: after layer k, its batch norm and, unless it is the
            last, its ReLU; -1: the whole head.

    Returns:
        A `keras.Sequential` from `[n, d]` to `[n, d]`, or `[n, out_dim]` for the last layer. Its
        weights are those of `head`, and it has no others, so none is left without a gradient.

    Raises:
        ValueError: on a selector that is neither -1 nor 0 to the number of layers.
    """
    num_layers = (len(head.layers) + 1) // 3
    if selector not in range(-1, num_layers + 1):
        raise ValueError(f"selector must be one of -1 to {num_layers}, got {selector!r}")
    if selector == 0:
        parts = [layers.Identity(name="identity")]
    else:
        parts = head.layers if selector == -1 else head.layers[: 3 * selector]
    return keras.Sequential(parts, name=head.name)


# Path of the variables of `classifier_head`.
CLASSIFIER_PATH = r"(^|/)logits/"


def classifier_head(num_outputs: int, zeros: bool = False) -> keras.Sequential:
    """The linear classifier of fine-tuning: features `[n, d]` to logits `[n, num_outputs]`.

    Starts as N(0, 0.01), as in google-research/simclr, or with `zeros`, its
    `zero_init_logits_layer`; float32 or, for float64 features, float64.
    """
    dtype = "float64" if keras.config.floatx() == "float64" else "float32"
    logits = layers.Dense(
        num_outputs,
        kernel_initializer="zeros" if zeros else _kernel_initializer(),
        dtype=dtype,
        name="logits",
    )
    return keras.Sequential([logits], name="classifier")


@keras.saving.register_keras_serializable("micle_tf")
class SquareDense(layers.Layer):
    """Dense layer without bias that is as wide as its input: `[n, d]` to `[n, d]`."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = input_shape[-1]
        self.kernel = self.add_weight(
            shape=(width, width), initializer=_kernel_initializer(), name="kernel"
        )

    def call(self, inputs: Tensor) -> Tensor:
        return ops.matmul(inputs, self.kernel)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


def _kernel_initializer() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=0.01)
